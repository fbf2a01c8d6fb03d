import * as v from 'valibot';
import { ParseError } from '../../lib/errors.ts';
import { parsePrefix } from '../../lib/prefix.ts';
import { parseRecord } from '../../model/record.ts';
import { HostId } from '../../model/text.ts';
import type { Pool } from '../allocator.ts';
import type { Draft, Json, Scope, Sheet, Sheets, Version } from './sheets.ts';
import { Spans } from './spans.ts';
import { compareVersions } from './version.ts';

/**
 * A ring is all numbers of a kind: the addresses of one family on a network, all networks of a family, all VNIs. Hosts own
 * spans of it. In its sheet a host says which numbers it owns and to whom it gave what it owned before; of each number the
 * highest version says whose it is. Only the owner of a number says something new of it, so each version is said once.
 * A host goes by its own sheet alone: what it was given is its own once it has said so itself, and what it said it gave
 * away it has no longer. Nothing that another host says can take a number away. Why: docs/decisions/0008.
 */
export interface Ring {
  readonly id: string;
  readonly last: bigint;
  /** Where it is said who holds what. */
  readonly scope: Scope;
}

export interface Said {
  readonly owner: string;
  /** Of the take-over that it comes from, and of the hand in which it is since. */
  readonly version: Version;
  /** To be used when no other host can be asked for what comes earlier. */
  readonly spare: boolean;
}

export interface Top extends Said {
  /** Who says so: another than the owner until that has taken it. */
  readonly by: string;
}

/** How many spans of a ring one host may speak of. */
export const mostSpans = 4096;

const familyBits = { 4: 32n, 6: 128n } as const;

export function ringOf(pool: Pool): Ring {
  if (pool.kind === 'vnis') return { id: 'vnis', last: 0xffffffn, scope: 'ring' };
  const [range] = pool.kind === 'subnets' ? pool.ranges.map((one) => one.range) : [pool.range];
  const { family } = parsePrefix(range ?? '0.0.0.0/0').address;
  if (pool.kind === 'subnets') return subnetsRing(family);
  const last = (1n << familyBits[family]) - 1n;
  return { id: `${pool.network}-${family}`, last, scope: `network:${pool.network}` };
}

export function subnetsRing(family: 4 | 6): Ring {
  return { id: `subnets-${family}`, last: (1n << familyBits[family]) - 1n, scope: 'ring' };
}

/** The ring of this id. @throws ParseError */
export function parseRing(id: string): Ring {
  if (id === 'vnis') return { id, last: 0xffffffn, scope: 'ring' };
  const [, name, digit] = /^(subnets|[0-9a-f]{64})-([46])$/.exec(id) ?? [];
  if (name === undefined) throw new ParseError(`${JSON.stringify(id.slice(0, 80))} is not the id of a ring`);
  const last = (1n << familyBits[digit === '6' ? 6 : 4]) - 1n;
  return { id, last, scope: name === 'subnets' ? 'ring' : `network:${name}` };
}

const Digits = v.pipe(v.string(), v.regex(/^(0|[1-9]\d{0,38})$/, 'is not a number'));
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const SaidRecord = v.looseObject({
  last: Digits,
  owner: HostId,
  version: v.tuple([Count, Count]),
  spare: v.optional(v.boolean()),
});

/** An entry of a sheet: the span that it speaks of. @throws ParseError */
export function parseSaid(
  key: string,
  json: unknown,
): { readonly ring: string; first: bigint; last: bigint; said: Said } {
  const [, id = '', digits = ''] = /^own\/([^/]{1,80})\/(0|[1-9]\d{0,38})$/.exec(key) ?? [];
  const ring = parseRing(id);
  const { last: text, owner, version, spare = false } = parseRecord(SaidRecord, json, key);
  const [first, last] = [BigInt(digits), BigInt(text)];
  if (first > last || last > ring.last)
    throw new ParseError(`${key}: ends at ${text}, which is not a span of the ring`);
  return { ring: ring.id, first, last, said: { owner, version, spare } };
}

function formatSaid(last: bigint, { owner, version, spare }: Said): Json {
  return { last: String(last), owner, version: [...version], ...(spare && { spare }) };
}

export function sameSaid(a: Said, b: Said): boolean {
  return a.owner === b.owner && a.spare === b.spare && compareVersions(a.version, b.version) === 0;
}

export function newSpans(): Spans<Said> {
  return new Spans(sameSaid);
}

/** What this host says of a ring, as a change finds it. */
export function readSaid(draft: Draft, owner: string, ring: string): Spans<Said> {
  return collect(owner, draft.entries()).get(ring) ?? newSpans();
}

