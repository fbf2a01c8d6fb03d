import * as v from 'valibot';
import { ParseError } from '../../../lib/errors.ts';
import { parseRecord } from '../../../model/record.ts';
import { HexId, HostId } from '../../../model/text.ts';
import type { Journal, JournalChange } from '../../journal.ts';
import type { Disk, DiskChange, StoredSheet } from '../environment.ts';
import { nameOf } from '../head.ts';
import { isScope } from '../messages.ts';
import type { Json, Scope } from '../sheets.ts';
import { Signature } from '../trust/genesis.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER - 1));
const Version = v.tuple([Count, Count]);
const StoredHead = v.object({
  owner: HostId,
  scope: v.custom<Scope>(isScope, 'is no scope'),
  version: Version,
  digest: HexId,
  over: v.optional(Version),
  signature: Signature,
});

/**
 * Sheets in the journal: an entry `<scope> <owner>` for the head, and `<scope> <owner> <key>` for each value. So a change
 * writes what it changes, and one transaction is all of it.
 */
export class JournalDisk implements Disk {
  readonly #journal: Pick<Journal, 'commit'>;
  /** By sheet: what the journal will hold when all that was asked for is done. */
  readonly #keys = new Map<string, Set<string>>();

  constructor(journal: Pick<Journal, 'commit'>, stored: readonly StoredSheet[]) {
    this.#journal = journal;
    for (const { head, entries } of stored) this.#keys.set(nameOf(head), new Set(entries.map(([key]) => key)));
  }

  write(changes: readonly DiskChange[], done: (error?: Error) => void): void {
    this.#journal.commit(changes.flatMap((change) => this.#entriesOf(change))).then(
      () => done(),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  }

  #entriesOf(change: DiskChange): readonly JournalChange[] {
    const sheet = nameOf(change);
    const keys = this.#keys.get(sheet) ?? new Set();
    const put = new Map(change.put);
    const remove = change.whole ? [...keys].filter((key) => !put.has(key)) : change.remove;
    for (const key of remove) keys.delete(key);
    for (const key of put.keys()) keys.add(key);
    if (change.head === undefined) this.#keys.delete(sheet);
    else this.#keys.set(sheet, keys);
    return [
      change.head === undefined
        ? { kind: 'sheet', id: sheet, remove: true }
        : { kind: 'sheet', id: sheet, put: change.head },
      ...remove.map((key): JournalChange => ({ kind: 'sheet', id: `${sheet} ${key}`, remove: true })),
      ...Array.from(put, ([key, value]): JournalChange => ({ kind: 'sheet', id: `${sheet} ${key}`, put: value })),
    ];
  }
}

/** What the journal holds; a sheet whose head cannot be read counts as none, others have it. @throws JournalError */
export async function loadSheets(journal: Pick<Journal, 'load'>): Promise<readonly StoredSheet[]> {
  const heads = new Map<string, StoredSheet['head']>();
  const entries = new Map<string, (readonly [string, Json])[]>();
  for (const { id, value } of await journal.load('sheet')) {
    const [scope = '', owner = '', ...rest] = id.split(' ');
    const sheet = `${scope} ${owner}`;
    if (rest.length === 0) {
      const head = headOf(value, sheet);
      if (head) heads.set(sheet, head);
    } else if (isJson(value)) {
      const list = entries.get(sheet) ?? [];
      list.push([rest.join(' '), value]);
      entries.set(sheet, list);
    }
  }
  return [...heads].map(([sheet, head]) => ({ head, entries: entries.get(sheet) ?? [] }));
}

function headOf(value: unknown, sheet: string): StoredSheet['head'] | undefined {
  try {
    const head = parseRecord(StoredHead, value, `sheet ${sheet} in the state directory`);
    return nameOf(head) === sheet ? head : undefined;
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

/** What was parsed from JSON is JSON. */
function isJson(value: unknown): value is Json {
  return value !== undefined;
}
