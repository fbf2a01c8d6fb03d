import { ParseError } from '../../lib/errors.ts';

/** Deeper than anything that is said: hostile values must not exhaust the stack. */
const deepest = 64;

/**
 * The one text of a JSON value, to be signed and hashed: fields in order, fields that are undefined left out.
 * @throws ParseError for what is nested too deeply
 */
export function canonical(value: unknown, depth = 0): string {
  if (depth > deepest) throw new ParseError(`a value is nested more than ${deepest} deep`);
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field, depth + 1)}`);
  return `{${fields.join(',')}}`;
}
