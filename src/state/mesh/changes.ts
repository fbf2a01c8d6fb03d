/** Tells readers which keys changed; what changes twice before a reader comes to it is told once. */
export class Changes {
  readonly #readers = new Set<(key: string) => void>();

  tell(key: string): void {
    for (const reader of this.#readers) reader(key);
  }

  /** Each batch holds the keys that changed since the last; the first is empty, for a snapshot. Ends when `signal` aborts. */
  async *watch({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<ReadonlySet<string>> {
    let keys = new Set<string>();
    let change = Promise.withResolvers<void>();
    const reader = (key: string) => {
      keys.add(key);
      change.resolve();
    };
    const abort = () => change.resolve();
    this.#readers.add(reader);
    signal.addEventListener('abort', abort);
    try {
      yield new Set();
      while (!signal.aborted) {
        if (keys.size === 0) await change.promise;
        if (signal.aborted) return;
        const batch = keys;
        keys = new Set();
        change = Promise.withResolvers();
        yield batch;
      }
    } finally {
      this.#readers.delete(reader);
      signal.removeEventListener('abort', abort);
    }
  }
}
