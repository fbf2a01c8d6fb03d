import * as v from 'valibot';
import { ParseError } from '../lib/errors.ts';
import {
  formatAddress,
  formatPrefix,
  networkOf,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
} from '../lib/prefix.ts';

/**
 * An address that an endpoint is to have, in Weave's words: `10.0.1.1/24` or `ip:10.0.1.1/24` is this one, with the subnet
 * that it is in; `net:10.0.1.0/24` any of a subnet, `net:default` any of where they come from when nothing is said. Without a
 * length it is in the network's subnet that holds it.
 */
export type AddressWish =
  | { readonly kind: 'address'; readonly address: string; readonly subnet?: string }
  | { readonly kind: 'subnet'; readonly subnet: string }
  | { readonly kind: 'any' };

/** Longer than any that can be read. */
const longest = 64;

/** @throws ParseError */
export function parseAddressWish(text: string): AddressWish {
  if (text.length > longest) throw new ParseError(`${text.slice(0, longest)}… is longer than an address`);
  if (text === 'net:default') return { kind: 'any' };
  if (text.startsWith('net:')) return { kind: 'subnet', subnet: formatPrefix(parsePrefix(text.slice('net:'.length))) };
  const word = text.startsWith('ip:') ? text.slice('ip:'.length) : text;
  if (!word.includes('/')) return { kind: 'address', address: formatAddress(parseAddress(word)) };
  const written = parseInterfaceAddress(word);
  return { kind: 'address', address: formatAddress(written.address), subnet: formatPrefix(networkOf(written)) };
}

/** Whether a word is one. */
export function isAddressWish(text: string): boolean {
  return v.safeParse(AddressWishText, text).success;
}

/** As it is written, once it is known that it can be read. */
export const AddressWishText = v.pipe(
  v.string(),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    try {
      parseAddressWish(dataset.value);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      addIssue({ message: 'is neither an address such as 10.0.1.1/24, nor net:10.0.1.0/24, nor net:default' });
    }
  }),
);

/** The subnets that are named by wishes. */
export function wishedSubnets(texts: readonly string[]): readonly string[] {
  const named = texts.map(parseAddressWish).flatMap((wish) => ('subnet' in wish ? [wish.subnet] : []));
  return [...new Set(named)];
}
