import { parseAddress } from '../../../lib/prefix.ts';

/** Whom to count an address to: an IPv4 address to itself, an IPv6 address to the /64 that one machine can have to itself. */
export function sourceOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=[\d.]+$)/, '').replace(/%.*$/, '');
  if (!plain.includes(':')) return plain;
  return `${(parseAddress(plain).value >> 64n).toString(16)}::/64`;
}
