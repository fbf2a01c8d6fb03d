import { Reader, Writer } from '../../lib/bytes.ts';
import { defined } from '../../lib/defined.ts';
import { type Attributes, AttributeWriter, decodeAttributes } from '../netlink/attribute.ts';
import { type Expression, readExpressions, writeExpressions } from './expression.ts';

/** Messages of nf_tables (linux/netfilter/nf_tables.h), those of them that are sent without libnftables. */

export const NFNL_SUBSYS_NFTABLES = 10;
/** linux/netfilter/nfnetlink.h: between these two stands what is done together or not at all. */
export const NFNL_MSG_BATCH = { BEGIN: 0x10, END: 0x11 } as const;

export const NFT_MSG = {
  ...{ NEWTABLE: type(0), GETTABLE: type(1) },
  ...{ NEWCHAIN: type(3), GETCHAIN: type(4), DELCHAIN: type(5) },
  ...{ NEWRULE: type(6), GETRULE: type(7), DELRULE: type(8) },
  ...{ NEWSET: type(9), GETSET: type(10) },
} as const;

function type(message: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | message;
}

export const NFPROTO = { UNSPEC: 0, INET: 1, IPV4: 2, ARP: 3, NETDEV: 5, BRIDGE: 7, IPV6: 10 } as const;

/** A chain of family netdev. */
export interface NftChainMessage {
  readonly table: string;
  readonly name: string;
  /** Absent in a chain that others jump to. */
  readonly hook?: NetdevHook;
}

/** `type filter hook HOOK device DEVICE priority PRIORITY; policy POLICY`: the family has no other type. */
export interface NetdevHook {
  /** A NF_NETDEV */
  readonly hook: number;
  /** Empty when it is on none, or on several. */
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

export interface NftTableMessage {
  /** A NFPROTO */
  readonly family: number;
  readonly name: string;
}

export interface NftSetMessage {
  readonly table: string;
  readonly name: string;
  /** Whether it is part of a rule, and has no name of its own. */
  readonly anonymous: boolean;
  /** Whether its elements lead to values. */
  readonly map: boolean;
}

export const NF_NETDEV = { INGRESS: 0, EGRESS: 1 } as const;

const NFTA_TABLE_NAME = 1;
const NFTA_SET = { TABLE: 1, NAME: 2, FLAGS: 3 } as const;
const NFT_SET = { ANONYMOUS: 1, MAP: 8, OBJECT: 0x40 } as const;
const NFTA_CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
const NFTA_HOOK = { HOOKNUM: 1, PRIORITY: 2, DEV: 3 } as const;
const NFTA_RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4, USERDATA: 7 } as const;

/** Of NFT_MSG_NEWCHAIN and NFT_MSG_DELCHAIN. */
export const nftChain = {
  encode({ table, name, hook }: NftChainMessage): Uint8Array {
    return encode((attributes) => {
      attributes.text(NFTA_CHAIN.TABLE, table).text(NFTA_CHAIN.NAME, name);
      if (hook === undefined) return;
      attributes.text(NFTA_CHAIN.TYPE, 'filter').u32be(NFTA_CHAIN.POLICY, hook.policy);
      attributes.nested(NFTA_CHAIN.HOOK, (inside) => {
        inside.u32be(NFTA_HOOK.HOOKNUM, hook.hook).u32be(NFTA_HOOK.PRIORITY, hook.priority >>> 0);
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
        hook: hook.u32be(NFTA_HOOK.HOOKNUM) ?? 0,
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
    const expressions = readExpressions(attributes.list(NFTA_RULE.EXPRESSIONS) ?? []);
    return { ...readPlace(attributes), expressions };
  },
};

/** Of NFT_MSG_NEWRULE too, but what the rule does: where it stands, and what is said of it. */
export const nftRulePlace = {
  /** @throws DecodeError */
  decode(payload: Uint8Array): Omit<NftRuleMessage, 'expressions'> {
    return readPlace(decode(payload, 'NFTA_RULE'));
  },
};

/** Of NFT_MSG_NEWTABLE. */
export const nftTable = {
  /** @throws DecodeError */
  decode(payload: Uint8Array): NftTableMessage {
    const attributes = decode(payload, 'NFTA_TABLE');
    return { family: payload[0] ?? NFPROTO.UNSPEC, name: attributes.text(NFTA_TABLE_NAME) ?? '' };
  },
};

/** Of NFT_MSG_NEWSET. */
export const nftSet = {
  /** @throws DecodeError */
  decode(payload: Uint8Array): NftSetMessage {
    const attributes = decode(payload, 'NFTA_SET');
    const flags = attributes.u32be(NFTA_SET.FLAGS) ?? 0;
    return {
      table: attributes.text(NFTA_SET.TABLE) ?? '',
      name: attributes.text(NFTA_SET.NAME) ?? '',
      anonymous: (flags & NFT_SET.ANONYMOUS) !== 0,
      map: (flags & (NFT_SET.MAP | NFT_SET.OBJECT)) !== 0,
    };
  },
};

/** Of the GET messages, which list all of a family; rules those of one table. */
export function encodeQuery(family: number, table?: string): Uint8Array {
  const writer = new Writer().u8(family).u8(0).u16be(0);
  new AttributeWriter(writer).text(NFTA_RULE.TABLE, table);
  return writer.finish();
}

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

function readPlace(attributes: Attributes): Omit<NftRuleMessage, 'expressions'> {
  const userdata = attributes.bytes(NFTA_RULE.USERDATA);
  return defined<Omit<NftRuleMessage, 'expressions'>>({
    table: attributes.text(NFTA_RULE.TABLE) ?? '',
    chain: attributes.text(NFTA_RULE.CHAIN) ?? '',
    comment: userdata && readComment(userdata),
  });
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
