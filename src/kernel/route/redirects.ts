import { isKernelError, KernelError } from '../kernel-error.ts';
import { formatMac, macBytes } from '../netlink/attribute.ts';
import { NLM_F } from '../netlink/message.ts';
import type { Netlink, Request } from '../netlink/socket.ts';
import {
  clsact,
  ETH_P,
  type Filter,
  type FilterPlace,
  filters,
  isMatching,
  type Key,
  keyValue,
  tfilter,
} from './filter.ts';

/**
 * Redirects at a link: frames with a MAC as their destination that come in by it, or would leave by it, leave by another one
 * at once, whatever the link is a port of. Made of one hash table by the last byte of the MAC with a filter for each
 * MAC, which both sides of the link's clsact lead to.
 */
export interface Redirect {
  /** Of the link that the frames come in by, or would leave by. */
  readonly index: number;
  readonly mac: string;
  /** Index of the link that they leave by; 0 when that is gone: then they are dropped. */
  readonly to: number;
  /** What the kernel knows it by. */
  readonly handle: number;
}

const TABLE = 0x00100000;
/** The kernel makes tables 800 and up itself, where packets begin. */
const IS_ROOT = 0x80000000;
const BUCKETS = 256;

/** Before the network header there is: | destination:48 | source:48 | type:16 |. */
const DESTINATION = { high: -16, low: -12 } as const;
const SOURCE = -8;
/** As for a bridge, a frame from a group of hosts is none. */
const GROUP_BIT = 0x01000000;

/** `*Message` builds the request only, for `Netlink.requests`. */
export const redirects = {
  /**
   * Makes it possible to redirect what comes in by a link and leaves by it, beginning anew with none.
   * @returns false when this kernel lacks what that takes. @throws KernelError
   */
  open(nl: Netlink, index: number): boolean {
    const [gone] = nl.requests([redirects.closeMessage(index)]);
    if (gone && !isKernelError(gone, 'ENOENT', 'EINVAL')) throw gone;
    try {
      for (const request of openMessages(index)) nl.request(request);
      // The action is looked for when it is first used.
      const handle = redirects.add(nl, { index, mac: '00:00:00:00:00:00', to: index });
      nl.request(redirects.removeMessage({ index, handle }));
      return true;
    } catch (error) {
      nl.requests([redirects.closeMessage(index)]);
      // EINVAL: the sides have no table in common.
      if (isKernelError(error, 'ENOENT', 'EOPNOTSUPP', 'EINVAL')) return false;
      throw error;
    }
  },

  /** Ends all of a link's. */
  closeMessage: (index: number) => clsact.removeMessage(index),

  /**
   * @returns the handle. @throws KernelError. Equivalent to `tc filter add dev LINK ingress protocol all prio 1 u32 ht 1:LAST:
   * match ether dst MAC match u8 0 1 at -8 action mirred egress redirect dev TO`.
   */
  add(nl: Netlink, { index, mac, to }: Omit<Redirect, 'handle'>): number {
    const last = Number.parseInt(mac.slice(-2), 16);
    const request = filters.addMessage(placeAt(index), { hash: TABLE | (last << 12), keys: keysFor(mac), to });
    const [echo] = nl.request({ ...request, flags: (request.flags ?? 0) | NLM_F.ECHO });
    if (echo === undefined)
      throw new KernelError(request.action, 'EPROTO', { detail: 'the kernel did not say its handle' });
    return tfilter.decode(echo.payload).handle;
  },

  removeMessage({ index, handle }: Pick<Redirect, 'index' | 'handle'>): Request {
    return filters.removeMessage(placeAt(index), handle);
  },

  /** @returns undefined when it is not open on both sides. @throws KernelError */
  list(nl: Netlink, index: number): readonly Redirect[] | undefined {
    const [ingress, egress] = [filters.list(nl, index, 'ingress'), filters.list(nl, index, 'egress')];
    const hasTable = ingress.some(({ handle, divisor }) => handle === TABLE && divisor === BUCKETS);
    if (!hasTable || !ingress.some(isLead) || !egress.some(isLead)) return undefined;
    return ingress.flatMap((filter) => {
      const mac = macOf(filter);
      return mac === undefined ? [] : [{ index, mac, to: filter.to, handle: filter.handle }];
    });
  },
} as const;

function placeAt(index: number): FilterPlace {
  return { index, side: 'ingress', priority: 1, protocol: ETH_P.ALL };
}

function openMessages(index: number): readonly Request[] {
  const ingress = placeAt(index);
  // Of another priority: the kernel lists tables by that.
  const egress: FilterPlace = { ...ingress, side: 'egress', priority: 2 };
  const lead = { keys: [[0, 0, 0]], link: { table: TABLE, offset: DESTINATION.low, mask: 0xff } } as const;
  return [
    clsact.addMessage(index),
    filters.addMessage(ingress, { handle: TABLE, divisor: BUCKETS }),
    ...[ingress, egress].map((place) => filters.addMessage(place, lead)),
  ];
}

function isLead({ handle, link, keys }: Filter): boolean {
  return (handle & IS_ROOT) !== 0 && link === TABLE && keys?.length === 1 && keys[0]?.[0] === 0;
}

function keysFor(mac: string): readonly Key[] {
  const bytes = Buffer.from(macBytes(mac));
  return [
    [0xffff, bytes.readUInt16BE(0), DESTINATION.high],
    [0xffffffff, bytes.readUInt32BE(2), DESTINATION.low],
    [GROUP_BIT, 0, SOURCE],
  ];
}

function macOf(filter: Filter): string | undefined {
  const [high, low] = [keyValue(filter, 0), keyValue(filter, 1)];
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(high);
  bytes.writeUInt32BE(low, 4);
  const mac = formatMac(bytes.subarray(2));
  return isMatching(keysFor(mac), filter) ? mac : undefined;
}
