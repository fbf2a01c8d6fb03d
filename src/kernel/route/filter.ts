import { Reader, Writer } from '../../lib/bytes.ts';
import { type Attributes, AttributeWriter, decodeAttributes } from '../netlink/attribute.ts';
import { NLM_F } from '../netlink/message.ts';
import type { Netlink, Request } from '../netlink/socket.ts';
import { AF, RTM } from './rtnetlink.ts';

/**
 * Filters at a link's clsact: of the kind u32, which compares words of a packet, and with the action mirred, which sends it
 * out by another link (linux/pkt_sched.h, pkt_cls.h, tc_act/tc_mirred.h). They come before the nftables hooks of the link.
 */

/** TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) and the like. */
const SIDE = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;

/** Where a filter stands. The sides of one clsact share its hash tables. */
export interface FilterPlace {
  /** Of the link. */
  readonly index: number;
  readonly side: keyof typeof SIDE;
  readonly priority: number;
  /** ETH_P_*: whatever has a VLAN tag is of no protocol but ALL. */
  readonly protocol: number;
}

/** A word of the packet is compared at an offset from its network header; before that the Ethernet header is. */
export type Key = readonly [mask: number, value: number, offset: number];

/** What a u32 filter is made of, or a hash table for filters. */
interface U32 {
  /** table:12 | bucket:8 | node:12; the kernel finds one where it is 0. */
  readonly handle?: number;
  /** Of a hash table: how many buckets it has. */
  readonly divisor?: number;
  /** Table and bucket that it stands in, if not where packets begin. */
  readonly hash?: number;
  /** The table that it leads to, and the byte that chooses the bucket: offset of a word from the network header, and mask. */
  readonly link?: { readonly table: number; readonly offset: number; readonly mask: number };
  readonly keys?: readonly Key[];
  /** Index of the link that what matches leaves by. */
  readonly to?: number;
}

export const ETH_P = { ALL: 0x0003, IP: 0x0800, IPV6: 0x86dd } as const;

const TCA = { KIND: 1, OPTIONS: 2 } as const;
const TCA_U32 = { HASH: 2, LINK: 3, DIVISOR: 4, SEL: 5, ACT: 7 } as const;
const TCA_ACT = { KIND: 1, OPTIONS: 2 } as const;
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_STOLEN = 4;
const TC_U32_TERMINAL = 1;
const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const MAKE = NLM_F.CREATE | NLM_F.EXCL;

/** `*Message` builds the request only, for `Netlink.requests`. */
export const clsact = {
  /** If it has none. Equivalent to `tc qdisc replace dev LINK clsact`. */
  addMessage(index: number): Request {
    const payload = tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0);
    new AttributeWriter(payload).text(TCA.KIND, 'clsact');
    return {
      action: `add a clsact to link ${index}`,
      type: RTM.NEWQDISC,
      flags: NLM_F.CREATE,
      payload: payload.finish(),
    };
  },

  /** With all filters. A link that is up loses packets meanwhile. Equivalent to `tc qdisc delete dev LINK clsact`. */
  removeMessage(index: number): Request {
    const payload = tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0).finish();
    return { action: `remove the clsact of link ${index}`, type: RTM.DELQDISC, payload };
  },
} as const;

/** `*Message` builds the request only, for `Netlink.requests`. */
export const filters = {
  /** Equivalent to `tc filter add dev LINK SIDE protocol PROTOCOL prio PRIORITY u32 …`. */
  addMessage(place: FilterPlace, { handle = 0, divisor, hash, link, keys, to }: U32): Request {
    const writer = tcmsg(place.index, handle, SIDE[place.side], infoOf(place));
    const sel =
      keys && encodeSel(keys, { terminal: to !== undefined, offset: link?.offset ?? 0, mask: link?.mask ?? 0 });
    new AttributeWriter(writer).text(TCA.KIND, 'u32').nested(TCA.OPTIONS, (options) => {
      options.u32(TCA_U32.DIVISOR, divisor).u32(TCA_U32.HASH, hash).u32(TCA_U32.LINK, link?.table);
      options.bytes(TCA_U32.SEL, sel);
      if (to !== undefined) writeRedirect(options, to);
    });
    const action = `add a filter to link ${place.index}${to === undefined ? '' : ` that leads to link ${to}`}`;
    return { action, type: RTM.NEWTFILTER, flags: MAKE, payload: writer.finish() };
  },

  removeMessage(place: FilterPlace, handle: number): Request {
    const writer = tcmsg(place.index, handle, SIDE[place.side], infoOf(place));
    new AttributeWriter(writer).text(TCA.KIND, 'u32');
    return { action: `remove a filter of link ${place.index}`, type: RTM.DELTFILTER, payload: writer.finish() };
  },

  /** All of one side. Equivalent to `tc filter del dev LINK SIDE`. */
  clearMessage(index: number, side: keyof typeof SIDE): Request {
    const payload = tcmsg(index, 0, SIDE[side], 0).finish();
    return { action: `remove the filters of link ${index}`, type: RTM.DELTFILTER, payload };
  },

  /** Empty when there is no clsact. Equivalent to `tc filter show dev LINK SIDE`. @throws KernelError */
  list(nl: Netlink, index: number, side: keyof typeof SIDE): readonly Filter[] {
    const payload = tcmsg(index, 0, SIDE[side], 0).finish();
    const action = `list the filters of link ${index}`;
    return nl.dump({ action, type: RTM.GETTFILTER, payload }, (reply) => tfilter.decode(reply.payload));
  },
} as const;

