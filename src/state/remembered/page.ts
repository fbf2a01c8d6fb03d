import { ParseError } from '../../lib/errors.ts';
import { longestRecord } from '../../model/record.ts';
import type { JournalChange, JournalEntry, JournalKind } from '../journal.ts';

/** What a watch told, whatever it watches. */
export type Told<R> =
  | { readonly kind: 'snapshot'; readonly records: readonly R[] }
  | { readonly kind: 'put'; readonly records: readonly R[] }
  | { readonly kind: 'delete'; readonly id: string };

export interface PageInit<R> {
  readonly kind: JournalKind;
  /** Before the ids of its entries; by itself it is the entry that says that a snapshot was seen. */
  readonly place: string;
  /** The whole journal of its kind. */
  readonly entries: readonly JournalEntry[];
  readonly idOf: (record: R) => string;
  /** @throws ParseError */
  readonly parse: (json: unknown, place: string) => R;
  readonly write: (changes: readonly JournalChange[]) => void;
  readonly passOver: (id: string, error: ParseError) => void;
}

/** The last snapshot of one watch with the changes since, as it stands in the journal. */
export class Page<R> {
  readonly #init: PageInit<R>;
  /** By id, as text: only what differs is written. */
  readonly #texts = new Map<string, string>();
  #seen: boolean;

  constructor(init: PageInit<R>) {
    this.#init = init;
    const { entries, place } = init;
    this.#seen = entries.some(({ id }) => id === place);
    for (const { id, value } of entries) {
      if (id.startsWith(place) && id !== place) this.#texts.set(id.slice(place.length), JSON.stringify(value));
    }
  }

  /** What is remembered; undefined when no snapshot was ever seen. */
  read(): readonly R[] | undefined {
    if (!this.#seen) return undefined;
    return [...this.#texts].flatMap(([id, text]) => {
      try {
        return [this.#init.parse(JSON.parse(text), `${this.#init.kind} ${id} in the state directory`)];
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        this.#init.passOver(id, error);
        return [];
      }
    });
  }

  note(told: Told<R>): void {
    switch (told.kind) {
      case 'snapshot': {
        const gone = new Set(this.#texts.keys());
        for (const record of told.records) gone.delete(this.#init.idOf(record));
        const mark = this.#seen ? [] : [this.#change('', true)];
        this.#seen = true;
        this.#write([
          ...mark,
          ...told.records.flatMap((one) => this.#put(one)),
          ...[...gone].map((id) => this.#remove(id)),
        ]);
        break;
      }
      case 'put':
        this.#write(told.records.flatMap((one) => this.#put(one)));
        break;
      case 'delete':
        if (this.#texts.has(told.id)) this.#write([this.#remove(told.id)]);
        break;
    }
  }

  /** Nothing of it is remembered any more. */
  forget(): void {
    const mark = this.#seen ? [this.#change('', undefined)] : [];
    this.#seen = false;
    this.#write([...mark, ...[...this.#texts.keys()].map((id) => this.#remove(id))]);
  }

  #put(record: R): JournalChange[] {
    const id = this.#init.idOf(record);
    const text = JSON.stringify(record);
    if (this.#texts.get(id) === text) return [];
    // The store's longest records are a little longer here: they are not worth a failure.
    if (text.length > longestRecord) return [this.#remove(id)];
    this.#texts.set(id, text);
    return [this.#change(id, record)];
  }

  #remove(id: string): JournalChange {
    this.#texts.delete(id);
    return this.#change(id, undefined);
  }

  #change(id: string, put: unknown): JournalChange {
    const at = { kind: this.#init.kind, id: this.#init.place + id };
    return put === undefined ? { ...at, remove: true } : { ...at, put };
  }

  #write(changes: readonly JournalChange[]): void {
    if (changes.length > 0) this.#init.write(changes);
  }
}
