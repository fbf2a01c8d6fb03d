import { formatPrintf } from './printf.ts';
import { format, formatJson, isStruct, isTrue, sortedEntries, typeOf } from './values.ts';

/** The functions of Go's templates and those that Docker adds. What they throw is said with the place in the template. */
export interface Callable {
  readonly least: number;
  readonly most: number;
  readonly call: (...args: readonly unknown[]) => unknown;
}

const longestPad = 1000;

export const functions: ReadonlyMap<string, Callable> = new Map(
  Object.entries({
    // Docker's.
    json: fixed(1, formatJson),
    split: fixed(2, (text, separator) => textOf(text).split(textOf(separator))),
    join: fixed(2, (list, separator) => listOf(list).map(formatItem).join(textOf(separator))),
    title: fixed(1, (text) => textOf(text).replace(/(?<![\p{L}\p{Nd}_'])\p{L}/gu, (letter) => letter.toUpperCase())),
    lower: fixed(1, (text) => textOf(text).toLowerCase()),
    upper: fixed(1, (text) => textOf(text).toUpperCase()),
    pad: fixed(3, pad),
    truncate: fixed(2, (text, length) => Array.from(textOf(text)).slice(0, indexOf(length)).join('')),
    // Go's.
    len: fixed(1, length),
    index: { least: 1, most: 32, call: (value, ...keys) => keys.reduce(at, value) },
    slice: { least: 1, most: 3, call: slice },
    print: { least: 0, most: 64, call: print },
    println: { least: 0, most: 64, call: (...args) => `${args.map(formatItem).join(' ')}\n` },
    printf: { least: 1, most: 64, call: (text, ...args) => formatPrintf(textOf(text), args) },
    html: {
      least: 0,
      most: 64,
      call: (...args) => print(...args).replace(/[&<>'"\0]/g, (found) => entities[found] ?? '\ufffd'),
    },
    urlquery: {
      least: 0,
      most: 64,
      call: (...args) => new URLSearchParams([['', print(...args)]]).toString().slice(1),
    },
    not: fixed(1, (value) => !isTrue(value)),
    // Both are not asked for more than they need, so they are called with all that was.
    and: { least: 1, most: 64, call: (...args) => args.at(-1) },
    or: { least: 1, most: 64, call: (...args) => args.at(-1) },
    eq: { least: 2, most: 64, call: (first, ...others) => others.some((other) => compare(first, other) === 0) },
    ne: fixed(2, (a, b) => compare(a, b) !== 0),
    lt: fixed(2, (a, b) => ordered(a, b) < 0),
    le: fixed(2, (a, b) => ordered(a, b) <= 0),
    gt: fixed(2, (a, b) => ordered(a, b) > 0),
    ge: fixed(2, (a, b) => ordered(a, b) >= 0),
  } satisfies Record<string, Callable>),
);

/** Over the headers of a table: what shapes a value leaves them as they are. */
export const headerFunctions: ReadonlyMap<string, Callable> = new Map([
  ...functions,
  ...['json', 'split', 'join', 'title', 'lower', 'upper', 'pad', 'truncate'].map((name): [string, Callable] => [
    name,
    { least: 1, most: 3, call: (header) => header },
  ]),
]);

export const functionNames: readonly string[] = [...functions.keys()];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
};

function fixed(count: number, call: (...args: readonly unknown[]) => unknown): Callable {
  return { least: count, most: count, call };
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new Error(`wrong type for value; expected string; got ${typeOf(value)}`);
  return value;
}

function indexOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw new Error(`cannot index slice/array with type ${typeOf(value)}`);
  if (value < 0) throw new Error(`index out of range: ${value}`);
  return value;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`wrong type for value; expected slice; got ${typeOf(value)}`);
  return value;
}

function formatItem(value: unknown): string {
  return typeof value === 'string' ? value : format(value);
}

function pad(text: unknown, before: unknown, after: unknown): string {
  const plain = textOf(text);
  const [left, right] = [indexOf(before), indexOf(after)];
  if (Math.max(left, right) > longestPad) throw new Error(`pad is more than ${longestPad}`);
  return plain === '' ? '' : `${' '.repeat(left)}${plain}${' '.repeat(right)}`;
}

function length(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  if (isStruct(value)) return Object.keys(value).length;
  throw new Error(`len of type ${typeOf(value)}`);
}

/** What is absent from a map of texts is the empty text, as Go's zero value of it. */
function at(value: unknown, key: unknown): unknown {
  if (Array.isArray(value)) {
    const index = indexOf(key);
    if (index >= value.length) throw new Error(`index out of range: ${index}`);
    return value[index];
  }
  if (value instanceof Map) {
    const found: unknown = value.get(textOf(key));
    return found === undefined && [...value.values()].every((other) => typeof other === 'string') ? '' : found;
  }
  if (isStruct(value)) return Object.hasOwn(value, textOf(key)) ? value[textOf(key)] : undefined;
  if (value === undefined || value === null) throw new Error('index of untyped nil');
  throw new Error(`can't index item of type ${typeOf(value)}`);
}

function slice(value: unknown, from: unknown = 0, to?: unknown): unknown {
  if (typeof value !== 'string' && !Array.isArray(value)) throw new Error(`can't slice item of type ${typeOf(value)}`);
  const [start, end] = [indexOf(from), to === undefined ? value.length : indexOf(to)];
  if (end > value.length) throw new Error(`index out of range: ${end}`);
  if (start > end) throw new Error(`invalid slice index: ${start} > ${end}`);
  return value.slice(start, end);
}

/** Blanks stand between two of which neither is a text. */
function print(...args: readonly unknown[]): string {
  return args
    .map((arg, i) => {
      const apart = i > 0 && typeof arg !== 'string' && typeof args[i - 1] !== 'string';
      return `${apart ? ' ' : ''}${formatItem(arg)}`;
    })
    .join('');
}

/** 0 when they are the same. */
function compare(a: unknown, b: unknown): number {
  if (a === undefined || a === null || b === undefined || b === null) return (a ?? null) === (b ?? null) ? 0 : 1;
  if (typeof a === 'object' || typeof b === 'object') throw new Error('non-comparable type');
  if (typeof a !== typeof b) throw new Error(`incompatible types for comparison: ${typeOf(a)} and ${typeOf(b)}`);
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function ordered(a: unknown, b: unknown): number {
  for (const value of [a, b]) {
    if (typeof value !== 'string' && typeof value !== 'number') throw new Error('invalid type for comparison');
  }
  return compare(a, b);
}

/** What `range` goes over. */
export function rangeOf(value: unknown): readonly (readonly [unknown, unknown])[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.map((item: unknown, i) => [i, item] as const);
  if (value instanceof Map || isStruct(value)) return sortedEntries(value);
  throw new Error(`range can't iterate over ${format(value)}`);
}
