import * as v from 'valibot';
import { Endpoint } from '../../model/endpoint.ts';
import { parseRecord } from '../../model/record.ts';
import { HexId, InterfaceAddressText, Mac, Name, SandboxId, Text } from '../../model/text.ts';

const Interface = v.pipe(v.string(), v.regex(/^[a-z]+[0-9a-f]{1,7}$/));

/**
 * One place of a sandbox on a network. `connecting` and `leaving` say what was begun: at the next start the former is undone,
 * the latter finished. Its id is enough to find and give back all that it may hold.
 */
const Place = v.looseObject({
  id: HexId,
  network: HexId,
  name: Name,
  interface: Interface,
  port: Interface,
  state: v.picklist(['connecting', 'connected', 'leaving']),
  endpoint: v.optional(Endpoint),
});

/** What this host has promised to one sandbox. */
const SandboxRecord = v.looseObject({
  id: SandboxId,
  adopted: v.optional(v.looseObject({ bootId: Text, inode: Text })),
  /** Boot in which it was made: a sandbox does not outlive it. */
  bootId: Text,
  container: v.optional(v.looseObject({ id: HexId, name: Name })),
  places: v.array(Place),
  exit: v.optional(
    v.looseObject({
      interface: Interface,
      port: Interface,
      mac: Mac,
      addresses: v.array(InterfaceAddressText),
    }),
  ),
});

export type Place = v.InferOutput<typeof Place>;
export type SandboxRecord = v.InferOutput<typeof SandboxRecord>;
export type Exit = NonNullable<SandboxRecord['exit']>;

/** @throws ParseError */
export function parseSandboxRecord(json: unknown, place: string): SandboxRecord {
  return parseRecord(SandboxRecord, json, place);
}
