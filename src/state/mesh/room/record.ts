import * as v from 'valibot';
import { PublicKey } from '../../../model/host-key.ts';
import { parseRecord } from '../../../model/record.ts';
import { HostId, most, Text } from '../../../model/text.ts';
import { mostWaiting, type Standing, StandingRecord } from '../beginning.ts';
import { Charter, type Shown } from './charter.ts';

/** What a host that waits keeps on its disk. */
const Stored = v.looseObject({
  /** Public key of the token with which it waits. */
  token: PublicKey,
  standing: StandingRecord,
  /** Of the cluster that it belongs to. */
  charter: v.optional(Charter),
  /** Where the hosts are that it waits with. */
  hosts: v.pipe(
    v.record(HostId, v.pipe(v.array(Text), v.maxLength(most.addresses))),
    v.check((hosts) => Object.keys(hosts).length <= mostWaiting, 'are too many'),
  ),
});
export interface RoomRecord {
  readonly token: string;
  readonly standing: Standing;
  readonly charter?: Shown | undefined;
  readonly hosts: Readonly<Record<string, readonly string[]>>;
}

/** @throws ParseError */
export function parseRoomRecord(json: unknown): RoomRecord {
  return parseRecord(Stored, json, 'what this host kept while it waited');
}
