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
  /** Asked for and not done yet, in order. */
  readonly #waiting: (readonly DiskChange[])[] = [];

  /** A disk for one life of the host. */
  open(soon: (task: () => void) => void): Disk {
    return {
      write: (changes, done) => {
        this.#waiting.push(changes);
        soon(() => {
          this.#waiting.shift();
          if (!this.broken) for (const change of changes) this.#apply(change);
          done(this.broken ? new Error('no space left on device') : undefined);
        });
      },
    };
  }

  /** That life ended: of what was under way so many parts were done, though nobody was told. */
  ended(done: (most: number) => number): void {
    const waiting = this.#waiting.splice(0);
    if (this.broken) return;
    for (const changes of waiting.slice(0, done(waiting.length))) for (const change of changes) this.#apply(change);
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

  /** Another disk, with nothing on it. */
  wipe(): void {
    this.#sheets.clear();
    this.epoch = 0;
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
