import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import { longestRecord, parseJson } from '../../model/record.ts';
import type { Skipped } from './skipped.ts';
import type { Item } from './store.ts';

/** Reads an item of the store; what cannot be read is noted and passed over. */
export function readItem<T>(item: Item, parse: (json: unknown, key: string) => T, skipped: Skipped): T | undefined {
  try {
    const record = parse(parseJson(item.value, item.key), item.key);
    skipped.clear(item.key);
    return record;
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    skipped.add(item.key, messageOf(error));
    return undefined;
  }
}

/** Readable for people with the store's own tools. @throws Refusal 'invalid' when it is longer than a record may be */
export function formatRecord(record: unknown, what: string): string {
  const text = JSON.stringify(record);
  if (text.length > longestRecord) {
    throw new Refusal(
      'invalid',
      `${what} has ${text.length} characters, more than a record may have (${longestRecord})`,
    );
  }
  return text;
}

/** The last part of a key. */
export function lastOfKey(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
