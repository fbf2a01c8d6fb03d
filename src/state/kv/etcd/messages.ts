import * as v from 'valibot';
import { messageOf } from '../../../lib/errors.ts';
import { parseRecord } from '../../../model/record.ts';
import { type Item, StoreError } from '../store.ts';

/**
 * What etcd's JSON gateway says and is told: 64-bit numbers are decimal text, bytes are base64, and fields that hold
 * their zero value are left out.
 */

const Int64 = v.pipe(v.string(), v.regex(/^-?\d{1,19}$/, 'is not a 64-bit number in text'));
const Base64 = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]*={0,2}$/, 'is not base64'));
const Header = v.object({ revision: v.optional(Int64, '0') });
/** Of an answer about keys: it is how we know one. */
const KeysHeader = v.object({ revision: Int64 });
const KeyValue = v.object({ key: Base64, value: v.optional(Base64, ''), mod_revision: Int64 });
type KeyValue = v.InferOutput<typeof KeyValue>;

const Range = v.object({
  header: KeysHeader,
  kvs: v.optional(v.array(KeyValue), []),
  more: v.optional(v.boolean(), false),
});

export interface RangeAnswer {
  readonly items: readonly Item[];
  readonly revision: bigint;
  readonly more: boolean;
}

/** @throws StoreError */
export function parseRange(json: unknown): RangeAnswer {
  const { header, kvs, more } = parse(Range, json, 'range');
  return { items: kvs.map(itemOf), revision: BigInt(header.revision), more };
}

const Txn = v.object({
  header: KeysHeader,
  succeeded: v.optional(v.boolean(), false),
  responses: v.optional(
    v.array(v.object({ response_range: v.optional(v.object({ kvs: v.optional(v.array(KeyValue), []) })) })),
    [],
  ),
});

export interface TxnAnswer {
  readonly succeeded: boolean;
  readonly revision: bigint;
  readonly items: readonly Item[];
}

/** @throws StoreError */
export function parseTxn(json: unknown): TxnAnswer {
  const { header, succeeded, responses } = parse(Txn, json, 'txn');
  return {
    succeeded,
    revision: BigInt(header.revision),
    items: responses.flatMap(({ response_range }) => response_range?.kvs.map(itemOf) ?? []),
  };
}

const Grant = v.object({ ID: Int64 });

/** @returns the lease's id. @throws StoreError */
export function parseGrant(json: unknown): string {
  return parse(Grant, json, 'lease grant').ID;
}

const Token = v.object({ token: v.pipe(v.string(), v.maxLength(4096), v.regex(/^[\x21-\x7e]+$/, 'is not a token')) });

/** What stands for a login from now on. @throws StoreError */
export function parseToken(json: unknown): string {
  return parse(Token, json, 'authenticate').token;
}

const KeepAlive = v.object({ result: v.object({ TTL: v.optional(Int64, '0') }) });

/** @returns whether the lease is still there. @throws StoreError */
export function parseKeepAlive(json: unknown): boolean {
  return BigInt(parse(KeepAlive, json, 'lease keepalive').result.TTL) > 0n;
}

const Watch = v.object({
  result: v.object({
    header: v.optional(Header, {}),
    created: v.optional(v.boolean(), false),
    canceled: v.optional(v.boolean(), false),
    cancel_reason: v.optional(v.string(), ''),
    compact_revision: v.optional(Int64, '0'),
    fragment: v.optional(v.boolean(), false),
    events: v.optional(v.array(v.object({ type: v.optional(v.picklist(['PUT', 'DELETE']), 'PUT'), kv: KeyValue })), []),
  }),
});

export interface WatchMessage {
  readonly kind: 'created' | 'compacted' | 'canceled' | 'events';
  readonly revision: bigint;
  readonly reason: string;
  /** More of the same revision follows. */
  readonly fragment: boolean;
  readonly events: readonly { readonly deleted: boolean; readonly item: Item; readonly revision: bigint }[];
}

/** @throws StoreError */
export function parseWatch(json: unknown): WatchMessage {
  const { result } = parse(Watch, json, 'watch');
  const compacted = BigInt(result.compact_revision) > 0n;
  return {
    kind: compacted ? 'compacted' : result.canceled ? 'canceled' : result.created ? 'created' : 'events',
    revision: BigInt(result.header.revision),
    reason: result.cancel_reason.slice(0, 200),
    fragment: result.fragment,
    events: result.events.map(({ type, kv }) => ({
      deleted: type === 'DELETE',
      item: itemOf(kv),
      revision: BigInt(kv.mod_revision),
    })),
  };
}

const Failure = v.object({ code: v.number(), message: v.string() });

/** An error that etcd tells, as a whole answer or within a stream; undefined when it is none. */
export function parseFailure(json: unknown): { readonly code: number; readonly message: string } | undefined {
  const whole = v.safeParse(Failure, json);
  const inner = whole.success ? whole : v.safeParse(v.object({ error: Failure }), json);
  if (!inner.success) return undefined;
  const { code, message } = 'error' in inner.output ? inner.output.error : inner.output;
  return { code, message: message.slice(0, 200) };
}

function parse<const S extends v.GenericSchema>(schema: S, json: unknown, what: string): v.InferOutput<S> {
  try {
    return parseRecord(schema, json, `its answer to ${what}`);
  } catch (cause) {
    throw new StoreError(messageOf(cause), { cause, retry: true });
  }
}

function itemOf({ key, value, mod_revision }: KeyValue): Item {
  return { key: decode(key), value: decode(value), revision: mod_revision };
}

export function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

/** The keys below a prefix, or the one key. */
export function rangeOf(prefix: string): { readonly key: string; readonly range_end?: string } {
  return prefix.endsWith('/')
    ? { key: encode(prefix), range_end: encode(`${prefix.slice(0, -1)}0`) }
    : { key: encode(prefix) };
}
