import * as v from 'valibot';
import { ParseError } from '../lib/errors.ts';

/** The longest record that is read, in characters: a hostile store cannot make us hold more. */
export const longestRecord = 256 * 1024;

/**
 * Reads one record. Unknown fields are kept (the schemas are loose objects), so that a newer host's record survives being
 * rewritten by an older one.
 * @throws ParseError naming `place` and the field
 */
export function parseRecord<const S extends v.GenericSchema>(
  schema: S,
  json: unknown,
  place: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, json, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new ParseError(`${place}: ${shorten(v.getDotPath(issue) ?? 'the value')} ${shorten(issue.message)}`);
}

/** A message may quote what it is about. */
function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** @throws ParseError when the text is not JSON, or longer than a record may be */
export function parseJson(text: string, place: string): unknown {
  if (text.length > longestRecord) {
    throw new ParseError(`${place}: ${text.length} characters are more than a record may have (${longestRecord})`);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ParseError(`${place}: is not JSON`, { cause });
  }
}
