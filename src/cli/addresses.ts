import { isIP } from 'node:net';
import { defined } from '../lib/defined.ts';
import { Refusal } from '../lib/errors.ts';

interface Addresses {
  ip?: string;
  ip6?: string;
}

/** What an endpoint is to have, from words of either family and from what flags say. @throws Refusal 'invalid' */
export function wishedAddresses(
  words: readonly string[],
  flags: { readonly ip?: string; readonly ip6?: string } = {},
): Addresses {
  const wishes = defined<Addresses>({ ip: flags.ip, ip6: flags.ip6 });
  for (const word of words) {
    const key = isIP(requireAddress(word)) === 4 ? 'ip' : 'ip6';
    if (wishes[key] !== undefined) {
      const family = key === 'ip' ? 4 : 6;
      throw new Refusal('invalid', `${wishes[key]} and ${word}: an endpoint has one IPv${family} address a network`);
    }
    wishes[key] = word;
  }
  return wishes;
}

/** @throws Refusal 'invalid' */
export function requireAddress(word: string): string {
  if (isIP(word) !== 0) return word;
  const length = isIP(word.replace(/\/\d+$/, '')) !== 0 ? '; the length comes from the network: leave it out' : '';
  throw new Refusal('invalid', `${JSON.stringify(word.slice(0, 80))} is not an address${length}`);
}
