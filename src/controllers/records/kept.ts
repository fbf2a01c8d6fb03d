import { isDeepStrictEqual } from 'node:util';
import { delay, pause } from '../../lib/backoff.ts';
import { messageOf, ParseError } from '../../lib/errors.ts';
import { Feed } from '../../lib/feed.ts';
import type { Log } from '../../lib/log.ts';
import type { Serial } from '../../lib/serial.ts';
import { type NameRecord, parseNameRecord } from '../../model/name-record.ts';
import type { Journal } from '../../state/journal.ts';
import type { Registry, Scope } from '../../state/registry.ts';

export interface KeptNeeds {
  readonly registry: Pick<Registry, 'publish' | 'withdraw'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  /** Whatever is done to records is done here. */
  readonly serial: Serial;
  readonly log: Log;
}

export const scope: Scope = { kind: 'records' };
/** Before what the store has otherwise is put right, in milliseconds; doubles up to `most`. */
const again = { first: 500, most: 10_000 };

/**
 * What was given on this host stands in the journal first: it alone says what there is. What the store has otherwise under
 * this host's id is put right, as often as it takes.
 */
export class Kept {
  readonly #needs: KeptNeeds;
  readonly #records = new Map<string, NameRecord>();
  /** What the store has of this host; undefined before it was seen. */
  #there: Map<string, NameRecord> | undefined;
  /** Ids of what it has otherwise. */
  readonly #wrong = new Set<string>();
  readonly #changes = new Feed(0);

  constructor(needs: KeptNeeds) {
    this.#needs = needs;
  }

  async load(): Promise<readonly NameRecord[]> {
    const { journal, log } = this.#needs;
    for (const { id, value } of await journal.load('name')) {
      // What was seen of all hosts is of the same kind.
      if (!/^[0-9a-f]{64}$/.test(id)) continue;
      try {
        this.#records.set(id, parseNameRecord(value, `name ${id} in the state directory`));
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        log.error('a record of the state directory is passed over', { kind: 'name', id, error });
      }
    }
    return this.list();
  }

  get size(): number {
    return this.#records.size;
  }

  get(id: string): NameRecord | undefined {
    return this.#records.get(id);
  }

  list(): readonly NameRecord[] {
    return [...this.#records.values()];
  }

  /** On disk when it resolves; undefined: it is there no more. @throws JournalError */
  async set(id: string, record: NameRecord | undefined): Promise<void> {
    await this.#needs.journal.commit([{ kind: 'name', id, ...(record ? { put: record } : { remove: true }) }]);
    if (record === undefined) this.#records.delete(id);
    else this.#records.set(id, record);
    this.#look(id);
  }

  /** Afterwards the store has it as it is here. @throws Refusal 'unavailable' */
  async settle(id: string): Promise<void> {
    const { registry } = this.#needs;
    const record = this.#records.get(id);
    if (record === undefined) await registry.withdraw(scope, id);
    else await registry.publish({ kind: 'name', record });
  }

  /** The store has these and no others. */
  begin(records: readonly NameRecord[]): void {
    this.#there = new Map(records.map((record) => [record.id, record]));
    for (const id of [...this.#records.keys(), ...this.#there.keys()]) this.#look(id);
  }

  /** The store has it so now; undefined: not any more. */
  note(id: string, record: NameRecord | undefined): void {
    if (record === undefined) this.#there?.delete(id);
    else this.#there?.set(id, record);
    this.#look(id);
  }

  /** Puts right what the store has otherwise, until `signal` aborts. */
  async keep(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#changes.watch({ signal })) {
      for (let attempt = 0; this.#wrong.size > 0 && !signal.aborted; attempt += 1) {
        // Time for the watch to tell of what was published last.
        await pause(delay(attempt, again), signal);
        if (!signal.aborted) await this.#needs.serial.run('records', () => this.#mend());
      }
    }
  }

  #look(id: string): void {
    if (this.#there === undefined) return;
    if (isDeepStrictEqual(this.#records.get(id), this.#there.get(id))) this.#wrong.delete(id);
    else this.#wrong.add(id);
    this.#changes.set(this.#changes.value + 1);
  }

  async #mend(): Promise<void> {
    const { log } = this.#needs;
    for (const id of [...this.#wrong]) {
      try {
        await this.settle(id);
        log.info('a name given by hand was not in the store as it is here, and was put right', { id });
      } catch (error) {
        log.debug('a name given by hand could not be put right', { id, error: messageOf(error) });
        return;
      }
    }
  }
}
