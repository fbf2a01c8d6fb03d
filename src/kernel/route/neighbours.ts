import { Reader, Writer } from '../../lib/bytes.ts';
import { defined } from '../../lib/defined.ts';
import { AttributeWriter, decodeAttributes } from '../netlink/attribute.ts';
import { NLM_F } from '../netlink/message.ts';
import type { Netlink, Request } from '../netlink/socket.ts';
import { AF, familyOf, RTM } from './rtnetlink.ts';

/**
 * Neighbours: which MAC has an address (ARP, ND), and behind which port or host a MAC is (the forwarding database of
 * bridges and vxlan devices). Both are RTM_NEWNEIGH and its kin; linux/neighbour.h.
 */
export interface Neighbour {
  /** Of the link. */
  readonly index: number;
  readonly address: string;
  /** Unknown in some states. */
  readonly mac?: string;
  /** NUD */
  readonly state: number;
  /** NTF */
  readonly flags: number;
}

/** One to be added: permanent unless said. */
export type NewNeighbour = Pick<Neighbour, 'index' | 'address' | 'mac'> & Partial<Neighbour>;

export interface FdbEntry {
  /** Of the link: a bridge's port, a bridge itself, or a vxlan device. */
  readonly index: number;
  readonly mac: string;
  /** Of a vxlan device: the host behind which the MAC is. */
  readonly dst?: string;
  readonly vlan?: number;
  /** Of a bridge: its index. */
  readonly master?: number;
  /** NUD */
  readonly state: number;
  /** NTF */
  readonly flags: number;
}

/**
 * One to be added. With `dst` it is a vxlan device's own (NTF_SELF, permanent), without it is the bridge's that the link is
 * a port of (NTF_MASTER, static: NUD_NOARP), unless flags and state are said.
 */
export type NewFdbEntry = Pick<FdbEntry, 'index' | 'mac' | 'dst'> & Partial<FdbEntry>;

export const NUD = { REACHABLE: 0x02, STALE: 0x04, FAILED: 0x20, NOARP: 0x40, PERMANENT: 0x80 } as const;
export const NTF = { SELF: 0x02, MASTER: 0x04, EXT_LEARNED: 0x10, STICKY: 0x40, ROUTER: 0x80 } as const;

const NDA = { DST: 1, LLADDR: 2, VLAN: 5, IFINDEX: 8, MASTER: 9 } as const;

//  struct ndmsg: | ndm_family:8 | pad:24 | ndm_ifindex:s32 | ndm_state:16 | ndm_flags:8 | ndm_type:8 |
/** The content of an RTM_*NEIGH message: header, then NDA_* attributes. */
export const ndmsg = {
  encode(neighbour: NewNeighbour): Uint8Array {
    const { index, address, mac, state = NUD.PERMANENT, flags = 0 } = neighbour;
    const writer = header(familyOf(address), index, state, flags);
    new AttributeWriter(writer).address(NDA.DST, address).mac(NDA.LLADDR, mac);
    return writer.finish();
  },

  /** @throws DecodeError */
  decode(payload: Uint8Array): Neighbour {
    const reader = new Reader(payload, 'ndmsg');
    const { index, state, flags } = decodeHeader(reader);
    const attributes = decodeAttributes(reader.rest(), 'NDA');
    const address = attributes.address(NDA.DST) ?? reader.fail('no address');
    const mac = attributes.bytes(NDA.LLADDR)?.length === 6 ? attributes.mac(NDA.LLADDR) : undefined;
    return defined<Neighbour>({ index, address, mac, state, flags });
  },
};

/** The same message with family AF_BRIDGE. */
export const fdbmsg = {
  encode(entry: NewFdbEntry): Uint8Array {
    const {
      index,
      mac,
      dst,
      vlan,
      state = dst ? NUD.PERMANENT : NUD.NOARP,
      flags = dst ? NTF.SELF : NTF.MASTER,
    } = entry;
    const writer = header(AF.BRIDGE, index, state, flags);
    new AttributeWriter(writer).mac(NDA.LLADDR, mac).address(NDA.DST, dst).u16(NDA.VLAN, vlan);
    return writer.finish();
  },

  /** @throws DecodeError */
  decode(payload: Uint8Array): FdbEntry {
    const reader = new Reader(payload, 'ndmsg');
    const { index, state, flags } = decodeHeader(reader);
    const attributes = decodeAttributes(reader.rest(), 'NDA');
    return defined<FdbEntry>({
      index,
      mac: attributes.mac(NDA.LLADDR) ?? reader.fail('no MAC address'),
      dst: attributes.address(NDA.DST),
      vlan: attributes.u16(NDA.VLAN),
      master: attributes.u32(NDA.MASTER),
      state,
      flags,
    });
  },
};