/** What the kernel tells of a filter, as far as it is of the kind u32. It tells of each priority once without a handle. */
export interface Filter {
  readonly handle: number;
  readonly priority: number;
  readonly protocol: number;
  readonly divisor?: number;
  /** The hash table that it leads to. */
  readonly link?: number;
  readonly keys?: readonly Key[];
  /** Index of the link that it sends packets out by; 0 when it does not, or when that is gone: then they are dropped. */
  readonly to: number;
}

/** The content of an RTM_*TFILTER message. */
export const tfilter = {
  /** @throws DecodeError */
  decode(payload: Uint8Array): Filter {
    const reader = new Reader(payload, 'tcmsg');
    reader.skip(8);
    const handle = reader.u32le();
    reader.skip(4);
    const protocol = reader.u16be();
    const priority = reader.u16le();
    const attributes = decodeAttributes(reader.rest(), 'TCA');
    const options = attributes.text(TCA.KIND) === 'u32' ? attributes.nested(TCA.OPTIONS) : undefined;
    const [divisor, link] = [options?.u32(TCA_U32.DIVISOR), options?.u32(TCA_U32.LINK)];
    const sel = options?.bytes(TCA_U32.SEL);
    return {
      ...{ handle, priority, protocol },
      ...(divisor !== undefined && { divisor }),
      ...(link !== undefined && { link }),
      ...(sel && { keys: decodeSel(sel) }),
      to: options === undefined ? 0 : decodeTarget(options),
    };
  },
} as const;

//  struct tcmsg: | family:8 | pad:24 | ifindex:s32 | handle:32 | parent:32 | info: protocol:be16, priority:16 |
function tcmsg(index: number, handle: number, parent: number, info: number): Writer {
  return new Writer().u8(AF.UNSPEC).zeros(3).u32le(index).u32le(handle).u32le(parent).u32le(info);
}

function infoOf({ priority, protocol }: FilterPlace): number {
  return (priority << 16) | ((protocol & 0xff) << 8) | (protocol >> 8);
}

//  struct tc_u32_sel: | flags:8 | offshift:8 | nkeys:8 | pad:8 | offmask:16 | off:16 | offoff:s16 | hoff:s16 | hmask:be32 |
//  then each struct tc_u32_key: | mask:be32 | val:be32 | off:s32 | offmask:s32 |
function encodeSel(
  keys: readonly Key[],
  of: { readonly terminal: boolean; readonly offset: number; readonly mask: number },
): Uint8Array {
  const writer = new Writer()
    .u8(of.terminal ? TC_U32_TERMINAL : 0)
    .u8(0)
    .u8(keys.length)
    .zeros(7);
  writer.u16le(of.offset & 0xffff).u32be(of.mask);
  for (const [mask, value, offset] of keys) {
    writer.u32be(mask).u32be(value);
    writer.u32le(offset >>> 0).u32le(0);
  }
  return writer.finish();
}

function decodeSel(sel: Uint8Array): readonly Key[] {
  const reader = new Reader(sel, 'tc_u32_sel');
  reader.skip(2);
  const count = reader.u8();
  reader.skip(13);
  return Array.from({ length: count }, (): Key => {
    const key = [reader.u32be(), reader.u32be(), reader.i32le()] as const;
    reader.skip(4);
    return key;
  });
}

//  struct tc_mirred: | index:32 | capab:32 | action:s32 | refcnt:s32 | bindcnt:s32 | eaction:s32 | ifindex:32 |
function writeRedirect(options: AttributeWriter, to: number): void {
  const mirred = new Writer().zeros(8).u32le(TC_ACT_STOLEN).zeros(8).u32le(TCA_EGRESS_REDIR).u32le(to).finish();
  options.nested(TCA_U32.ACT, (actions) =>
    actions.nested(1, (action) =>
      action.text(TCA_ACT.KIND, 'mirred').nested(TCA_ACT.OPTIONS, (parameters) => {
        parameters.bytes(TCA_MIRRED_PARMS, mirred);
      }),
    ),
  );
}

function decodeTarget(options: Attributes): number {
  const [action] = options.list(TCA_U32.ACT) ?? [];
  const mirred = action?.nested(TCA_ACT.OPTIONS)?.bytes(TCA_MIRRED_PARMS);
  if (mirred === undefined) return 0;
  const reader = new Reader(mirred, 'tc_mirred');
  reader.skip(20);
  return reader.i32le() === TCA_EGRESS_REDIR ? reader.u32le() : 0;
}

/** Whether a filter compares just this. */
export function isMatching(keys: readonly Key[], { keys: is = [] }: Filter): boolean {
  return is.length === keys.length && keys.every((key, i) => key.every((word, at) => word === is[i]?.[at]));
}

/** What its key of that place has to be; 0 when there is none. */
export function keyValue({ keys }: Filter, place: number): number {
  return keys?.[place]?.[1] ?? 0;
}
