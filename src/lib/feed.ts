/** A value that changes, for readers who want the newest: a slow reader misses what was replaced meanwhile. */
export class Feed<T> {
  #value: T;
  #waiting = Promise.withResolvers<void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    this.#waiting.resolve();
    this.#waiting = Promise.withResolvers();
  }

  /** Begins with the value as it is; ends when `signal` aborts. */
  async *watch({ signal }: { signal: AbortSignal }): AsyncGenerator<T> {
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    while (!signal.aborted) {
      const next = this.#waiting.promise;
      yield this.#value;
      await Promise.race([next, aborted]);
    }
  }
}
