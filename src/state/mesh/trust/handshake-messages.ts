import * as v from 'valibot';
import { parseRecord } from '../../../model/record.ts';
import { HexId } from '../../../model/text.ts';
import { Claim } from './claim.ts';
import { type Reason, reasons } from './refused.ts';

/** What two hosts say before they have a link. What a newer version adds to a message is not read. */

export const protocol = 1;

const mostSheets = 512;

const Protocol = v.pipe(v.number(), v.integer(), v.minValue(1));
const names = Object.keys(reasons);
const isReason = (value: unknown): value is Reason => typeof value === 'string' && names.includes(value);

const Message = v.variant('t', [
  /** Of a host that belongs to a cluster; `empty` when the cluster holds and gave away nothing, and can give way to another. */
  v.object({ t: v.literal('hello'), protocol: Protocol, cluster: HexId, empty: v.boolean() }),
  /** Of one that wants to. */
  v.object({ t: v.literal('claim'), protocol: Protocol, claim: Claim }),
  /** Both wait, and have the same token. */
  v.object({ t: v.literal('meet'), claim: Claim }),
  v.object({ t: v.literal('met') }),
  /** The other one was not admitted, as far as is known here. */
  v.object({ t: v.literal('prove') }),
  /** The cluster's genesis, and trust sheets from its founder to the one that sends them. */
  v.object({
    t: v.literal('proof'),
    genesis: v.unknown(),
    sheets: v.pipe(v.array(v.unknown()), v.maxLength(mostSheets)),
  }),
  v.object({ t: v.literal('welcome') }),
  v.object({
    t: v.literal('refused'),
    /** One that is known only to a newer version is told as one that is not understood. */
    reason: v.fallback(v.custom<Reason>(isReason), 'protocol'),
  }),
]);
export type HandshakeMessage = v.InferOutput<typeof Message>;

/** @throws ParseError */
export function parseHandshakeMessage(json: unknown): HandshakeMessage {
  return parseRecord(Message, json, 'the handshake');
}
