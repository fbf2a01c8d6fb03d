import * as v from 'valibot';
import { refusalKinds } from '../../lib/errors.ts';
import { parseRecord } from '../../model/record.ts';
import { HostId } from '../../model/text.ts';
import { buckets } from './marks.ts';
import { type Json, limits, type Scope } from './sheets.ts';

/** What hosts of a mesh send each other. Every length has its cap here; unknown fields are dropped. */

export const most = {
  /** Updates in one frame; their size in characters, if there is more than one. */
  updates: 256,
  frame: 256 * 1024,
  marks: 1024,
  wants: 64,
  groups: 64,
  news: 1024,
  /** News that ride on a datagram. */
  riders: 4,
  hops: 16,
} as const;

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER - 1));
const Version = v.tuple([Count, Count]);
const Digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{1,64}$/));
const Signature = v.pipe(v.string(), v.maxLength(128));
export const isScope = (text: unknown): text is Scope =>
  typeof text === 'string' && /^(host|trust|catalog|ring|network:[0-9a-f]{1,64})$/.test(text);
const ScopeText = v.custom<Scope>(isScope, 'is no scope');
const Key = v.pipe(v.string(), v.maxLength(limits.key));
/** What was parsed from JSON is JSON; its length was capped with the frame's, and is again with the sheet's. */
const Value = v.custom<Json>((value) => value !== undefined);
const State = v.object({ version: Version, digest: Digest });
const mark = { owner: HostId, scope: ScopeText, version: Version, digest: Digest };
const Mark = v.object(mark);
const Want = v.object({ owner: HostId, scope: ScopeText, have: v.optional(State) });
const Update = v.object({
  head: v.object({ ...mark, over: v.optional(Version), signature: Signature }),
  base: v.optional(State),
  put: v.array(v.tuple([Key, Value])),
  gone: v.array(Key),
});
const Updates = v.pipe(v.array(Update), v.maxLength(most.updates));
const Group = v.pipe(v.string(), v.regex(/^(all|network:[0-9a-f]{1,64})$/));
const Bucket = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(buckets - 1));
const ShortHash = v.pipe(v.string(), v.maxLength(64));
const MemberState = v.picklist(['alive', 'suspect', 'lost', 'left']);
const News = v.object({
  id: HostId,
  state: MemberState,
  /** Which life of the host, and how often it contradicted in it. */
  life: Version,
  /** Of the host itself, where it says so itself. */
  signature: v.optional(Signature),
  /** Who says so, where it is not the host itself. */
  by: v.optional(HostId),
});
const AllNews = v.pipe(v.array(News), v.maxLength(most.news));
const Riders = v.optional(v.pipe(v.array(News), v.maxLength(most.riders)));

/** About sheets: over a link, or passed on by others. */
const spread = [
  v.object({ t: v.literal('push'), updates: Updates }),
  v.object({ t: v.literal('have'), marks: v.pipe(v.array(Mark), v.maxLength(most.marks)) }),
  v.object({ t: v.literal('graft'), wants: v.pipe(v.array(Want), v.maxLength(most.wants)) }),
  /** Whether what these owners say is to come at once, or is heard from others sooner. */
  v.object({ t: v.literal('eager'), owners: v.pipe(v.array(HostId), v.maxLength(most.marks)) }),
  v.object({ t: v.literal('prune'), owners: v.pipe(v.array(HostId), v.maxLength(most.marks)) }),
] as const;
const repair = [
  v.object({
    t: v.literal('sync'),
    settled: v.boolean(),
    groups: v.pipe(v.array(v.tuple([Group, ShortHash])), v.maxLength(most.groups)),
    news: ShortHash,
  }),
  v.object({
    t: v.literal('synced'),
    settled: v.boolean(),
    same: v.pipe(v.array(Group), v.maxLength(most.groups)),
    differ: v.pipe(
      v.array(v.tuple([Group, v.pipe(v.array(ShortHash), v.maxLength(buckets))])),
      v.maxLength(most.groups),
    ),
  }),
  v.object({
    t: v.literal('marks'),
    group: Group,
    /** Whether the other side's are asked for. */
    ask: v.boolean(),
    buckets: v.pipe(v.array(Bucket), v.maxLength(buckets)),
    marks: v.pipe(v.array(Mark), v.maxLength(most.marks)),
  }),
  v.object({ t: v.literal('want'), wants: v.pipe(v.array(Want), v.maxLength(most.wants)) }),
  v.object({ t: v.literal('gave'), updates: Updates, done: v.boolean() }),
] as const;
/** About who lives. A life is an epoch of the host and how often it contradicted in it; the host itself signs it. */
const life = { life: Version, signature: v.optional(Signature) };
const liveness = [
  /** Says what the sender thinks of the receiver, who contradicts in its answer. */
  v.object({ t: v.literal('ping'), n: Count, state: MemberState, life: Version, news: Riders }),
  v.object({ t: v.literal('pong'), n: Count, ...life, news: Riders }),
  /** Asks another host to ping for this one. */
  v.object({ t: v.literal('probe'), n: Count, of: HostId, state: MemberState, life: Version }),
  v.object({ t: v.literal('reached'), n: Count }),
  /** The asked one is there, but got no answer either. */
  v.object({ t: v.literal('unreached'), n: Count }),
] as const;
/** A ping over links, through others if need be: who forwards it must not be able to answer. */
const call = [
  v.object({ t: v.literal('call'), n: Count, state: MemberState, life: Version }),
  v.object({ t: v.literal('answer'), n: Count, life: Version, signature: Signature, proof: Signature }),
] as const;

/** Of parts above; signed where it goes through others. */
const asks = [
  v.object({ t: v.literal('ask'), n: Count, question: Value, signature: v.optional(Signature) }),
  v.object({
    t: v.literal('said'),
    n: Count,
    answer: v.optional(Value),
    error: v.optional(v.object({ kind: v.picklist(refusalKinds), message: v.pipe(v.string(), v.maxLength(1_000)) })),
    signature: v.optional(Signature),
  }),
] as const;

const Routed = v.variant('t', [...repair, ...call, ...asks]);
const LinkMessage = v.variant('t', [
  ...spread,
  ...repair,
  ...call,
  ...asks,
  v.object({ t: v.literal('news'), news: AllNews }),
  v.object({
    t: v.literal('route'),
    to: HostId,
    from: HostId,
    hops: v.pipe(Count, v.maxValue(most.hops)),
    body: Routed,
  }),
]);
const DatagramMessage = v.variant('t', liveness);

/** Nobody changes what came or what is on its way. */
type Fixed<T> = Json extends T ? T : T extends object ? { readonly [K in keyof T]: Fixed<T[K]> } : T;

export type LinkMessage = Fixed<v.InferOutput<typeof LinkMessage>>;
export type DatagramMessage = Fixed<v.InferOutput<typeof DatagramMessage>>;
/** What may come through others. */
export type RoutedMessage = Fixed<v.InferOutput<typeof Routed>>;
export type Message<T extends (LinkMessage | DatagramMessage)['t']> = Extract<LinkMessage | DatagramMessage, { t: T }>;
export type News = Fixed<v.InferOutput<typeof News>>;
export type Want = Fixed<v.InferOutput<typeof Want>>;

/** @throws ParseError */
export function parseLinkMessage(json: unknown): LinkMessage {
  return parseRecord(LinkMessage, json, 'frame of a peer');
}

/** @throws ParseError */
export function parseDatagram(json: unknown): DatagramMessage {
  return parseRecord(DatagramMessage, json, 'datagram of a peer');
}
