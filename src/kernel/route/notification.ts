import { Reader } from '../../lib/bytes.ts';
import type { Reply } from '../netlink/socket.ts';
import { type IfAddress, ifaddrmsg } from './addresses.ts';
import { ifinfomsg, type Link } from './link.ts';
import { type FdbEntry, fdbmsg, type Neighbour, ndmsg } from './neighbours.ts';
import { type Route, rtmsg } from './routes.ts';
import { AF, RTM } from './rtnetlink.ts';

/** What a socket that subscribed to RTNLGRP groups is told. `gone` says whether the thing is there no more. */
export type Notification =
  | { readonly kind: 'link'; readonly gone: boolean; readonly link: Link }
  /** A link became, changed or (`gone`) ceased to be a port of a bridge; the link itself is still there. */
  | { readonly kind: 'port'; readonly gone: boolean; readonly link: Link }
  | { readonly kind: 'address'; readonly gone: boolean; readonly address: IfAddress }
  | { readonly kind: 'route'; readonly gone: boolean; readonly route: Route }
  | { readonly kind: 'neighbour'; readonly gone: boolean; readonly neighbour: Neighbour }
  | { readonly kind: 'fdb'; readonly gone: boolean; readonly entry: FdbEntry }
  /** A queueing discipline or filter of the link with this index. */
  | { readonly kind: 'tc'; readonly gone: boolean; readonly index: number };

/** @returns undefined for what is none of ours. @throws DecodeError */
export function decodeNotification({ type, payload }: Reply): Notification | undefined {
  const family = () => new Reader(payload, 'rtnetlink message').u8();
  switch (type) {
    case RTM.NEWLINK:
    case RTM.DELLINK: {
      const kind = family() === AF.BRIDGE ? 'port' : 'link';
      return { kind, gone: type === RTM.DELLINK, link: ifinfomsg.decode(payload) };
    }
    case RTM.NEWADDR:
    case RTM.DELADDR:
      return { kind: 'address', gone: type === RTM.DELADDR, address: ifaddrmsg.decode(payload) };
    case RTM.NEWROUTE:
    case RTM.DELROUTE:
      return { kind: 'route', gone: type === RTM.DELROUTE, route: rtmsg.decode(payload) };
    case RTM.NEWNEIGH:
    case RTM.DELNEIGH: {
      const gone = type === RTM.DELNEIGH;
      if (family() === AF.BRIDGE) return { kind: 'fdb', gone, entry: fdbmsg.decode(payload) };
      return { kind: 'neighbour', gone, neighbour: ndmsg.decode(payload) };
    }
    case RTM.NEWQDISC:
    case RTM.DELQDISC:
    case RTM.NEWTFILTER:
    case RTM.DELTFILTER:
      return { kind: 'tc', gone: type === RTM.DELQDISC || type === RTM.DELTFILTER, index: linkOf(payload) };
    default:
      return undefined;
  }
}

/**
 * The index of the link that a message is about, when it tells of a link; to decode all of it costs far more.
 * @throws DecodeError
 */
export function decodeLinkIndex({ type, payload }: Reply): number | undefined {
  return type === RTM.NEWLINK || type === RTM.DELLINK ? linkOf(payload) : undefined;
}

//  struct tcmsg and struct ifinfomsg: | family:8 | 24 | ifindex:s32 | …
function linkOf(payload: Uint8Array): number {
  const reader = new Reader(payload, 'rtnetlink message');
  reader.skip(4);
  return reader.u32le();
}