/** ARP and ND entries. `*Message` builds the request only, for `Netlink.requests`. */
export const neighbours = {
  /** Of one link, or of all. Equivalent to `ip neighbour show dev LINK nud all`. */
  list(nl: Netlink, filter: { readonly index?: number } = {}): Neighbour[] {
    const writer = header(AF.UNSPEC, 0, 0, 0);
    new AttributeWriter(writer).u32(NDA.IFINDEX, filter.index);
    return nl.dump({ action: 'list neighbours', type: RTM.GETNEIGH, payload: writer.finish() }, ({ payload }) =>
      payload[0] === AF.INET || payload[0] === AF.INET6 ? ndmsg.decode(payload) : undefined,
    );
  },

  addMessage(neighbour: NewNeighbour): Request {
    const action = `set neighbour ${neighbour.address} of link ${neighbour.index}`;
    const flags = NLM_F.CREATE | NLM_F.REPLACE;
    return { action, type: RTM.NEWNEIGH, flags, payload: ndmsg.encode(neighbour) };
  },

  /** Adds or replaces. Equivalent to `ip neighbour replace ADDRESS lladdr MAC dev LINK nud permanent`. */
  add(nl: Netlink, neighbour: NewNeighbour): void {
    nl.request(neighbours.addMessage(neighbour));
  },

  removeMessage({ index, address }: Pick<Neighbour, 'index' | 'address'>): Request {
    const action = `remove neighbour ${address} of link ${index}`;
    return { action, type: RTM.DELNEIGH, payload: ndmsg.encode({ index, address, state: 0 }) };
  },

  /** Equivalent to `ip neighbour delete ADDRESS dev LINK`. */
  remove(nl: Netlink, neighbour: Pick<Neighbour, 'index' | 'address'>): void {
    nl.request(neighbours.removeMessage(neighbour));
  },
};

/** Forwarding databases. `*Message` builds the request only, for `Netlink.requests`. */
export const fdb = {
  /** Of one link, both its own and its bridge's for it, or of all. Equivalent to `bridge fdb show brport LINK`. */
  list(nl: Netlink, filter: { readonly index?: number } = {}): FdbEntry[] {
    const writer = header(AF.BRIDGE, filter.index ?? 0, 0, 0);
    const request = { action: 'list forwarding entries', type: RTM.GETNEIGH, payload: writer.finish() };
    return nl.dump(request, ({ payload }) => fdbmsg.decode(payload));
  },

  addMessage(entry: NewFdbEntry): Request {
    const action = `set forwarding entry ${describe(entry)}`;
    return { action, type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.REPLACE, payload: fdbmsg.encode(entry) };
  },

  /**
   * Adds or replaces. Equivalent to `bridge fdb replace MAC dev VXLAN dst HOST self permanent` or
   * `bridge fdb replace MAC dev PORT master static`.
   */
  add(nl: Netlink, entry: NewFdbEntry): void {
    nl.request(fdb.addMessage(entry));
  },

  removeMessage(entry: NewFdbEntry): Request {
    const action = `remove forwarding entry ${describe(entry)}`;
    return { action, type: RTM.DELNEIGH, payload: fdbmsg.encode(entry) };
  },

  /** Equivalent to `bridge fdb delete MAC dev VXLAN dst HOST self` or `bridge fdb delete MAC dev PORT master`. */
  remove(nl: Netlink, entry: NewFdbEntry): void {
    nl.request(fdb.removeMessage(entry));
  },
};

function describe({ index, mac, dst }: NewFdbEntry): string {
  return `${mac}${dst === undefined ? '' : ` to ${dst}`} of link ${index}`;
}

function header(family: number, index: number, state: number, flags: number): Writer {
  return new Writer().u8(family).zeros(3).u32le(index).u16le(state).u8(flags).u8(0);
}

function decodeHeader(reader: Reader): Pick<Neighbour, 'index' | 'state' | 'flags'> {
  reader.skip(4);
  const index = reader.i32le();
  const state = reader.u16le();
  const flags = reader.u8();
  reader.skip(1);
  return { index, state, flags };
}
