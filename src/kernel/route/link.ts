import { Reader, Writer } from '../../lib/bytes.ts';
import { defined } from '../../lib/defined.ts';
import { type Attributes, AttributeWriter, decodeAttributes } from '../netlink/attribute.ts';
import { AF } from './rtnetlink.ts';

/** Links (rtnetlink RTM_NEWLINK and its kin; linux/if_link.h). Field names are the kernel's, in lower case. */

/** A reference to another network namespace in a request: an open file descriptor of it. */
export type NamespaceFd = number;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** IFF */
  readonly flags: number;
  /** Empty for a link without one. */
  readonly address: string;
  readonly mtu: number;
  /** Index of the bridge that it is a port of. */
  readonly master?: number;
  /** IFLA_LINK: a veth's other end, in the namespace that `linkNetnsid` names. */
  readonly link?: number;
  readonly linkNetnsid?: number;
  readonly group: number;
  readonly info?: LinkInfo;
  /** IFLA_PROTINFO/IFLA_INFO_SLAVE_DATA of a bridge port. */
  readonly bridgePort?: BridgePort;
  /** Absent on a link without IPv6. */
  readonly ipv6?: Ipv6Conf;
}

/** IFLA_INET6_CONF: some of what is in /proc/sys/net/ipv6/conf/LINK. */
export interface Ipv6Conf {
  readonly acceptRa: number;
  readonly disableIpv6: number;
}

/** IFLA_LINKINFO: kind, and what we use of its data. */
export type LinkInfo =
  | { readonly kind: 'bridge'; readonly bridge: Bridge }
  | { readonly kind: 'vxlan'; readonly vxlan: Vxlan }
  | { readonly kind: 'veth' }
  | { readonly kind: 'other'; readonly name: string };

/** IFLA_BR_*: unset fields are left to the kernel. */
export interface Bridge {
  readonly mcastSnooping?: boolean;
  readonly stpState?: number;
  /** In hundredths of a second. */
  readonly ageingTime?: number;
}

/** IFLA_BRPORT_*: unset fields are left as they are. */
export interface BridgePort {
  readonly learning?: boolean;
  readonly unicastFlood?: boolean;
  readonly mcastFlood?: boolean;
  readonly bcastFlood?: boolean;
  readonly isolated?: boolean;
  readonly locked?: boolean;
  readonly neighSuppress?: boolean;
}

/** IFLA_VXLAN_* */
export interface Vxlan {
  readonly id: number;
  /** IFLA_VXLAN_LOCAL or IFLA_VXLAN_LOCAL6 */
  readonly local?: string;
  readonly port: number;
  readonly learning: boolean;
  readonly proxy: boolean;
  readonly ttl?: number;
  readonly udpCsum?: boolean;
}

/** A link to be made. Unset fields are left to the kernel. */
export interface NewLink {
  readonly name: string;
  readonly info: NewLinkInfo;
  readonly address?: string;
  readonly mtu?: number;
  readonly group?: number;
  /** The bridge to be a port of: in the namespace that the link is made in. */
  readonly master?: number;
  readonly up?: boolean;
  /** Queues to send and to receive by. A veth has by default one of each a CPU, of which it uses one. */
  readonly queues?: number;
  /** The namespace that it appears in. What a vxlan device sends and receives stays in the caller's. */
  readonly netnsFd?: NamespaceFd;
}

export type NewLinkInfo =
  | { readonly kind: 'bridge'; readonly bridge: Bridge }
  | { readonly kind: 'vxlan'; readonly vxlan: Vxlan }
  | { readonly kind: 'veth'; readonly peer: NewPeer };

/** It cannot be up from the start: the kernel refuses that (ENOTCONN) before the two ends know each other. */
export type NewPeer = Omit<NewLink, 'info' | 'master' | 'up'>;

/** What becomes different; unset fields stay as they are. */
export interface LinkChanges {
  readonly up?: boolean;
  readonly name?: string;
  readonly address?: string;
  readonly mtu?: number;
  readonly group?: number;
  /** 0 takes it out of its bridge. */
  readonly master?: number;
  readonly netnsFd?: NamespaceFd;
  readonly bridge?: Bridge;
  readonly bridgePort?: BridgePort;
}

export const IFF = { UP: 0x1, RUNNING: 0x40, NOARP: 0x80, LOWER_UP: 0x10000 } as const;

export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  PROTINFO: 12,
  LINKINFO: 18,
  AF_SPEC: 26,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  LINK_NETNSID: 37,
} as const;

const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
const IFLA_BR = { AGEING_TIME: 4, STP_STATE: 5, MCAST_SNOOPING: 23 } as const;
const VETH_INFO_PEER = 1;
const IFLA_INET6_CONF = 2;
/** Places in it, linux/ipv6.h. */
const DEVCONF = { ACCEPT_RA: 3, DISABLE_IPV6: 26 } as const;

const IFLA_BRPORT = {
  LEARNING: 8,
  UNICAST_FLOOD: 9,
  MCAST_FLOOD: 27,
  BCAST_FLOOD: 30,
  NEIGH_SUPPRESS: 32,
  ISOLATED: 33,
  LOCKED: 39,
} as const;

