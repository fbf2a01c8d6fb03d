import { canonical } from './canonical.ts';
import { sizeOf } from './draft.ts';
import type { Seal } from './environment.ts';
import { compareStates, type Head, type State } from './head.ts';
import { type Json, limits, type Sheet } from './sheets.ts';

/** A sheet as it is held: with what proves it, and with what it takes to tell others only what changed. Never changes. */
export interface Held extends Sheet {
  readonly head: Head;
  /** Of each value. */
  readonly hashes: ReadonlyMap<string, string>;
  /** In characters of JSON. */
  readonly size: number;
  /** The latest changes, oldest first: what was held before each and the keys that it changed. */
  readonly past: readonly Step[];
}

interface Step {
  readonly from: State;
  readonly keys: readonly string[];
}

/** How one state of a sheet comes from another, or from nothing. */
export interface Update {
  readonly head: Head;
  /** What `put` and `gone` change; without it `put` is the whole sheet. */
  readonly base?: State | undefined;
  readonly put: readonly (readonly [key: string, value: Json])[];
  readonly gone: readonly string[];
}

/** What a sheet holds, without a head to prove it. */
export interface Content {
  readonly entries: ReadonlyMap<string, Json>;
  readonly hashes: ReadonlyMap<string, string>;
  readonly size: number;
  readonly digest: string;
}

const longestPast = { steps: 32, keys: 512 } as const;

export const nothing: Pick<Held, 'entries' | 'hashes' | 'size'> = { entries: new Map(), hashes: new Map(), size: 0 };

/**
 * What comes of `before` by a change of some keys. Undefined when it would be over the limits.
 * @throws ParseError for a value that is nested too deeply
 */
export function contentAfter(
  before: Pick<Held, 'entries' | 'hashes' | 'size'>,
  { put, gone }: Pick<Update, 'put' | 'gone'>,
  seal: Pick<Seal, 'hash'>,
): Content | undefined {
  const entries = new Map(before.entries);
  const hashes = new Map(before.hashes);
  let { size } = before;
  for (const key of gone) {
    size -= sizeOf(key, entries.get(key));
    entries.delete(key);
    hashes.delete(key);
  }
  for (const [key, value] of put) {
    size += sizeOf(key, value) - sizeOf(key, entries.get(key));
    entries.set(key, value);
    hashes.set(key, seal.hash(canonical(value)));
  }
  if (size > limits.sheet) return undefined;
  return { entries, hashes, size, digest: digestOf(hashes, seal) };
}

/** Without regard to the order in which entries came. */
function digestOf(hashes: ReadonlyMap<string, string>, seal: Pick<Seal, 'hash'>): string {
  return seal.hash(JSON.stringify([...hashes].sort(([one], [other]) => (one < other ? -1 : 1))));
}

/** The sheet with a new head and content, which remembers how it came from `before`. */
export function held(head: Head, content: Content, before: Held | undefined, keys: readonly string[]): Held {
  const { owner, scope, version } = head;
  const { entries, hashes, size } = content;
  const past = before === undefined ? [] : shorten([...before.past, { from: before.head, keys }]);
  return { owner, scope, version, entries, head, hashes, size, past };
}

function shorten(past: readonly Step[]): readonly Step[] {
  let from = Math.max(0, past.length - longestPast.steps);
  let keys = past.slice(from).reduce((sum, step) => sum + step.keys.length, 0);
  for (; keys > longestPast.keys && from < past.length; from += 1) keys -= past[from]?.keys.length ?? 0;
  return past.slice(from);
}

/** What brings who holds `from` to what is held: only what changed when that is known, or all of it. */
export function updateSince(sheet: Held, from: State | undefined): Update {
  const { head, entries, past } = sheet;
  const start = from === undefined ? -1 : past.findIndex((step) => compareStates(step.from, from) === 0);
  if (from === undefined || start < 0) return { head, put: [...entries], gone: [] };
  const keys = new Set(past.slice(start).flatMap((step) => step.keys));
  const put: (readonly [string, Json])[] = [];
  const gone: string[] = [];
  for (const key of keys) {
    const value = entries.get(key);
    if (value === undefined) gone.push(key);
    else put.push([key, value]);
  }
  return { head, base: { version: from.version, digest: from.digest }, put, gone };
}

/** Keys whose values differ. */
export function changedKeys(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): readonly string[] {
  const gone = [...one.keys()].filter((key) => !other.has(key));
  return [...gone, ...[...other].filter(([key, hash]) => one.get(key) !== hash).map(([key]) => key)];
}
