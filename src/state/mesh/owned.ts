import { firstOf, formatAddress, lastOf, overlaps, parseAddress, parsePrefix } from '../../lib/prefix.ts';
import type { Space } from '../kv/allocation.ts';
import type { Holding, Holdings } from './holdings.ts';
import type { Ring, Rings, Said } from './ring.ts';
import { larger, type Spans, smaller } from './spans.ts';

/** What can be said of numbers that somebody wants to have. */
export type Verdict =
  | { readonly kind: 'free' }
  | { readonly kind: 'resting'; readonly former: string }
  | { readonly kind: 'held'; readonly item: string; readonly by: Holding }
  /** About to be held or to be given away. */
  | { readonly kind: 'busy' }
  /** Another host's. */
  | { readonly kind: 'foreign' };

/** The item that these numbers are, and the other way round. */
export function itemAt(ring: Ring, first: bigint, last: bigint): string {
  if (ring.id === 'vnis') return String(first);
  const text = formatAddress({ family: ring.last >> 32n === 0n ? 4 : 6, value: first });
  return isSubnets(ring) ? `${text}/${(ring.last >> 32n === 0n ? 32 : 128) - bitsIn(first, last)}` : text;
}

export function numbersOf(ring: Ring, item: string): readonly [first: bigint, last: bigint] {
  if (isSubnets(ring)) {
    const prefix = parsePrefix(item);
    return [firstOf(prefix), lastOf(prefix)];
  }
  const number = ring.id === 'vnis' ? BigInt(item) : parseAddress(item).value;
  return [number, number];
}

export function isSubnets(ring: Ring): boolean {
  return ring.id.startsWith('subnets-');
}

function bitsIn(first: bigint, last: bigint): number {
  return (last - first).toString(2).replace(/^0$/, '').length;
}

/**
 * What this host owns and may give out. It knows, beside what is on disk, what is on its way there: no number is promised
 * twice by changes that are made side by side. Choosing costs the same however much is held: a cursor stands where
 * everything below is in use.
 */
export class Owned {
  readonly #self: string;
  readonly #rings: Rings;
  readonly #holdings: Holdings;
  readonly #now: () => number;
  readonly #coming = new Map<string, Set<string>>();
  readonly #leaving = new Map<string, Set<readonly [bigint, bigint]>>();
  readonly #cursors = new Map<
    string,
    { readonly ring: string; readonly of: Spans<Said>; readonly space: Space; next: bigint }
  >();
  readonly #resting: { readonly ring: Ring; readonly item: string; readonly free: number }[] = [];

  constructor(options: { self: string; rings: Rings; holdings: Holdings; now: () => number }) {
    const { self, rings, holdings, now } = options;
    this.#self = self;
    this.#rings = rings;
    this.#holdings = holdings;
    this.#now = now;
  }

  spans(ring: Ring): Spans<Said> | undefined {
    return this.#rings.said(this.#self, ring.id);
  }

