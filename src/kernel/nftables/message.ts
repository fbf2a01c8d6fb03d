import { Reader, Writer } from '../../lib/bytes.ts';
import { defined } from '../../lib/defined.ts';
import { type Attributes, AttributeWriter, decodeAttributes } from '../netlink/attribute.ts';
import { type Expression, readExpressions, writeExpressions } from './expression.ts';

/** Messages of nf_tables (linux/netfilter/nf_tables.h), those of them that are sent without libnftables. */

export const NFNL_SUBSYS_NFTABLES = 10;
/** linux/netfilter/nfnetlink.h: between these two stands what is done together or not at all. */
export const NFNL_MSG_BATCH = { BEGIN: 0x10, END: 0x11 } as const;

export const NFT_MSG = {
  ...{ NEWCHAIN: type(3), DELCHAIN: type(5) },
  ...{ NEWRULE: type(6), DELRULE: type(8) },
} as const;

function type(message: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | message;
}

/** Which of the NF_INET and NFPROTO families. */
export const NFPROTO = { UNSPEC: 0, NETDEV: 5 } as const;

/** A chain of family netdev. */
export interface NftChainMessage {
  readonly table: string;
  readonly name: string;
  /** Absent in a chain that others jump to. */
  readonly hook?: IngressHook;
}

/** `type filter hook ingress device DEVICE priority PRIORITY; policy POLICY` */
export interface IngressHook {
  readonly device: string;
  readonly priority: number;
  /** A VERDICT */
  readonly policy: number;
}

export interface NftRuleMessage {
  readonly table: string;
  readonly chain: string;
  readonly expressions: readonly Expression[];
  /** At most 127 bytes, as in nft. */
  readonly comment?: string;
}

const NFTA_CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
const NFTA_HOOK = { HOOKNUM: 1, PRIORITY: 2, DEV: 3 } as const;
const NF_NETDEV_INGRESS = 0;
const NFTA_RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4, USERDATA: 7 } as const;

/** Of NFT_MSG_NEWCHAIN and NFT_MSG_DELCHAIN. */
export const nftChain = {
  encode({ table, name, hook }: NftChainMessage): Uint8Array {
    return encode((attributes) => {
      attributes.text(NFTA_CHAIN.TABLE, table).text(NFTA_CHAIN.NAME, name);
      if (hook === undefined) return;
      attributes.text(NFTA_CHAIN.TYPE, 'filter').u32be(NFTA_CHAIN.POLICY, hook.policy);
      attributes.nested(NFTA_CHAIN.HOOK, (inside) => {
        inside.u32be(NFTA_HOOK.HOOKNUM, NF_NETDEV_INGRESS).u32be(NFTA_HOOK.PRIORITY, hook.priority >>> 0);
        inside.text(NFTA_HOOK.DEV, hook.device);
      });
    });
  },

  /** @throws DecodeError */
  decode(payload: Uint8Array): NftChainMessage {
    const attributes = decode(payload, 'NFTA_CHAIN');
    const hook = attributes.nested(NFTA_CHAIN.HOOK);
    return defined<NftChainMessage>({
      table: attributes.text(NFTA_CHAIN.TABLE) ?? '',
      name: attributes.text(NFTA_CHAIN.NAME) ?? '',
      hook: hook && {
        device: hook.text(NFTA_HOOK.DEV) ?? '',
        priority: (hook.u32be(NFTA_HOOK.PRIORITY) ?? 0) | 0,
        policy: attributes.u32be(NFTA_CHAIN.POLICY) ?? 0,
      },
    });
  },
};

/** Of NFT_MSG_NEWRULE. */
export const nftRule = {
  encode({ table, chain, expressions, comment }: NftRuleMessage): Uint8Array {
    return encode((attributes) => {
      attributes.text(NFTA_RULE.TABLE, table).text(NFTA_RULE.CHAIN, chain);
      attributes.nested(NFTA_RULE.EXPRESSIONS, (list) => writeExpressions(list, expressions));
      if (comment !== undefined) attributes.bytes(NFTA_RULE.USERDATA, encodeComment(comment));
    });
  },

  /** @throws DecodeError also for expressions that we do not send */
  decode(payload: Uint8Array): NftRuleMessage {
    const attributes = decode(payload, 'NFTA_RULE');
    const userdata = attributes.bytes(NFTA_RULE.USERDATA);
    return defined<NftRuleMessage>({
      table: attributes.text(NFTA_RULE.TABLE) ?? '',
      chain: attributes.text(NFTA_RULE.CHAIN) ?? '',
      expressions: readExpressions(attributes.list(NFTA_RULE.EXPRESSIONS) ?? []),
      comment: userdata && readComment(userdata),
    });
  },
};

//  struct nfgenmsg: | nfgen_family:8 | version:8 | res_id:16be |
/** The header of the messages that begin and end a batch; its resource is the subsystem. */
export function encodeBatchMark(): Uint8Array {
  return new Writer().u8(NFPROTO.UNSPEC).u8(0).u16be(NFNL_SUBSYS_NFTABLES).finish();
}

function encode(write: (attributes: AttributeWriter) => void): Uint8Array {
  const writer = new Writer().u8(NFPROTO.NETDEV).u8(0).u16be(0);
  write(new AttributeWriter(writer));
  return writer.finish();
}

function decode(payload: Uint8Array, what: string): Attributes {
  const reader = new Reader(payload, what);
  reader.skip(4);
  return decodeAttributes(reader.rest(), what);
}

const NFTNL_UDATA_RULE_COMMENT = 0;
const MAX_COMMENT = 128;

//  libnftnl's user data, opaque to the kernel: | type:8 | length:8 | value |  and again. A comment ends with a NUL.
function encodeComment(comment: string): Uint8Array {
  const text = new Writer().text(comment).u8(0).finish();
  if (text.length > MAX_COMMENT)
    throw new RangeError(`a comment of ${text.length} bytes, at most ${MAX_COMMENT} are read`);
  return new Writer().u8(NFTNL_UDATA_RULE_COMMENT).u8(text.length).bytes(text).finish();
}

function readComment(userdata: Uint8Array): string | undefined {
  const reader = new Reader(userdata, 'NFTA_RULE_USERDATA');
  while (reader.remaining > 0) {
    const kind = reader.u8();
    const value = reader.bytes(reader.u8());
    if (kind === NFTNL_UDATA_RULE_COMMENT) return new Reader(value, 'a comment').text(MAX_COMMENT);
  }
  return undefined;
}
