/** What somebody may do at once, and from then on in a second. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** Measures use against a rate; it may go into debt. Time comes in, in milliseconds. */
export class Bucket {
  readonly #rate: Rate;
  #left: number;
  #at = Number.NEGATIVE_INFINITY;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#left = rate.burst;
  }

  take(cost: number, now: number): void {
    this.#left = this.left(now) - cost;
    this.#at = now;
  }

  left(now: number): number {
    const { burst, perSecond } = this.#rate;
    const since = Math.max(0, now - this.#at);
    return since === Number.POSITIVE_INFINITY ? this.#left : Math.min(burst, this.#left + (since * perSecond) / 1000);
  }

  /** Milliseconds until `cost` can be taken without debt. */
  wait(cost: number, now: number): number {
    return Math.max(0, (1000 * (cost - this.left(now))) / this.#rate.perSecond);
  }
}

/** A bucket for each of many, of whom the longest unseen are forgotten when there are too many. */
export class Buckets {
  readonly #rate: Rate;
  readonly #most: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate, most: number) {
    this.#rate = rate;
    this.#most = most;
  }

  of(name: string): Bucket {
    const bucket = this.#buckets.get(name) ?? new Bucket(this.#rate);
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > this.#most && oldest !== undefined) this.#buckets.delete(oldest);
    return bucket;
  }
}