  owns(ring: Ring, first: bigint, last = first): boolean {
    return this.spans(ring)?.covered(first, last, ({ owner }) => owner === this.#self) ?? false;
  }

  /** Whether these are this host's and nothing of it is on its way to anybody. */
  isQuiet(ring: Ring, first: bigint, last: bigint): boolean {
    if (!this.owns(ring, first, last) || this.#isLeaving(ring, first, last)) return false;
    for (const item of this.#coming.get(ring.id) ?? []) {
      const [from, to] = numbersOf(ring, item);
      if (from <= last && to >= first) return false;
    }
    return true;
  }

  #isLeaving(ring: Ring, first: bigint, last: bigint): boolean {
    for (const [from, to] of this.#leaving.get(ring.id) ?? []) if (from <= last && to >= first) return true;
    return false;
  }

  judge(ring: Ring, first: bigint, last: bigint): Verdict {
    if (!this.owns(ring, first, last) || this.#isLeaving(ring, first, last)) return { kind: 'foreign' };
    return isSubnets(ring)
      ? this.#judgeSubnet(ring, itemAt(ring, first, last))
      : this.#judgeItem(ring, itemAt(ring, first, last));
  }

  #judgeItem(ring: Ring, item: string): Verdict {
    const by = this.#holdings.holder(ring, item);
    if (by) return { kind: 'held', item, by };
    if (this.#coming.get(ring.id)?.has(item)) return { kind: 'busy' };
    return this.#restOf(ring, item) ?? { kind: 'free' };
  }

  #judgeSubnet(ring: Ring, item: string): Verdict {
    const wanted = parsePrefix(item);
    const held = this.#holdings.held(ring).find((one) => overlaps(parsePrefix(one.item), wanted));
    if (held) return { kind: 'held', item: held.item, by: held.record };
    for (const one of this.#coming.get(ring.id) ?? []) if (overlaps(parsePrefix(one), wanted)) return { kind: 'busy' };
    const resting = this.#holdings.resting(ring).filter((one) => overlaps(parsePrefix(one.item), wanted));
    return resting.map((one) => this.#restOf(ring, one.item)).find((rest) => rest) ?? { kind: 'free' };
  }

  #restOf(ring: Ring, item: string): Verdict | undefined {
    const mine = this.#holdings.of(ring, item).find(({ by }) => by === this.#self);
    if (mine?.released === undefined || mine.free <= this.#now()) return undefined;
    return { kind: 'resting', former: mine.owner.id };
  }

  /** The lowest free number of the space that this host owns. */
  lowest(ring: Ring, space: Space, spare: boolean): bigint | undefined {
    const spans = this.spans(ring);
    if (!spans) return undefined;
    this.#wake();
    const cursor = this.#cursor(ring, spans, space, spare);
    for (const { first, last, value } of spans.within(larger(cursor.next, space.first), space.last)) {
      if (value.owner !== this.#self || value.spare !== spare) continue;
      for (let n = first; n <= last; n++) {
        if (space.passed.has(space.format(n)) || this.judge(ring, n, n).kind !== 'free') continue;
        cursor.next = n;
        return n;
      }
    }
    cursor.next = space.last + 1n;
    return undefined;
  }

  /** How many numbers of the space are this host's and not held, about. */
  room(ring: Ring, space: Space, spare: boolean): bigint {
    let size = 0n;
    for (const { first, last, value } of this.spans(ring)?.within(space.first, space.last) ?? []) {
      if (value.owner === this.#self && value.spare === spare) size += last - first + 1n;
    }
    return larger(0n, size - BigInt(this.#holdings.held(ring).filter(({ record }) => record.by === this.#self).length));
  }

  /** Keeps an item, or numbers, from being promised again until `done`, which comes when the promise is on disk or failed. */
  promise(ring: Ring, what: string | readonly [bigint, bigint]): () => void {
    if (typeof what !== 'string') return promised(this.#leaving, ring.id, what);
    const done = promised(this.#coming, ring.id, what);
    return () => {
      done();
      this.loosen(ring, what);
    };
  }

  /** Something about an item changed: what was passed over may be free now. */
  loosen(ring: Ring, item: string): void {
    const mine = this.#holdings.of(ring, item).find(({ by }) => by === this.#self);
    if (mine?.released !== undefined && mine.free > this.#now()) this.#resting.push({ ring, item, free: mine.free });
    if (isSubnets(ring)) return;
    const [number] = numbersOf(ring, item);
    for (const cursor of this.#cursors.values()) {
      if (cursor.ring === ring.id) cursor.next = smaller(cursor.next, larger(number, cursor.space.first));
    }
  }

  #wake(): void {
    const now = this.#now();
    while ((this.#resting[0]?.free ?? Number.POSITIVE_INFINITY) <= now) {
      const over = this.#resting.shift();
      if (over) this.loosen(over.ring, over.item);
    }
  }

  #cursor(ring: Ring, of: Spans<Said>, space: Space, spare: boolean) {
    const name = `${ring.id} ${space.first} ${space.last} ${spare} ${[...space.passed].join()}`;
    const known = this.#cursors.get(name);
    if (known?.of === of) return known;
    const made = { ring: ring.id, of, space, next: space.first };
    this.#cursors.set(name, made);
    return made;
  }
}

function promised<T>(map: Map<string, Set<T>>, ring: string, what: T): () => void {
  const set = map.get(ring) ?? new Set();
  map.set(ring, set.add(what));
  return () => {
    set.delete(what);
    if (set.size === 0 && map.get(ring) === set) map.delete(ring);
  };
}
