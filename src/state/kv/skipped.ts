/** A record in the store that was passed over. */
export interface SkippedRecord {
  readonly key: string;
  readonly reason: string;
}

const most = { records: 100, text: 300 } as const;

/** The records that cannot be read, for `skein status`: the newest hundred. */
export class Skipped {
  readonly #records = new Map<string, string>();

  list(): readonly SkippedRecord[] {
    return [...this.#records].map(([key, reason]) => ({ key, reason }));
  }

  add(key: string, reason: string): void {
    const name = key.slice(0, most.text);
    this.#records.delete(name);
    this.#records.set(name, reason.slice(0, most.text));
    const [oldest] = this.#records.keys();
    if (this.#records.size > most.records && oldest !== undefined) this.#records.delete(oldest);
  }

  /** The key was removed, or holds now what can be read. */
  clear(key: string): void {
    this.#records.delete(key.slice(0, most.text));
  }

  /** A snapshot of the prefix begins: what is still wrong is added again. */
  clearBelow(prefix: string): void {
    for (const key of this.#records.keys()) if (key.startsWith(prefix)) this.#records.delete(key);
  }
}
