/** Wrong proofs that are judged at first, and after that one in so many milliseconds. */
const perSource = { burst: 5, every: 12_000 } as const;
const inAll = { burst: 50, every: 600 } as const;
/** More sources than these are not remembered apart. */
const mostSources = 1024;

/**
 * Limits wrong proofs, so that no token can be tried out: per source, and in all for those who have many sources. Time comes
 * in, in milliseconds.
 */
export class Attempts {
  readonly #sources = new Map<string, number>();
  #all = 0;

  /** Whether a proof from this source is judged now. */
  allows(source: string, now: number): boolean {
    return has(this.#sources.get(source) ?? 0, perSource, now) && has(this.#all, inAll, now);
  }

  failed(source: string, now: number): void {
    const debt = spend(this.#sources.get(source) ?? 0, perSource, now);
    this.#sources.delete(source);
    this.#sources.set(source, debt);
    this.#all = spend(this.#all, inAll, now);
    const [oldest] = this.#sources.keys();
    if (this.#sources.size > mostSources && oldest !== undefined) this.#sources.delete(oldest);
  }
}

/** A bucket as the time at which it is full again: `every` milliseconds for each that is missing. */
function has(full: number, { burst, every }: typeof perSource | typeof inAll, now: number): boolean {
  return full - now <= (burst - 1) * every;
}

function spend(full: number, { every }: typeof perSource | typeof inAll, now: number): number {
  return Math.max(full, now) + every;
}
