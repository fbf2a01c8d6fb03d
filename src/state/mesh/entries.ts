import * as v from 'valibot';
import { messageOf, ParseError } from '../../lib/errors.ts';
import { type Network, parseNetwork } from '../../model/network.ts';
import { parseRecord } from '../../model/record.ts';
import type { Json, Sheet, SheetChange, Sheets } from './sheets.ts';

/**
 * What hosts say of shared records: each writes into its own sheet, the highest version of all counts, of equal ones that of
 * the writer with the greater id. A deletion is a version too; it keeps what it deleted, for who has to put it back.
 */
export interface Entry {
  readonly by: string;
  readonly version: number;
  readonly deleted: boolean;
  /** Undefined: it cannot be read. */
  readonly network: Network | undefined;
  readonly reason?: string;
  readonly json: Json;
}

/** Versions above are a lie: they would leave none for others. */
const highest = 2 ** 48;

const EntryRecord = v.looseObject({
  version: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(highest)),
  deleted: v.optional(v.boolean(), false),
  value: v.optional(v.unknown()),
});

export function entryKey(id: string): string {
  return `network/${id}`;
}

/** @throws ParseError when it is no entry; one whose record cannot be read is an entry all the same */
export function parseEntry(input: unknown, id: string, by: string): Entry {
  const place = entryKey(id);
  const { version, deleted, value, ...later } = parseRecord(EntryRecord, input, place);
  const json: Json = JSON.parse(JSON.stringify({ ...later, version, value, ...(deleted && { deleted }) }));
  try {
    const network = parseNetwork(value, place);
    if (network.id !== id) throw new ParseError(`${place}: holds the network ${network.id}`);
    return { by, version, deleted, network, json };
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    return { by, version, deleted, network: undefined, reason: messageOf(error), json };
  }
}

export function formatEntry(version: number, network: Network, deleted: boolean): Json {
  const value: Json = JSON.parse(JSON.stringify(network));
  return { version, value, ...(deleted && { deleted }) };
}

/** The same as the next version, also when it cannot be read here: a newer host may have written it. */
export function carriedOn({ version, json }: Entry): Json {
  return Object.fromEntries<Json>([...Object.entries(json ?? {}), ['version', version + 1]]);
}

export function isOver(one: Entry, other: Entry | undefined): boolean {
  return other === undefined || one.version > other.version || (one.version === other.version && one.by > other.by);
}

/** All entries, by id and writer, kept by changes of the `catalog` sheets. */
export class Entries {
  readonly #sheets: Sheets;
  readonly #all = new Map<string, Map<string, Entry>>();
  readonly #stop: () => void;

  constructor(sheets: Sheets, changed: (id: string) => void) {
    this.#sheets = sheets;
    for (const sheet of sheets.list('catalog')) this.#take(sheet.owner, [...sheet.entries.keys()], sheet);
    this.#stop = sheets.watch(({ scope, owner, keys, sheet }: SheetChange) => {
      if (scope !== 'catalog') return;
      for (const id of this.#take(owner, keys, sheet)) changed(id);
    });
  }

  close(): void {
    this.#stop();
  }

  ids(): readonly string[] {
    return [...this.#all.keys()];
  }

  /** The entry that counts. */
  top(id: string): Entry | undefined {
    let top: Entry | undefined;
    for (const entry of this.#all.get(id)?.values() ?? []) if (isOver(entry, top)) top = entry;
    return top;
  }

  mine(id: string): Entry | undefined {
    return this.#all.get(id)?.get(this.#sheets.self);
  }

  #take(by: string, keys: readonly string[], sheet: Sheet | undefined): readonly string[] {
    const ids = keys.flatMap((key) => /^network\/([0-9a-f]{64})$/.exec(key)?.[1] ?? []);
    for (const id of ids) {
      const json = sheet?.entries.get(entryKey(id));
      const entry = json === undefined ? undefined : readEntry(json, id, by);
      const entries = this.#all.get(id) ?? new Map<string, Entry>();
      if (entry) entries.set(by, entry);
      else entries.delete(by);
      if (entries.size > 0) this.#all.set(id, entries);
      else this.#all.delete(id);
    }
    return ids;
  }
}

function readEntry(json: Json, id: string, by: string): Entry | undefined {
  try {
    return parseEntry(json, id, by);
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}