const IFLA_VXLAN = {
  ID: 1,
  LOCAL: 4,
  TTL: 5,
  LEARNING: 7,
  PROXY: 11,
  PORT: 15,
  LOCAL6: 17,
  UDP_CSUM: 18,
} as const;

//  struct ifinfomsg: | ifi_family:8 | pad:8 | ifi_type:16 | ifi_index:s32 | ifi_flags:32 | ifi_change:32 |
/** The content of an RTM_*LINK message: header, then IFLA_* attributes. */
export const ifinfomsg = {
  /** A link to be made. */
  encodeNew(link: NewLink): Uint8Array {
    return encode({ up: link.up }, (attributes) => writeNew(attributes, link));
  },

  /** A link to be changed, but not as a bridge port. */
  encodeChanges(index: number, changes: Omit<LinkChanges, 'bridgePort'>): Uint8Array {
    return encode({ index, up: changes.up }, (attributes) => {
      writeCommon(attributes, changes);
      const { bridge } = changes;
      if (bridge) writeInfo(attributes, 'bridge', (data) => writeBridge(data, bridge));
    });
  },

  /** A link to be changed as the bridge port that it is already. */
  encodeBridgePort(index: number, port: BridgePort): Uint8Array {
    return encode({ index }, (attributes) =>
      attributes.nested(IFLA.LINKINFO, (info) =>
        info.text(IFLA_INFO.SLAVE_KIND, 'bridge').nested(IFLA_INFO.SLAVE_DATA, (data) => writeBridgePort(data, port)),
      ),
    );
  },

  /** Header and nothing more than `write` adds: for GET and DEL. */
  encodeQuery(index: number, write: (attributes: AttributeWriter) => void = () => {}): Uint8Array {
    return encode({ index }, write);
  },

  /** @throws DecodeError */
  decode(payload: Uint8Array): Link {
    const reader = new Reader(payload, 'ifinfomsg');
    const family = reader.u8();
    reader.skip(3);
    const index = reader.i32le();
    const flags = reader.u32le();
    reader.skip(4);
    const attributes = decodeAttributes(reader.rest(), 'IFLA');
    const info = attributes.nested(IFLA.LINKINFO);
    return defined<Link>({
      index,
      name: attributes.text(IFLA.IFNAME) ?? '',
      flags,
      address: linkAddress(attributes),
      mtu: attributes.u32(IFLA.MTU) ?? 0,
      master: attributes.u32(IFLA.MASTER),
      link: attributes.u32(IFLA.LINK),
      linkNetnsid: attributes.i32(IFLA.LINK_NETNSID),
      group: attributes.u32(IFLA.GROUP) ?? 0,
      info: info && decodeInfo(info),
      bridgePort: decodeBridgePort(attributes, family, info),
      ipv6: decodeIpv6(attributes),
    });
  },
};

function encode(
  header: { readonly index?: number; readonly up?: boolean | undefined },
  write: (attributes: AttributeWriter) => void,
): Uint8Array {
  const writer = new Writer();
  writeHeader(writer, header);
  write(new AttributeWriter(writer));
  return writer.finish();
}

function writeHeader(writer: Writer, header: { readonly index?: number; readonly up?: boolean | undefined }): void {
  const { index = 0, up } = header;
  writer.u8(AF.UNSPEC).zeros(3).u32le(index);
  writer.u32le(up ? IFF.UP : 0).u32le(up === undefined ? 0 : IFF.UP);
}

function writeCommon(attributes: AttributeWriter, link: Omit<LinkChanges, 'bridgePort' | 'bridge' | 'up'>): void {
  attributes.text(IFLA.IFNAME, link.name).mac(IFLA.ADDRESS, link.address).u32(IFLA.MTU, link.mtu);
  attributes.u32(IFLA.GROUP, link.group).u32(IFLA.MASTER, link.master).u32(IFLA.NET_NS_FD, link.netnsFd);
}

/** What is said of a link only when it is made. */
function writeMade(attributes: AttributeWriter, link: Omit<NewLink, 'info'>): void {
  writeCommon(attributes, link);
  attributes.u32(IFLA.NUM_TX_QUEUES, link.queues).u32(IFLA.NUM_RX_QUEUES, link.queues);
}

function writeNew(attributes: AttributeWriter, link: NewLink): void {
  writeMade(attributes, link);
  const { info } = link;
  writeInfo(attributes, info.kind, (data) => {
    switch (info.kind) {
      case 'bridge':
        return writeBridge(data, info.bridge);
      case 'vxlan':
        return writeVxlan(data, info.vxlan);
      case 'veth':
        return data.nested(VETH_INFO_PEER, (peer, writer) => {
          writeHeader(writer, {});
          writeMade(peer, info.peer);
        });
    }
  });
}

function writeInfo(attributes: AttributeWriter, kind: string, write: (data: AttributeWriter) => void): void {
  attributes.nested(IFLA.LINKINFO, (info) => info.text(IFLA_INFO.KIND, kind).nested(IFLA_INFO.DATA, write));
}

