import * as v from 'valibot';
import { ParseError } from '../../lib/errors.ts';
import { parseRecord } from '../../model/record.ts';
import { HostId, Text } from '../../model/text.ts';
import type { Owner } from '../allocator.ts';
import type { Space } from '../kv/allocation.ts';
import type { Holdings } from './holdings.ts';
import { isSubnets, itemAt, numbersOf, type Owned } from './owned.ts';
import { next, parseRing, type Ring, type Rings, readSaid, type Said, writeSaid } from './ring.ts';
import type { Json, Sheets } from './sheets.ts';
import type { Spans } from './spans.ts';

/** What a host asks the owner of numbers for. */
export type Wanted =
  /** The lowest that are free of these, at most `want` in a row. */
  | {
      readonly kind: 'piece';
      readonly ring: Ring;
      readonly first: bigint;
      readonly last: bigint;
      readonly passed: readonly string[];
      readonly want: number;
      readonly spare: boolean;
    }
  /** These and no others, also when they rest. `within` is where the asker would like to have a reserve. */
  | {
      readonly kind: 'exact';
      readonly ring: Ring;
      readonly first: bigint;
      readonly last: bigint;
      readonly within?: readonly [first: bigint, last: bigint] | undefined;
    };

export type Given =
  | { readonly kind: 'given' }
  | { readonly kind: 'held'; readonly item: string; readonly owner: Owner }
  | { readonly kind: 'refused' };

/** The most that are given away at once. */
export const mostGiven = 256;

const Digits = v.pipe(v.string(), v.regex(/^(0|[1-9]\d{0,38})$/, 'is not a number'));
const WantedRecord = v.looseObject({
  kind: v.picklist(['piece', 'exact']),
  ring: v.pipe(v.string(), v.maxLength(80)),
  first: Digits,
  last: Digits,
  passed: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(64))), v.maxLength(128)), []),
  want: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(mostGiven)), 1),
  spare: v.optional(v.boolean(), false),
  within: v.optional(v.tuple([Digits, Digits])),
});
const GivenRecord = v.variant('kind', [
  v.looseObject({ kind: v.literal('given') }),
  v.looseObject({
    kind: v.literal('held'),
    item: v.pipe(v.string(), v.maxLength(64)),
    owner: v.looseObject({ host: HostId, id: Text, name: Text }),
  }),
  v.looseObject({ kind: v.literal('refused') }),
]);

/** @throws ParseError */
export function parseWanted(json: unknown): Wanted {
  const { kind, ring: id, first, last, passed, want, spare, within } = parseRecord(WantedRecord, json, 'the question');
  const ring = parseRing(id);
  const [from, to] = [BigInt(first), BigInt(last)];
  if (from > to || to > ring.last) throw new ParseError(`the question: ${first} to ${last} is not a span of the ring`);
  if (kind === 'piece') return { kind, ring, first: from, last: to, passed, want, spare };
  const [low, high] = [BigInt(within?.[0] ?? 0), BigInt(within?.[1] ?? 0)];
  return { kind, ring, first: from, last: to, within: within && high <= ring.last ? [low, high] : undefined };
}

export function formatWanted(wanted: Wanted): Json {
  const { kind, ring, first, last } = wanted;
  const place = { kind, ring: ring.id, first: String(first), last: String(last) };
  if (kind === 'exact') return { ...place, ...(wanted.within && { within: wanted.within.map(String) }) };
  return { ...place, passed: [...wanted.passed], want: wanted.want, spare: wanted.spare };
}

/** @throws ParseError */
export function parseGiven(json: unknown): Given {
  const given = parseRecord(GivenRecord, json, 'the answer');
  if (given.kind !== 'held') return { kind: given.kind };
  const { host, id, name } = given.owner;
  return { kind: 'held', item: given.item, owner: { host, id, name } };
}

export function formatGiven(given: Given): Json {
  if (given.kind !== 'held') return { kind: given.kind };
  const { host, id, name } = given.owner;
  return { kind: 'held', item: given.item, owner: { host, id, name } };
}

export interface DonorNeeds {
  readonly sheets: Sheets;
  readonly rings: Rings;
  readonly holdings: Holdings;
  readonly owned: Owned;
  readonly admitted: () => ReadonlySet<string>;
}

/** Gives away numbers of this host. What is given is said in its sheet, and so cannot get lost. */
export class Donor {
  readonly #needs: DonorNeeds;

  constructor(needs: DonorNeeds) {
    this.#needs = needs;
  }

  /** Resolves when what it gives is on disk and on its way. @throws Refusal as `Sheets.change` does */
  async give(to: string, wanted: Wanted): Promise<Given> {
    const { sheets, owned, admitted } = this.#needs;
    if (to === sheets.self || !admitted().has(to)) return { kind: 'refused' };
    const done: (() => void)[] = [];
    try {
      return await sheets.change('ring', (draft) => {
        const chosen = wanted.kind === 'exact' ? this.#exact(to, wanted) : this.#piece(to, wanted);
        if ('kind' in chosen) return chosen;
        const before = readSaid(draft, sheets.self, wanted.ring.id);
        const after = before.copy();
        for (const { first, last, spare } of chosen) handOver(after, before, { first, last, to, spare });
        if (!writeSaid(draft, wanted.ring.id, before, after)) return { kind: 'refused' };
        for (const { first, last } of chosen) done.push(owned.promise(wanted.ring, [first, last]));
        if (wanted.ring.scope === 'ring') this.#forget(draft, wanted.ring, chosen);
        return { kind: 'given' };
      });
    } finally {
      for (const free of done) free();
    }
  }

