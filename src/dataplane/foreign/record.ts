import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { parseJson, parseRecord } from '../../model/record.ts';
import type { Guest } from './chains.ts';

const Word = v.pipe(v.string(), v.maxLength(256));
const Guests = v.pipe(
  v.array(
    v.object({
      program: v.picklist(['nft', 'iptables-nft', 'ip6tables-nft', 'iptables-legacy', 'ip6tables-legacy']),
      family: Word,
      table: Word,
      chain: Word,
      rule: Word,
    }),
  ),
  v.maxLength(4096),
);

/** @throws ParseError */
export function parseGuests(text: string, place: string): readonly Guest[] {
  return parseRecord(Guests, parseJson(text, place), place);
}

/** The rules that we put into others' chains, as a file that outlives the daemon has them; none when it says nothing. */
export function guestsIn(file: string): readonly Guest[] {
  try {
    return parseGuests(readFileSync(file, 'utf8'), file);
  } catch {
    return [];
  }
}

export function writeGuests(file: string, guests: readonly Guest[]): void {
  if (guests.length === 0) {
    rmSync(file, { force: true });
    return;
  }
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const plain = guests.map(({ program, family, table, chain, rule }) => ({ program, family, table, chain, rule }));
  writeFileSync(`${file}.new`, `${JSON.stringify(plain, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