function writeBridge(data: AttributeWriter, bridge: Bridge): void {
  data.u32(IFLA_BR.AGEING_TIME, bridge.ageingTime).u32(IFLA_BR.STP_STATE, bridge.stpState);
  data.flag(IFLA_BR.MCAST_SNOOPING, bridge.mcastSnooping);
}

function writeBridgePort(data: AttributeWriter, port: BridgePort): void {
  data.flag(IFLA_BRPORT.LEARNING, port.learning);
  data.flag(IFLA_BRPORT.UNICAST_FLOOD, port.unicastFlood);
  data.flag(IFLA_BRPORT.MCAST_FLOOD, port.mcastFlood);
  data.flag(IFLA_BRPORT.BCAST_FLOOD, port.bcastFlood);
  data.flag(IFLA_BRPORT.NEIGH_SUPPRESS, port.neighSuppress);
  data.flag(IFLA_BRPORT.ISOLATED, port.isolated);
  data.flag(IFLA_BRPORT.LOCKED, port.locked);
}

function writeVxlan(data: AttributeWriter, vxlan: Vxlan): void {
  const { local } = vxlan;
  data.u32(IFLA_VXLAN.ID, vxlan.id).address(local?.includes(':') ? IFLA_VXLAN.LOCAL6 : IFLA_VXLAN.LOCAL, local);
  data.u8(IFLA_VXLAN.TTL, vxlan.ttl).flag(IFLA_VXLAN.LEARNING, vxlan.learning).flag(IFLA_VXLAN.PROXY, vxlan.proxy);
  data.u16be(IFLA_VXLAN.PORT, vxlan.port).flag(IFLA_VXLAN.UDP_CSUM, vxlan.udpCsum);
}

/** Other kinds of links have addresses of other lengths, or none. */
function linkAddress(attributes: Attributes): string {
  return attributes.bytes(IFLA.ADDRESS)?.length === 6 ? (attributes.mac(IFLA.ADDRESS) ?? '') : '';
}

function decodeInfo(info: Attributes): LinkInfo | undefined {
  const kind = info.text(IFLA_INFO.KIND);
  const data = info.nested(IFLA_INFO.DATA);
  if (kind === 'bridge' && data) return { kind, bridge: decodeBridge(data) };
  if (kind === 'vxlan' && data) return { kind, vxlan: decodeVxlan(data) };
  if (kind === 'veth') return { kind };
  return kind === undefined ? undefined : { kind: 'other', name: kind };
}

function decodeBridge(data: Attributes): Bridge {
  return defined<Bridge>({
    mcastSnooping: data.flag(IFLA_BR.MCAST_SNOOPING),
    stpState: data.u32(IFLA_BR.STP_STATE),
    ageingTime: data.u32(IFLA_BR.AGEING_TIME),
  });
}

function decodeVxlan(data: Attributes): Vxlan {
  return defined<Vxlan>({
    id: data.u32(IFLA_VXLAN.ID) ?? 0,
    local: data.address(IFLA_VXLAN.LOCAL) ?? data.address(IFLA_VXLAN.LOCAL6),
    port: data.u16be(IFLA_VXLAN.PORT) ?? 0,
    learning: data.flag(IFLA_VXLAN.LEARNING) ?? false,
    proxy: data.flag(IFLA_VXLAN.PROXY) ?? false,
    ttl: data.u8(IFLA_VXLAN.TTL),
    udpCsum: data.flag(IFLA_VXLAN.UDP_CSUM),
  });
}

function decodeBridgePort(attributes: Attributes, family: number, info: Attributes | undefined) {
  const ofSlave = info?.text(IFLA_INFO.SLAVE_KIND) === 'bridge' ? info.nested(IFLA_INFO.SLAVE_DATA) : undefined;
  const data = ofSlave ?? (family === AF.BRIDGE ? attributes.nested(IFLA.PROTINFO) : undefined);
  return (
    data &&
    defined<BridgePort>({
      learning: data.flag(IFLA_BRPORT.LEARNING),
      unicastFlood: data.flag(IFLA_BRPORT.UNICAST_FLOOD),
      mcastFlood: data.flag(IFLA_BRPORT.MCAST_FLOOD),
      bcastFlood: data.flag(IFLA_BRPORT.BCAST_FLOOD),
      neighSuppress: data.flag(IFLA_BRPORT.NEIGH_SUPPRESS),
      isolated: data.flag(IFLA_BRPORT.ISOLATED),
      locked: data.flag(IFLA_BRPORT.LOCKED),
    })
  );
}

/** As many signed numbers as the kernel knows settings. */
function decodeIpv6(attributes: Attributes): Ipv6Conf | undefined {
  const conf = attributes.nested(IFLA.AF_SPEC)?.nested(AF.INET6)?.bytes(IFLA_INET6_CONF);
  if (conf === undefined) return undefined;
  const at = (place: number) => new Reader(conf.subarray(4 * place), 'IFLA_INET6_CONF').i32le();
  return { acceptRa: at(DEVCONF.ACCEPT_RA), disableIpv6: at(DEVCONF.DISABLE_IPV6) };
}