  /** Gives everything to another host, what is held here too: for a host that leaves for good. */
  async giveAll(to: string): Promise<void> {
    const { sheets, rings, owned } = this.#needs;
    const done: (() => void)[] = [];
    try {
      await sheets.change('ring', (draft) => {
        for (const ring of [...rings.ids()].map(parseRing)) {
          const before = readSaid(draft, sheets.self, ring.id);
          const after = before.copy();
          for (const { first, last, value } of before) {
            if (value.owner !== sheets.self) continue;
            handOver(after, before, { first, last, to, spare: false });
            done.push(owned.promise(ring, [first, last]));
          }
          writeSaid(draft, ring.id, before, after);
        }
      });
    } finally {
      for (const free of done) free();
    }
  }

  #exact(to: string, wanted: Wanted & { readonly kind: 'exact' }): Given | readonly Chosen[] {
    const { ring, first, last, within } = wanted;
    const verdict = this.#needs.owned.judge(ring, first, last);
    if (verdict.kind === 'held') return { kind: 'held', item: verdict.item, owner: verdict.by.owner };
    if (verdict.kind === 'foreign' || verdict.kind === 'busy') return { kind: 'refused' };
    const chosen = { first, last, spare: false };
    if (within === undefined || !isSubnets(ring)) return [chosen];
    const space = spaceIn(ring, { first: within[0], last: within[1], passed: [] });
    const reserve = this.#reserve(to, ring, space, { above: last, least: 4n * (last - first + 1n) });
    return reserve ? [chosen, reserve] : [chosen];
  }

  #piece(to: string, wanted: Wanted & { readonly kind: 'piece' }): Given | readonly Chosen[] {
    const { ring, spare } = wanted;
    const { owned } = this.#needs;
    if (isSubnets(ring)) return { kind: 'refused' };
    const space = spaceIn(ring, wanted);
    const first = owned.lowest(ring, space, spare);
    if (first === undefined) return { kind: 'refused' };
    const room = owned.room(ring, space, spare);
    const most = Math.min(wanted.want, room < 2n * BigInt(mostGiven) ? Math.max(1, Number(room) / 2) : mostGiven);
    let last = first;
    const isOpen = (n: bigint) =>
      n <= space.last && !space.passed.has(space.format(n)) && owned.judge(ring, n, n).kind === 'free';
    while (Number(last - first) + 1 < most && isOpen(last + 1n)) last++;
    const chosen = { first, last, spare: false };
    const reserve = spare ? undefined : this.#reserve(to, ring, space, { above: last, least: 4n });
    return reserve ? [chosen, reserve] : [chosen];
  }

  /**
   * What a host gets beside its first piece, from the upper end: enough to work on while it is cut off. Each host's part,
   * as large as the greatest power of two allows.
   */
  #reserve(
    to: string,
    ring: Ring,
    space: Space,
    { above, least }: { above: bigint; least: bigint },
  ): Chosen | undefined {
    const { owned, holdings, rings, admitted } = this.#needs;
    if (
      rings
        .tops(ring)
        .within(space.first, space.last)
        .some(({ value }) => value.owner === to)
    )
      return undefined;
    const part = owned.room(ring, space, false) / BigInt(admitted().size + 1);
    if (part < least) return undefined;
    const size = 1n << BigInt(part.toString(2).length - 1);
    const all = [...holdings.held(ring), ...holdings.resting(ring)].map(({ item }) => item);
    const used = [...all, ...space.passed].map((item) => numbersOf(ring, item));
    let first = ((space.last + 1n) / size) * size - size;
    for (let tries = 0; tries < 64 && first > above; tries++, first -= size) {
      const last = first + size - 1n;
      if (first < space.first || used.some(([from, to]) => from <= last && to >= first)) continue;
      if (owned.isQuiet(ring, first, last)) return { first, last, spare: true };
    }
    return undefined;
  }

  /** What rested here rests no more when it is another's. */
  #forget(draft: { delete(key: string): void }, ring: Ring, chosen: readonly Chosen[]): void {
    const { holdings, sheets } = this.#needs;
    for (const { item, record } of holdings.resting(ring)) {
      const [from, to] = numbersOf(ring, item);
      const gone = chosen.some(({ first, last }) => from >= first && to <= last);
      if (gone && record.by === sheets.self) draft.delete(`held/${ring.id}/${item}`);
    }
  }
}

function spaceIn(
  ring: Ring,
  { first, last, passed }: { first: bigint; last: bigint; passed: readonly string[] },
): Space {
  const format = (n: bigint) => itemAt(ring, n, n);
  return { first, last, passed: new Set(passed), format, parse: (item) => numbersOf(ring, item)[0] };
}

interface Chosen {
  readonly first: bigint;
  readonly last: bigint;
  readonly spare: boolean;
}

/** Says of numbers that they are another's from now on. */
export function handOver(
  after: Spans<Said>,
  before: Spans<Said>,
  { first, last, to, spare }: Chosen & { readonly to: string },
): void {
  for (const span of before.within(first, last)) {
    after.set(span.first, span.last, { owner: to, version: next(span.value.version), spare });
  }
}
