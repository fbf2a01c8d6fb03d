/**
 * What templates work on, in JavaScript's terms: text, numbers, booleans, arrays, a `Map` for Go's map and a plain object for
 * Go's struct. `undefined` is a value that is not there.
 */

const longestText = 16 * 1024 * 1024;

export function isStruct(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}

/** What is under the keys of a map or the names of a struct, in the order of the keys. */
export function sortedEntries(value: ReadonlyMap<unknown, unknown> | Readonly<Record<string, unknown>>) {
  const entries: [unknown, unknown][] = value instanceof Map ? [...value] : Object.entries(value);
  return entries.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

/** Whether `if` takes it for true: structs always, the rest when it is not zero or empty. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

export function typeOf(value: unknown): string {
  if (value === undefined || value === null) return 'nil';
  if (Array.isArray(value)) return 'slice';
  if (value instanceof Map) return 'map';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'object' ? 'struct' : typeof value;
}

/** As Go's `%v` prints it. */
export function format(value: unknown): string {
  if (value === undefined || value === null) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(format).join(' ')}]`;
  if (value instanceof Map) return `map[${sortedEntries(value).map(formatEntry).join(' ')}]`;
  if (isStruct(value)) return `{${Object.values(value).map(format).join(' ')}}`;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function formatEntry([key, value]: readonly [unknown, unknown]): string {
  return `${String(key)}:${format(value)}`;
}

export function formatJson(value: unknown): string {
  return JSON.stringify(value, mapsAsObjects) ?? 'null';
}

function mapsAsObjects(_key: string, value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(sortedEntries(value)) : value;
}

/** What a template has written. @throws Error when it is too long */
export class Output {
  readonly #pieces: string[] = [];
  #length = 0;

  write(text: string): void {
    this.#length += text.length;
    if (this.#length > longestText) throw new Error(`it writes more than ${longestText} characters`);
    this.#pieces.push(text);
  }

  text(): string {
    return this.#pieces.join('');
  }
}
