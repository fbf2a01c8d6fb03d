import { Reader, Writer } from '../../lib/bytes.ts';
import { isKernelError, KernelError } from '../kernel-error.ts';
import { type Attributes, AttributeWriter, decodeAttributes, formatMac, macBytes } from '../netlink/attribute.ts';
import { NLM_F } from '../netlink/message.ts';
import type { Netlink, Request } from '../netlink/socket.ts';
import { AF, RTM } from './rtnetlink.ts';

/**
 * Redirects at a link's ingress: frames with a MAC as their destination leave by another link at once, whatever the link is
 * a port of. Made of a clsact queueing discipline and u32 filters with the action mirred (linux/pkt_sched.h, pkt_cls.h,
 * tc_act/tc_mirred.h): a hash table by the last byte of the MAC, and in it a filter for each MAC.
 */
export interface Redirect {
  /** Of the link that the frames come in by. */
  readonly index: number;
  readonly mac: string;
  /** Index of the link that they leave by; 0 when that is gone: then they are dropped. */
  readonly to: number;
  /** What the kernel knows it by. */
  readonly handle: number;
}

const TCA = { KIND: 1, OPTIONS: 2 } as const;
const TCA_U32 = { HASH: 2, LINK: 3, DIVISOR: 4, SEL: 5, ACT: 7 } as const;
const TCA_ACT = { KIND: 1, OPTIONS: 2 } as const;
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_STOLEN = 4;
const TC_U32_TERMINAL = 1;

const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
/** The ingress side of a clsact: TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS). */
const INGRESS = 0xfffffff2;
/** Priority 1, ETH_P_ALL. */
const INFO = 0x10300;

/** A u32 handle is table:12 | bucket:8 | node:12; the kernel makes table 800 itself, where a packet begins. */
const TABLE = 0x00100000;
const ROOT = 0x80000000;
const TABLE_MASK = 0xfff00000;
const BUCKETS = 256;

/** Offsets count from the network header, before which the Ethernet header is: | destination:48 | source:48 | type:16 |. */
const DESTINATION = { high: -16, low: -12 } as const;
const SOURCE = -8;
/** As for a bridge, a frame from a group of hosts is none. */
const GROUP_BIT = 0x01000000;

/** `*Message` builds the request only, for `Netlink.requests`. */
export const redirects = {
  /**
   * Makes it possible to redirect what comes in by a link, beginning anew with none.
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
      if (isKernelError(error, 'ENOENT', 'EOPNOTSUPP')) return false;
      throw error;
    }
  },

  /** Ends all of a link's. Equivalent to `tc qdisc delete dev LINK clsact`. */
  closeMessage(index: number): Request {
    const payload = tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0).finish();
    return { action: `end the redirects of link ${index}`, type: RTM.DELQDISC, payload };
  },

  /**
   * @returns the handle. @throws KernelError. Equivalent to `tc filter add dev LINK ingress protocol all prio 1 u32 ht 1:LAST:
   * match ether dst MAC match u8 0 1 at -8 action mirred egress redirect dev TO`.
   */
  add(nl: Netlink, redirect: Omit<Redirect, 'handle'>): number {
    const request = addMessage(redirect);
    const [echo] = nl.request({ ...request, flags: NLM_F.CREATE | NLM_F.EXCL | NLM_F.ECHO });
    if (echo === undefined)
      throw new KernelError(request.action, 'EPROTO', { detail: 'the kernel did not say its handle' });
    return tfilter.decode(echo.payload).handle;
  },

  removeMessage({ index, handle }: Pick<Redirect, 'index' | 'handle'>): Request {
    const writer = tcmsg(index, handle, INGRESS, INFO);
    new AttributeWriter(writer).text(TCA.KIND, 'u32');
    return { action: `remove a redirect of link ${index}`, type: RTM.DELTFILTER, payload: writer.finish() };
  },

  /** @returns undefined when it is not open. Equivalent to `tc filter show dev LINK ingress`. @throws KernelError */
  list(nl: Netlink, index: number): readonly Redirect[] | undefined {
    const action = `list the redirects of link ${index}`;
    const replies = nl.dump({ action, type: RTM.GETTFILTER, payload: tcmsg(index, 0, INGRESS, 0).finish() });
    const filters = replies.map(({ payload }) => tfilter.decode(payload));
    const isOpen =
      filters.some(({ handle, divisor }) => handle === TABLE && divisor === BUCKETS) &&
      filters.some(({ handle, link }) => (handle & TABLE_MASK) >>> 0 === ROOT && link === TABLE);
    if (!isOpen) return undefined;
    return filters.flatMap(({ handle, mac, to }) => (mac === undefined ? [] : [{ index, mac, to, handle }]));
  },
} as const;

interface Filter {
  readonly handle: number;
  /** Of a hash table: how many buckets it has. */
  readonly divisor?: number | undefined;
  /** The hash table that it leads to. */
  readonly link?: number | undefined;
  /** Of a redirect. */
  readonly mac?: string | undefined;
  readonly to: number;
}

/** The content of an RTM_*TFILTER message, as far as it is one of ours. */
export const tfilter = {
  /** @throws DecodeError */
  decode(payload: Uint8Array): Filter {
    const reader = new Reader(payload, 'tcmsg');
    reader.skip(8);
    const handle = reader.u32le();
    reader.skip(8);
    const attributes = decodeAttributes(reader.rest(), 'TCA');
    const options = attributes.text(TCA.KIND) === 'u32' ? attributes.nested(TCA.OPTIONS) : undefined;
    const sel = options?.bytes(TCA_U32.SEL);
    return {
      handle,
      divisor: options?.u32(TCA_U32.DIVISOR),
      link: options?.u32(TCA_U32.LINK),
      mac: sel && decodeMac(sel),
      to: options === undefined ? 0 : decodeTarget(options),
    };
  },
} as const;

