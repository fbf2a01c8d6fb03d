/** A value that changes, for readers who want the newest: a slow reader misses what was replaced meanwhile. */
export class Feed<T> {
  #value: T;
  readonly #readers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    for (const wake of this.#readers) wake();
  }

  /** Begins with the value as it is; ends when `signal` aborts. */
  async *watch({ signal }: { signal: AbortSignal }): AsyncGenerator<T> {
    let change = Promise.withResolvers<void>();
    const wake = () => change.resolve();
    this.#readers.add(wake);
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted) {
        change = Promise.withResolvers();
        yield this.#value;
        await change.promise;
      }
    } finally {
      this.#readers.delete(wake);
      signal.removeEventListener('abort', wake);
    }
  }
}
