import * as v from 'valibot';
import { parseAddress } from '../lib/prefix.ts';
import { NamedPorts } from './named-port.ts';
import { parseRecord } from './record.ts';
import { AddressText, HexId, HostId, isUnicast, most, Signature, Time } from './text.ts';

/** One name or several labels, in lower case, without the dot at the end: `db`, `db.team`. */
export const RecordName = v.pipe(
  v.string(),
  v.maxLength(253, 'is longer than 253 characters'),
  v.regex(
    /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/,
    'is not a name: labels of letters, digits, - and _, with dots between',
  ),
);

/** A name that people gave to addresses, which need not be containers'. Its host keeps it, and it goes with its host. */
export const NameRecord = v.looseObject({
  id: HexId,
  name: RecordName,
  addresses: v.pipe(
    v.array(
      v.pipe(
        AddressText,
        v.check((text) => isUnicast(parseAddress(text)), 'is not an address of a machine'),
      ),
    ),
    v.minLength(1, 'are none'),
    v.maxLength(most.recordAddresses, `are more than ${most.recordAddresses}`),
  ),
  ports: v.optional(NamedPorts),
  /** Who is on it sees the record; without one every container of the cluster does. */
  network: v.optional(HexId),
  /** The owner. */
  host: HostId,
  /** The owner's epoch when it was made. */
  epoch: v.pipe(v.number(), v.integer(), v.minValue(1)),
  created: Time,
  signature: Signature,
});
export type NameRecord = v.InferOutput<typeof NameRecord>;

/** @throws ParseError */
export function parseNameRecord(json: unknown, place: string): NameRecord {
  return parseRecord(NameRecord, json, place);
}

/** In lower case, without the dot at the end and without a domain of ours, which every name can be asked for with. */
export function withoutDomain(text: string, domains: readonly string[]): string {
  const name = bare(text);
  const domain = domains.map(bare).find((one) => name.endsWith(`.${one}`));
  return domain === undefined ? name : name.slice(0, -domain.length - 1);
}

function bare(text: string): string {
  return text.replace(/\.$/, '').toLowerCase();
}
