import { Bucket, Buckets } from '../bucket.ts';

/** More sources than these are not remembered apart. */
const mostSources = 1024;

/**
 * Limits wrong proofs, so that no token can be tried out: five and then five a minute from one source, fifty and then a
 * hundred a minute in all, for those who have many sources. Time comes in, in milliseconds.
 */
export class Attempts {
  readonly #sources = new Buckets({ burst: 5, perSecond: 5 / 60 }, mostSources);
  readonly #all = new Bucket({ burst: 50, perSecond: 100 / 60 });

  /** Whether a proof from this source is judged now. */
  allows(source: string, now: number): boolean {
    return this.#all.left(now) >= 1 && this.#sources.of(source).left(now) >= 1;
  }

  failed(source: string, now: number): void {
    this.#all.take(1, now);
    this.#sources.of(source).take(1, now);
  }
}
