import { isIP } from 'node:net';
import type { Command } from 'commander';
import { defined } from '../lib/defined.ts';
import { Refusal } from '../lib/errors.ts';
import { isAddressWish } from '../model/address-wish.ts';

interface Addresses {
  ip?: string;
  ip6?: string;
  addresses?: string[];
}

/** What an endpoint is to have, from words and from what flags say. @throws Refusal 'invalid' */
export function wishedAddresses(
  words: readonly string[],
  flags: { readonly ip?: string; readonly ip6?: string } = {},
): Addresses {
  const wishes = defined<Addresses>({ ip: flags.ip, ip6: flags.ip6 });
  for (const word of words) {
    const key = ([undefined, 'ip', 'ip6'] as const)[isIP(word) && (isIP(word) === 4 ? 1 : 2)];
    if (key === undefined) wishes.addresses = [...(wishes.addresses ?? []), requireWish(word)];
    else if (wishes[key] === undefined) wishes[key] = word;
    else {
      const family = key === 'ip' ? 4 : 6;
      throw new Refusal(
        'invalid',
        `${wishes[key]} and ${word}: an endpoint has one IPv${family} address in a subnet; write others with their length`,
      );
    }
  }
  return wishes;
}

function requireWish(word: string): string {
  if (isAddressWish(word)) return word;
  throw notAddress(word);
}

/** @throws Refusal 'invalid' */
export function requireAddress(word: string): string {
  const bare = word.replace(/\/\d+$/, '');
  if (isIP(bare) !== 0) return bare;
  throw notAddress(word);
}

function notAddress(word: string): Refusal {
  return new Refusal('invalid', `${JSON.stringify(word.slice(0, 80))} is not an address`);
}

/**
 * Has a command that passes on what follows take words before its `--` that are addresses, among its flags, as Weave's
 * `run 10.0.1.1/24 …` did. They become its option `address`.
 */
export function takeAddresses(command: Command): void {
  const parse = command.parseOptions.bind(command);
  command.parseOptions = (words) => {
    const addresses: string[] = [];
    for (let rest = words; ; ) {
      const parsed = parse(rest);
      const [word, ...more] = parsed.operands;
      const isCommand = rest.at(-parsed.operands.length - 1) === '--' && rest.length > parsed.operands.length;
      if (word === undefined || isCommand || parsed.unknown.length > 0 || !isAddressWish(word)) {
        if (addresses.length > 0 && word !== undefined && !isCommand) throw noImage(word);
        command.setOptionValue('address', addresses);
        return parsed;
      }
      addresses.push(word);
      rest = more;
    }
  };
}

function noImage(word: string): Refusal {
  return new Refusal(
    'unsupported',
    `containers of images (${word.slice(0, 80)}) do not work yet: put -- between the addresses and a command`,
  );
}
