import * as v from 'valibot';
import { Refusal } from '../../lib/errors.ts';

/** Reads a part of a request. @throws Refusal 'invalid' naming the place and the field */
export function parseInput<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  place: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = shorten(v.getDotPath(issue) ?? '');
  throw new Refusal('invalid', `${place}: ${field === '' ? '' : `${field} `}${sentenceOf(issue)}`);
}

/** Our own schemas carry sentences; valibot's, which speak of types, are said in the same way. */
function sentenceOf(issue: v.BaseIssue<unknown>): string {
  if (!issue.message.startsWith('Invalid ')) return issue.message;
  if (issue.expected === 'never') return 'is not known here';
  if (issue.received === 'undefined') return 'is missing';
  return `must be ${issue.expected ?? 'valid'}, not ${shorten(issue.received)}`;
}

/** An empty body is an empty object. @throws Refusal 'invalid' */
export function parseBody(bytes: Uint8Array, place: string): object {
  const json = bytes.length === 0 ? {} : readJson(bytes, place);
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json;
  throw new Refusal('invalid', `${place}: is not a JSON object`);
}

function readJson(bytes: Uint8Array, place: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Refusal('invalid', `${place}: is not JSON`, { cause });
  }
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
