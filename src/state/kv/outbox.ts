/**
 * Events that wait for one reader. What a slow reader leaves beyond `most` is dropped whole: it is told that it was
 * overrun, and begins anew with a snapshot.
 */
export class Outbox<T> {
  readonly #most: number;
  #items: T[] = [];
  #overrun = false;
  #wake = Promise.withResolvers<void>();

  constructor(most = 10_000) {
    this.#most = most;
  }

  push(item: T): void {
    if (this.#items.length >= this.#most) {
      this.#items = [];
      this.#overrun = true;
    }
    if (!this.#overrun) this.#items.push(item);
    this.#wake.resolve();
  }

  /**
   * What has come since the last call, waiting for the first of it; 'overrun' when some was dropped, 'end' once
   * `signal` aborts.
   */
  async take(signal: AbortSignal): Promise<readonly T[] | 'overrun' | 'end'> {
    const end = () => this.#wake.resolve();
    signal.addEventListener('abort', end, { once: true });
    try {
      while (!signal.aborted) {
        this.#wake = Promise.withResolvers();
        if (this.#overrun) {
          this.#overrun = false;
          return 'overrun';
        }
        if (this.#items.length > 0) {
          const items = this.#items;
          this.#items = [];
          return items;
        }
        await this.#wake.promise;
      }
      return 'end';
    } finally {
      signal.removeEventListener('abort', end);
    }
  }
}
