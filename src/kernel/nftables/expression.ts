import { DecodeError } from '../../lib/errors.ts';
import type { Attributes, AttributeWriter } from '../netlink/attribute.ts';

/**
 * What a rule is made of in the kernel (linux/netfilter/nf_tables.h): expressions that load something into a register,
 * compare it, and say what becomes of the packet. These are the ones that the rules of a port need; each uses register
 * 1, as nft's do.
 */
export type Expression =
  | { readonly kind: 'meta'; readonly key: number }
  | { readonly kind: 'payload'; readonly base: number; readonly offset: number; readonly length: number }
  | { readonly kind: 'cmp'; readonly op: number; readonly data: Uint8Array }
  | { readonly kind: 'verdict'; readonly code: number; readonly chain?: string };

/** enum nft_meta_keys */
export const NFT_META = { PROTOCOL: 1, IIFTYPE: 8, L4PROTO: 16 } as const;
/** enum nft_payload_bases */
export const NFT_PAYLOAD = { LL_HEADER: 0, NETWORK_HEADER: 1, TRANSPORT_HEADER: 2 } as const;
/** enum nft_cmp_ops */
export const NFT_CMP = { EQ: 0, NEQ: 1 } as const;
/** enum nft_verdicts and those of netfilter, as the kernel's signed numbers. */
export const VERDICT = { DROP: 0, ACCEPT: 1, JUMP: -3, GOTO: -4, RETURN: -5 } as const;

const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;
const NFTA_META = { DREG: 1, KEY: 2 } as const;
const NFTA_PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
const NFTA_CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
const NFTA_IMMEDIATE = { DREG: 1, DATA: 2 } as const;
const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
const NFTA_VERDICT = { CODE: 1, CHAIN: 2 } as const;

/** Writes the attributes of a list of expressions. */
export function writeExpressions(list: AttributeWriter, expressions: readonly Expression[]): void {
  for (const expression of expressions) {
    list.nested(NFTA_LIST_ELEM, (element) =>
      element.text(NFTA_EXPR.NAME, nameOf(expression)).nested(NFTA_EXPR.DATA, (data) => write(data, expression)),
    );
  }
}

function nameOf({ kind }: Expression): string {
  return kind === 'verdict' ? 'immediate' : kind;
}

function write(data: AttributeWriter, expression: Expression): void {
  switch (expression.kind) {
    case 'meta':
      data.u32be(NFTA_META.KEY, expression.key).u32be(NFTA_META.DREG, NFT_REG_1);
      break;
    case 'payload':
      data.u32be(NFTA_PAYLOAD.DREG, NFT_REG_1).u32be(NFTA_PAYLOAD.BASE, expression.base);
      data.u32be(NFTA_PAYLOAD.OFFSET, expression.offset).u32be(NFTA_PAYLOAD.LEN, expression.length);
      break;
    case 'cmp':
      data.u32be(NFTA_CMP.SREG, NFT_REG_1).u32be(NFTA_CMP.OP, expression.op);
      data.nested(NFTA_CMP.DATA, (value) => value.bytes(NFTA_DATA.VALUE, expression.data));
      break;
    case 'verdict':
      data.u32be(NFTA_IMMEDIATE.DREG, NFT_REG_VERDICT).nested(NFTA_IMMEDIATE.DATA, (value) =>
        value.nested(NFTA_DATA.VERDICT, (verdict) =>
          // A negative number, as the kernel reads it.
          verdict.u32be(NFTA_VERDICT.CODE, expression.code >>> 0).text(NFTA_VERDICT.CHAIN, expression.chain),
        ),
      );
  }
}

/** @throws DecodeError also for expressions of other kinds */
export function readExpressions(list: readonly Attributes[]): Expression[] {
  return list.map((element) => {
    const name = element.text(NFTA_EXPR.NAME) ?? '';
    const data = element.nested(NFTA_EXPR.DATA);
    if (data === undefined) throw new DecodeError('an expression has no data');
    return read(name, data);
  });
}

function read(name: string, data: Attributes): Expression {
  const number = (type: number) => required(data.u32be(type));
  switch (name) {
    case 'meta':
      return { kind: name, key: number(NFTA_META.KEY) };
    case 'payload': {
      const [base, offset, length] = [NFTA_PAYLOAD.BASE, NFTA_PAYLOAD.OFFSET, NFTA_PAYLOAD.LEN].map(number);
      return { kind: name, base: required(base), offset: required(offset), length: required(length) };
    }
    case 'cmp': {
      const value = data.nested(NFTA_CMP.DATA)?.bytes(NFTA_DATA.VALUE);
      return { kind: name, op: number(NFTA_CMP.OP), data: required(value) };
    }
    case 'immediate': {
      const verdict = required(data.nested(NFTA_IMMEDIATE.DATA)?.nested(NFTA_DATA.VERDICT));
      const code = required(verdict.u32be(NFTA_VERDICT.CODE)) | 0;
      const chain = verdict.text(NFTA_VERDICT.CHAIN);
      return { kind: 'verdict', code, ...(chain === undefined ? {} : { chain }) };
    }
    default:
      throw new DecodeError(`an expression is of an unknown kind ${JSON.stringify(name)}`);
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new DecodeError('an expression lacks an attribute');
  return value;
}
