import { Refusal } from '../../lib/errors.ts';
import { canonical } from './canonical.ts';
import { type Draft, type Json, limits, type Scope } from './sheets.ts';

/** What came of edits of one sheet. */
export interface Edited {
  readonly entries: ReadonlyMap<string, Json>;
  /** Keys whose values came, changed or went. */
  readonly keys: readonly string[];
}

/** Collects edits of one sheet; each one counts wholly or, when it throws, not at all. */
export class Editing {
  readonly #scope: Scope;
  readonly #before: ReadonlyMap<string, Json>;
  readonly #entries: Map<string, Json>;
  readonly #touched = new Set<string>();
  #size: number;

  constructor(scope: Scope, before: ReadonlyMap<string, Json>, size: number) {
    this.#scope = scope;
    this.#before = before;
    this.#entries = new Map(before);
    this.#size = size;
  }

  /** @throws whatever `edit` throws, Refusal 'conflict' when the sheet would be over a limit */
  apply<T>(edit: (draft: Draft) => T): T {
    const edited = new Map<string, Json | undefined>();
    const entries = this.#entries;
    const result = edit({
      get: (key) => (edited.has(key) ? edited.get(key) : entries.get(key)),
      put: (key, value) => edited.set(key, this.#own(key, value)),
      delete: (key) => edited.set(key, undefined),
      *entries() {
        for (const entry of entries) if (!edited.has(entry[0])) yield entry;
        for (const [key, value] of edited) if (value !== undefined) yield [key, value] as const;
      },
    });
    this.#take(edited);
    return result;
  }

  result(): Edited {
    const keys = [...this.#touched].filter((key) => !equal(this.#before.get(key), this.#entries.get(key)));
    return { entries: this.#entries, keys };
  }

  #take(edited: ReadonlyMap<string, Json | undefined>): void {
    let size = this.#size;
    for (const [key, value] of edited) size += sizeOf(key, value) - sizeOf(key, this.#entries.get(key));
    if (size > limits.sheet) throw this.#tooLong(`${size} characters in all`, limits.sheet);
    this.#size = size;
    for (const [key, value] of edited) {
      this.#touched.add(key);
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, value);
    }
  }

  /** A copy, so that nobody changes what was said by changing a value afterwards. */
  #own(key: string, value: Json): Json {
    const text = canonical(value);
    if (key.length > limits.key) throw this.#tooLong(`a key of ${key.length} characters`, limits.key);
    if (text.length > limits.value) throw this.#tooLong(`a value of ${text.length} characters`, limits.value);
    return JSON.parse(text);
  }

  #tooLong(what: string, most: number): Refusal {
    return new Refusal('conflict', `saying ${what} in ${this.#scope} is more than other hosts would take (${most})`);
  }
}

/** Of one entry, in characters of JSON; what is not there has none. */
export function sizeOf(key: string, value: Json | undefined): number {
  return value === undefined ? 0 : key.length + JSON.stringify(value).length;
}

function equal(one: Json | undefined, other: Json | undefined): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