function openMessages(index: number): readonly Request[] {
  const action = `make redirects possible at link ${index}`;
  const flags = NLM_F.CREATE | NLM_F.EXCL;
  const clsact = tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0);
  new AttributeWriter(clsact).text(TCA.KIND, 'clsact');
  const table = u32(index, TABLE, (options) => options.u32(TCA_U32.DIVISOR, BUCKETS));
  const lead = u32(index, 0, (options) =>
    options
      .u32(TCA_U32.HASH, ROOT)
      .u32(TCA_U32.LINK, TABLE)
      .bytes(TCA_U32.SEL, encodeSel([[0, 0, 0]], { flags: 0, hashed: DESTINATION.low, mask: 0xff })),
  );
  return [
    { action, type: RTM.NEWQDISC, flags, payload: clsact.finish() },
    { action, type: RTM.NEWTFILTER, flags, payload: table },
    { action, type: RTM.NEWTFILTER, flags, payload: lead },
  ];
}

function addMessage({ index, mac, to }: Omit<Redirect, 'handle'>): Request {
  const bytes = Buffer.from(macBytes(mac));
  const [high, low] = [bytes.readUInt16BE(0), bytes.readUInt32BE(2)];
  const keys: readonly Key[] = [
    [0xffff, high, DESTINATION.high],
    [0xffffffff, low, DESTINATION.low],
    [GROUP_BIT, 0, SOURCE],
  ];
  const payload = u32(index, 0, (options) =>
    options
      .u32(TCA_U32.HASH, TABLE | ((low & 0xff) << 12))
      .bytes(TCA_U32.SEL, encodeSel(keys, { flags: TC_U32_TERMINAL, hashed: 0, mask: 0 }))
      .nested(TCA_U32.ACT, (actions) =>
        actions.nested(1, (action) =>
          action.text(TCA_ACT.KIND, 'mirred').nested(TCA_ACT.OPTIONS, (parameters) => {
            parameters.bytes(TCA_MIRRED_PARMS, encodeMirred(to));
          }),
        ),
      ),
  );
  return { action: `redirect ${mac} from link ${index} to link ${to}`, type: RTM.NEWTFILTER, payload };
}

function u32(index: number, handle: number, write: (options: AttributeWriter) => void): Uint8Array {
  const writer = tcmsg(index, handle, INGRESS, INFO);
  new AttributeWriter(writer).text(TCA.KIND, 'u32').nested(TCA.OPTIONS, write);
  return writer.finish();
}

//  struct tcmsg: | family:8 | pad:24 | ifindex:s32 | handle:32 | parent:32 | info:32 |
function tcmsg(index: number, handle: number, parent: number, info: number): Writer {
  return new Writer().u8(AF.UNSPEC).zeros(3).u32le(index).u32le(handle).u32le(parent).u32le(info);
}

type Key = readonly [mask: number, value: number, offset: number];

//  struct tc_u32_sel: | flags:8 | offshift:8 | nkeys:8 | pad:8 | offmask:16 | off:16 | offoff:s16 | hoff:s16 | hmask:be32 |
//  then each struct tc_u32_key: | mask:be32 | val:be32 | off:s32 | offmask:s32 |
function encodeSel(keys: readonly Key[], of: { flags: number; hashed: number; mask: number }): Uint8Array {
  const writer = new Writer().u8(of.flags).u8(0).u8(keys.length).zeros(7);
  writer.u16le(of.hashed & 0xffff).u32be(of.mask);
  for (const [mask, value, offset] of keys)
    writer
      .u32be(mask)
      .u32be(value)
      .u32le(offset >>> 0)
      .u32le(0);
  return writer.finish();
}

/** Of what `addMessage` writes, else undefined. */
function decodeMac(sel: Uint8Array): string | undefined {
  const reader = new Reader(sel, 'tc_u32_sel');
  reader.skip(2);
  const count = reader.u8();
  reader.skip(13);
  if (count !== 3) return undefined;
  const keys = [0, 1, 2].map(() => {
    const key = { mask: reader.u32be(), value: reader.bytes(4), offset: reader.i32le() };
    reader.skip(4);
    return key;
  });
  const [high, low, source] = keys;
  const ours = high?.offset === DESTINATION.high && low?.offset === DESTINATION.low && source?.offset === SOURCE;
  return ours && source.mask === GROUP_BIT ? formatMac(Buffer.concat([high.value.subarray(2), low.value])) : undefined;
}

//  struct tc_mirred: | index:32 | capab:32 | action:s32 | refcnt:s32 | bindcnt:s32 | eaction:s32 | ifindex:32 |
function encodeMirred(to: number): Uint8Array {
  return new Writer().zeros(8).u32le(TC_ACT_STOLEN).zeros(8).u32le(TCA_EGRESS_REDIR).u32le(to).finish();
}

function decodeTarget(options: Attributes): number {
  const [action] = options.list(TCA_U32.ACT) ?? [];
  const mirred = action?.nested(TCA_ACT.OPTIONS)?.bytes(TCA_MIRRED_PARMS);
  if (mirred === undefined) return 0;
  const reader = new Reader(mirred, 'tc_mirred');
  reader.skip(20);
  return reader.i32le() === TCA_EGRESS_REDIR ? reader.u32le() : 0;
}
