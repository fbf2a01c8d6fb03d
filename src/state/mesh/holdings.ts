import * as v from 'valibot';
import { ParseError } from '../../lib/errors.ts';
import { parseRecord } from '../../model/record.ts';
import { HostId, Text, Time } from '../../model/text.ts';
import type { Owner } from '../allocator.ts';
import { parseRing, type Ring } from './ring.ts';
import type { Json, Scope, Sheet, SheetChange, Sheets } from './sheets.ts';

/**
 * Who holds which item, as hosts say it in their sheets: `held/<ring>/<item>` by who owns the numbers, while it is held and
 * while it rests; `freed/<ring>/<item>` by another that gives it back in the holder's stead, until the holder has done so.
 */
export interface Holding {
  /** In whose sheet it stands. */
  readonly by: string;
  readonly owner: Owner;
  /** Tells this holding from others of the same item by the same owner. */
  readonly stamp: string;
  /** When it was given back, in milliseconds; undefined: it is held. */
  readonly released: number | undefined;
  /** When its rest is over, by this host's clock, whatever the giver's says. */
  readonly free: number;
}

interface Note {
  readonly stamp: string;
  readonly unused: boolean;
}

const Stamp = v.pipe(v.string(), v.minLength(1), v.maxLength(32));
const HeldRecord = v.looseObject({
  owner: v.looseObject({ host: HostId, id: Text, name: Text }),
  stamp: Stamp,
  released: v.optional(Time),
});
const NoteRecord = v.looseObject({ stamp: Stamp, unused: v.boolean() });

export function heldKey(ring: string, item: string): string {
  return `held/${ring}/${item}`;
}

export function freedKey(ring: string, item: string): string {
  return `freed/${ring}/${item}`;
}

/** @throws ParseError */
export function parseHeld(json: unknown, key: string): Omit<Holding, 'by' | 'free'> {
  const { owner, stamp, released } = parseRecord(HeldRecord, json, key);
  const { host, id, name } = owner;
  return { owner: { host, id, name }, stamp, released: released === undefined ? undefined : Date.parse(released) };
}

/** @throws ParseError */
export function parseFreed(json: unknown, key: string): Note {
  return parseRecord(NoteRecord, json, key);
}

export function formatHeld({ host, id, name }: Owner, stamp: string, released?: number): Json {
  const owner = { host, id, name };
  return { owner, stamp, ...(released !== undefined && { released: new Date(released).toISOString() }) };
}

/** The ring and the item that a key is about. @throws ParseError */
function placeOf(
  key: string,
): { readonly kind: 'held' | 'freed'; readonly ring: Ring; readonly item: string } | undefined {
  const [, kind, ring = '', item = ''] = /^(held|freed)\/([^/]{1,80})\/(.{1,64})$/.exec(key) ?? [];
  return kind === 'held' || kind === 'freed' ? { kind, ring: parseRing(ring), item } : undefined;
}

interface Shelf {
  readonly records: Map<string, Map<string, Holding>>;
  readonly notes: Map<string, Map<string, Note>>;
  readonly owners: Map<string, Set<string>>;
}

/** An index over what all sheets say, kept by their changes. */
export class Holdings {
  readonly #sheets: Sheets;
  readonly #now: () => number;
  readonly #rest: number;
  readonly #counts: (host: string) => boolean;
  readonly #shelves = new Map<string, Shelf>();
  readonly #loaded = new Set<Scope>();
  readonly #listeners = new Set<(ring: Ring, item: string) => void>();
  readonly #stop: () => void;

  /** `counts` is false for hosts whose numbers were taken over: they hold nothing any more. */
  constructor(options: {
    readonly sheets: Sheets;
    readonly now: () => number;
    readonly rest: number;
    readonly counts: (host: string) => boolean;
  }) {
    const { sheets } = options;
    this.#sheets = sheets;
    this.#now = options.now;
    this.#rest = options.rest;
    this.#counts = options.counts;
    this.#stop = sheets.watch((change) => this.#see(change));
  }

  close(): void {
    this.#stop();
  }

  /** Calls `listener` after each change about an item of a ring that was asked for before. */
  watch(listener: (ring: Ring, item: string) => void): void {
    this.#listeners.add(listener);
  }

