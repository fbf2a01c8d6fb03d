import type { Disk, DiskChange, StoredSheet } from '../../src/state/mesh/environment.ts';
import type { Head } from '../../src/state/mesh/head.ts';
import type { Json } from '../../src/state/mesh/sheets.ts';

interface Kept {
  readonly head: Head;
  readonly entries: ReadonlyMap<string, Json>;
}

/** What survives the process. */
export class SimulatedDisk {
  #sheets = new Map<string, Kept>();
  /** Counts the starts of its host, as the host's own record does. */
  epoch = 0;
  /** Whether it refuses to be written to. */
  broken = false;

  /** A disk for one life of the host: what is under way when that ends is not done. */
  open(soon: (task: () => void) => void): Disk {
    return {
      write: (changes, done) =>
        soon(() => {
          if (!this.broken) for (const change of changes) this.#apply(change);
          done(this.broken ? new Error('no space left on device') : undefined);
        }),
    };
  }

  /** Holds this from the start. */
  fill(sheets: readonly StoredSheet[]): void {
    for (const { head, entries } of sheets)
      this.#sheets.set(`${head.scope} ${head.owner}`, { head, entries: new Map(entries) });
    this.epoch = 1;
  }

  load(): StoredSheet[] {
    return [...this.#sheets.values()].map(({ head, entries }) => ({ head, entries: [...entries] }));
  }

  /** What it holds now, to go back to later. */
  save(): () => void {
    const sheets = new Map(this.#sheets);
    const { epoch } = this;
    return () => {
      this.#sheets = new Map(sheets);
      this.epoch = epoch;
    };
  }

  #apply({ owner, scope, head, whole, put, remove }: DiskChange): void {
    const name = `${scope} ${owner}`;
    if (head === undefined) {
      this.#sheets.delete(name);
      return;
    }
    const entries = new Map(whole ? [] : this.#sheets.get(name)?.entries);
    for (const key of remove) entries.delete(key);
    for (const [key, value] of put) entries.set(key, value);
    this.#sheets.set(name, { head, entries });
  }
}