/** Says `after` where `before` was said. @returns false, and says nothing, when it would be more spans than others take */
export function writeSaid(draft: Draft, ring: string, before: Spans<Said>, after: Spans<Said>): boolean {
  if (after.size > mostSpans && after.size > before.size) return false;
  const keep = new Map([...after].map(({ first, last, value }) => [String(first), formatSaid(last, value)] as const));
  const prefix = `own/${ring}/`;
  const stale = [...draft.entries()].flatMap(([key]) =>
    key.startsWith(prefix) && !keep.has(key.slice(prefix.length)) ? [key] : [],
  );
  for (const key of stale) draft.delete(key);
  for (const [first, json] of keep) draft.put(`own/${ring}/${first}`, json);
  return true;
}

/**
 * By ring; entries that cannot be read say nothing. Where two speak of one number, as when a host found again what it had
 * forgotten with its disk, the higher version counts, and of equal ones that the number was given away.
 */
function collect(owner: string, entries: Iterable<readonly [string, Json]>): ReadonlyMap<string, Spans<Said>> {
  const found = [...entries].flatMap(([key, json]) => (key.startsWith('own/') ? readEntry(key, json) : []));
  found.sort(
    (a, b) =>
      compareVersions(a.said.version, b.said.version) ||
      Number(b.said.owner === owner) - Number(a.said.owner === owner) ||
      (a.first < b.first ? -1 : 1),
  );
  const rings = new Map<string, Spans<Said>>();
  for (const { ring, first, last, said } of found) {
    const spans = rings.get(ring) ?? newSpans();
    rings.set(ring, spans);
    if (spans.size < 2 * mostSpans) spans.set(first, last, said);
  }
  return rings;
}

function readEntry(key: string, json: Json) {
  try {
    return [parseSaid(key, json)];
  } catch (error) {
    if (error instanceof ParseError) return [];
    throw error;
  }
}

/** What all hosts say of the rings. */
export class Rings {
  readonly #sheets: Sheets;
  readonly #maker: (ring: Ring) => string | undefined;
  readonly #said = new WeakMap<Sheet, ReadonlyMap<string, Spans<Said>>>();
  readonly #views = new Map<string, { readonly sheets: readonly Sheet[]; readonly maker: string; tops: Spans<Top> }>();

  /** `maker` owns a ring until somebody has said something of it; undefined: not known. */
  constructor(sheets: Sheets, maker: (ring: Ring) => string | undefined) {
    this.#sheets = sheets;
    this.#maker = maker;
  }

  /** What one host says of a ring. */
  said(owner: string, ring: string): Spans<Said> | undefined {
    const sheet = this.#sheets.read(owner, 'ring');
    return sheet && this.#of(sheet).get(ring);
  }

  /** All rings of which something is said. */
  ids(): ReadonlySet<string> {
    return new Set(this.#sheets.list('ring').flatMap((sheet) => [...this.#of(sheet).keys()]));
  }

  /** Whose each number is as far as it came here; nothing as long as it is not known who made it. */
  tops(ring: Ring): Spans<Top> {
    const maker = this.#maker(ring) ?? '';
    const sheets = this.#sheets.list('ring');
    const known = this.#views.get(ring.id);
    if (
      known?.maker === maker &&
      known.sheets.length === sheets.length &&
      known.sheets.every((s, i) => s === sheets[i])
    )
      return known.tops;
    const tops = new Spans<Top>((a, b) => a.by === b.by && sameSaid(a, b));
    if (maker !== '') tops.set(0n, ring.last, { owner: maker, by: maker, version: [0, 0], spare: false });
    const all = sheets.flatMap((sheet) =>
      [...(this.#of(sheet).get(ring.id) ?? [])].map((span) => ({ ...span, by: sheet.owner })),
    );
    // Equal versions are said by two only when a disk was rolled back; then all hosts believe the same one.
    all.sort((a, b) => compareVersions(a.value.version, b.value.version) || b.by.localeCompare(a.by));
    for (const { first, last, value, by } of all) tops.set(first, last, { ...value, by });
    this.#views.set(ring.id, { sheets, maker, tops });
    return tops;
  }

  #of(sheet: Sheet): ReadonlyMap<string, Spans<Said>> {
    const known = this.#said.get(sheet) ?? collect(sheet.owner, sheet.entries);
    this.#said.set(sheet, known);
    return known;
  }
}

export function next([term, turn]: Version): Version {
  return [term, turn + 1];
}

/** Whether its numbers are the addresses of a network, whose id is the first 64 characters of the ring's. */
export function isNetworkRing({ id }: Ring): boolean {
  return /^[0-9a-f]{64}-[46]$/.test(id);
}