  /** Everything that is said of an item. */
  of(ring: Ring, item: string): readonly Holding[] {
    return [...(this.#shelf(ring).records.get(item)?.values() ?? [])];
  }

  /** Who holds an item; of several, whose host comes first. */
  holder(ring: Ring, item: string): Holding | undefined {
    const held = this.of(ring, item).filter((record) => this.#isHeld(ring, item, record));
    return held.reduce<Holding | undefined>((a, b) => (a === undefined || b.by < a.by ? b : a), undefined);
  }

  /** Every item that is held. */
  held(ring: Ring): readonly { readonly item: string; readonly record: Holding }[] {
    return [...this.#shelf(ring).records.keys()].flatMap((item) => {
      const record = this.holder(ring, item);
      return record ? [{ item, record }] : [];
    });
  }

  /** Every item that rests, and of which nobody says that it is held. */
  resting(ring: Ring): readonly { readonly item: string; readonly record: Holding; readonly released: number }[] {
    return [...this.#shelf(ring).records.keys()].flatMap((item) => {
      if (this.holder(ring, item)) return [];
      return this.of(ring, item).flatMap((record) =>
        record.released === undefined ? [] : [{ item, record, released: record.released }],
      );
    });
  }

  /** Items of which `id` is the holder, or was the last. */
  ofOwner(ring: Ring, id: string): readonly string[] {
    return [...(this.#shelf(ring).owners.get(id) ?? [])];
  }

  /** What others say that this host's own holding was given back; undefined: nothing. */
  freed(ring: Ring, item: string, stamp: string): Note | undefined {
    const notes = this.#shelf(ring).notes.get(item)?.values() ?? [];
    return [...notes].find((note) => note.stamp === stamp);
  }

  /** Who says of which holding of the item that it was given back. */
  notes(ring: Ring, item: string): readonly { readonly by: string; readonly stamp: string }[] {
    const notes = this.#shelf(ring).notes.get(item) ?? new Map<string, Note>();
    return [...notes].map(([by, { stamp }]) => ({ by, stamp }));
  }

  #isHeld(ring: Ring, item: string, { by, released, stamp }: Holding): boolean {
    return released === undefined && this.#counts(by) && this.freed(ring, item, stamp) === undefined;
  }

  #shelf(ring: Ring): Shelf {
    if (!this.#loaded.has(ring.scope)) {
      this.#loaded.add(ring.scope);
      for (const sheet of this.#sheets.list(ring.scope)) this.#take(sheet.owner, [...sheet.entries.keys()], sheet);
    }
    return this.#made(ring.id);
  }

  #made(ring: string): Shelf {
    const known = this.#shelves.get(ring) ?? { records: new Map(), notes: new Map(), owners: new Map() };
    this.#shelves.set(ring, known);
    return known;
  }

  #see({ owner, scope, keys, sheet }: SheetChange): void {
    if (this.#loaded.has(scope)) this.#take(owner, keys, sheet);
  }

  #take(by: string, keys: readonly string[], sheet: Sheet | undefined): void {
    for (const key of keys) {
      if (!key.startsWith('held/') && !key.startsWith('freed/')) continue;
      const place = read(() => placeOf(key));
      if (place === undefined) continue;
      const { kind, item, ring } = place;
      const shelf = this.#made(ring.id);
      const json = sheet?.entries.get(key);
      if (kind === 'freed')
        put(shelf.notes, item, by, json === undefined ? undefined : read(() => parseFreed(json, key)));
      else this.#hold(shelf, item, by, json === undefined ? undefined : read(() => parseHeld(json, key)));
      for (const listener of this.#listeners) listener(ring, item);
    }
  }

  #hold(shelf: Shelf, item: string, by: string, found: Omit<Holding, 'by' | 'free'> | undefined): void {
    const before = shelf.records.get(item)?.get(by);
    if (before) forget(shelf.owners, before.owner.id, item);
    const now = this.#now();
    const same = before?.released !== undefined && before.released === found?.released;
    const free = same ? before.free : Math.min(found?.released ?? now, now) + this.#rest;
    put(shelf.records, item, by, found && { ...found, by, free });
    for (const { owner } of shelf.records.get(item)?.values() ?? []) {
      shelf.owners.set(owner.id, (shelf.owners.get(owner.id) ?? new Set()).add(item));
    }
  }
}

function read<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

function put<T>(map: Map<string, Map<string, T>>, item: string, by: string, value: T | undefined): void {
  const values = map.get(item) ?? new Map<string, T>();
  if (value === undefined) values.delete(by);
  else values.set(by, value);
  if (values.size > 0) map.set(item, values);
  else map.delete(item);
}

function forget(map: Map<string, Set<string>>, id: string, item: string): void {
  const items = map.get(id);
  items?.delete(item);
  if (items?.size === 0) map.delete(id);
}
