import * as v from 'valibot';
import { parseRecord } from '../../../model/record.ts';
import { HexId, HostId } from '../../../model/text.ts';
import { type Message, MessageRecord, mostWaiting } from '../beginning.ts';
import { Card } from './card.ts';
import { Charter, type Shown } from './charter.ts';

/** What hosts that wait say over their channels. */

/** Hosts on the longest way of a letter. */
export const mostHops = 64;

const Host = v.variant('t', [
  v.object({ t: v.literal('card'), card: Card }),
  /** Goes on to each of `to`; what it says is read by them. */
  v.object({
    t: v.literal('letter'),
    from: HostId,
    to: v.pipe(v.array(HostId), v.minLength(1), v.maxLength(mostWaiting)),
    hops: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(mostHops)),
    body: v.unknown(),
  }),
]);
export type RoomMessage = v.InferOutput<typeof Host>;

const BodyRecord = v.variant('t', [
  v.object({ t: v.literal('beginning'), message: MessageRecord }),
  /** The charter of the cluster with this id is asked for. */
  v.object({ t: v.literal('want'), cluster: HexId }),
  v.object({ t: v.literal('charter'), charter: Charter }),
]);
export type Body =
  | { readonly t: 'beginning'; readonly message: Message }
  | { readonly t: 'want'; readonly cluster: string }
  | { readonly t: 'charter'; readonly charter: Shown };

/** @throws ParseError */
export function parseRoomMessage(json: unknown): RoomMessage {
  return parseRecord(Host, json, 'what a waiting host says');
}

/** @throws ParseError */
export function parseLetter(json: unknown): Body {
  return parseRecord(BodyRecord, json, 'the letter of a waiting host');
}
