import type { Log } from '../../lib/log.ts';
import type { Journal, JournalChange } from '../journal.ts';

/**
 * Writes to the journal behind its caller's back: changes of one turn of the event loop go together, in order. What could
 * not be written goes with the next.
 */
export class Writer {
  readonly #journal: Pick<Journal, 'commit'>;
  readonly #log: Log;
  #pending = new Map<string, JournalChange>();
  #writing: Promise<void> | undefined;

  constructor(journal: Pick<Journal, 'commit'>, log: Log) {
    this.#journal = journal;
    this.#log = log;
  }

  write(changes: readonly JournalChange[]): void {
    for (const change of changes) {
      const key = `${change.kind} ${change.id}`;
      this.#pending.delete(key);
      this.#pending.set(key, change);
    }
    this.#writing ??= this.#write();
  }

  /** Resolves when what was written so far is on disk, or failed. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    for (let failed = false; this.#pending.size > 0 && !failed; ) {
      await new Promise((resolve) => setImmediate(resolve));
      const changes = this.#pending;
      this.#pending = new Map();
      try {
        await this.#journal.commit([...changes.values()]);
      } catch (error) {
        failed = true;
        this.#pending = new Map([...changes, ...this.#pending]);
        this.#log.warn('what was seen of the cluster could not be written down', { count: changes.size, error });
      }
    }
    this.#writing = undefined;
  }
}
