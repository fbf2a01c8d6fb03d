/** Numbers from `first` to `last`, both included, that have one value. */
export interface Span<T> {
  readonly first: bigint;
  readonly last: bigint;
  readonly value: T;
}

/** What each number of a line has: spans that do not overlap, in order; neighbours with equal values are one. */
export class Spans<T> implements Iterable<Span<T>> {
  readonly #same: (a: T, b: T) => boolean;
  #spans: Span<T>[];

  constructor(same: (a: T, b: T) => boolean, spans: Iterable<Span<T>> = []) {
    this.#same = same;
    this.#spans = [...spans];
  }

  get size(): number {
    return this.#spans.length;
  }

  [Symbol.iterator](): Iterator<Span<T>> {
    return this.#spans[Symbol.iterator]();
  }

  copy(): Spans<T> {
    return new Spans(this.#same, this.#spans);
  }

  at(number: bigint): Span<T> | undefined {
    const span = this.#spans[this.#find(number)];
    return span !== undefined && span.first <= number ? span : undefined;
  }

  /** What lies within, cut to it. */
  within(first: bigint, last: bigint): readonly Span<T>[] {
    const found: Span<T>[] = [];
    for (let i = this.#find(first); i < this.#spans.length; i++) {
      const span = this.#spans[i];
      if (span === undefined || span.first > last) break;
      found.push({ first: larger(span.first, first), last: smaller(span.last, last), value: span.value });
    }
    return found;
  }

  /** Whether every number of it is in a span for which `wanted` holds. */
  covered(first: bigint, last: bigint, wanted: (value: T) => boolean): boolean {
    let next = first;
    for (const span of this.within(first, last)) {
      if (span.first !== next || !wanted(span.value)) return false;
      next = span.last + 1n;
    }
    return next > last;
  }

  /** Afterwards these numbers have the value, whatever they had before; undefined: none. */
  set(first: bigint, last: bigint, value: T | undefined): void {
    const from = this.#find(first);
    let to = from;
    while ((this.#spans[to]?.first ?? last + 1n) <= last) to++;
    const cut = this.#spans.slice(from, to);
    const [head, tail] = [cut[0], cut.at(-1)];
    const fresh: Span<T>[] = [];
    if (head !== undefined && head.first < first) fresh.push({ ...head, last: first - 1n });
    if (value !== undefined) fresh.push({ first, last, value });
    if (tail !== undefined && tail.last > last) fresh.push({ ...tail, first: last + 1n });
    this.#spans.splice(from, to - from, ...fresh);
    this.#join(Math.max(0, from - 1), from + fresh.length);
  }

  /** Joins neighbours from index `from` up to index `to`. */
  #join(from: number, to: number): void {
    for (let i = Math.min(to, this.#spans.length - 1); i > from; i--) {
      const [left, right] = [this.#spans[i - 1], this.#spans[i]];
      if (left === undefined || right === undefined) continue;
      if (left.last + 1n !== right.first || !this.#same(left.value, right.value)) continue;
      this.#spans.splice(i - 1, 2, { ...left, last: right.last });
    }
  }

  /** Index of the first span that ends at or after the number. */
  #find(number: bigint): number {
    let [low, high] = [0, this.#spans.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const span = this.#spans[middle];
      if (span !== undefined && span.last < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

export function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
