import { isIPv4, isIPv6 } from 'node:net';
import { ParseError } from './errors.ts';

/**
 * IP addresses and prefixes as values. Text is accepted only in the one strict form (no octal, no short forms, no zone):
 * `node:net` judges it first, the arithmetic below never sees anything else.
 */

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** A network: the host bits of `address` are zero. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

/** An address with the length of its network, as an interface holds it: `10.0.0.2/24`. */
export interface InterfaceAddress {
  readonly address: Address;
  readonly length: number;
}

export function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** @throws ParseError */
export function parseAddress(text: string): Address {
  if (isIPv4(text)) {
    return { family: 4, value: text.split('.').reduce((value, octet) => (value << 8n) | BigInt(octet), 0n) };
  }
  if (isIPv6(text) && !text.includes('%')) return { family: 6, value: parseIpv6(text) };
  throw new ParseError(`${quote(text)} is not an IP address`);
}

function parseIpv6(text: string): bigint {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = dotted
    ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : text;
  const [head = '', tail] = hex.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(zeros).fill('0'), ...right].reduce(
    (value, group) => (value << 16n) | BigInt(`0x${group}`),
    0n,
  );
}

/** The one canonical text (RFC 5952 for IPv6), so that equal addresses have equal text. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.');
  return formatGroups(Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn)));
}

/** The same of an IPv6 address, from its eight groups of 16 bits. */
export function formatGroups(groups: readonly number[]): string {
  const [high = 0, low = 0] = groups.slice(6);
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return `::ffff:${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
  }
  const { start, length } = longestZeros(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, i) => {
    if (group !== 0) start = i + 1;
    else if (i + 1 - start > best.length) best = { start, length: i + 1 - start };
  });
  return best;
}

/** `10.0.0.0/24`. Host bits must be zero. @throws ParseError */
export function parsePrefix(text: string): Prefix {
  const { address, length } = parseInterfaceAddress(text);
  const masked = maskAddress(address, length);
  if (masked.value !== address.value) {
    throw new ParseError(
      `${quote(text)} is not a network: bits are set behind the prefix length; did you mean ${formatAddress(masked)}/${length}`,
    );
  }
  return { address, length };
}

/** `10.0.0.2/24`. @throws ParseError */
export function parseInterfaceAddress(text: string): InterfaceAddress {
  const slash = text.indexOf('/');
  const digits = text.slice(slash + 1);
  if (slash < 0 || !/^(0|[1-9]\d{0,2})$/.test(digits)) {
    throw new ParseError(`${quote(text)} is not an address with a prefix length, such as 10.0.0.0/24`);
  }
  const address = parseAddress(text.slice(0, slash));
  const length = Number(digits);
  if (length > bitsOf(address.family)) {
    throw new ParseError(`${quote(text)} has a prefix longer than ${bitsOf(address.family)} bits`);
  }
  return { address, length };
}

/** The address's own text: `10.0.0.2` of `10.0.0.2/24`. */
export function withoutLength(text: string): string {
  return text.split('/', 1)[0] ?? text;
}

export function formatPrefix({ address, length }: Prefix | InterfaceAddress): string {
  return `${formatAddress(address)}/${length}`;
}

/** The network that an interface's address is in. */
export function networkOf({ address, length }: InterfaceAddress): Prefix {
  return { address: maskAddress(address, length), length };
}

function maskAddress(address: Address, length: number): Address {
  const host = BigInt(bitsOf(address.family) - length);
  return { family: address.family, value: (address.value >> host) << host };
}

export function firstOf({ address }: Prefix): bigint {
  return address.value;
}

export function lastOf({ address, length }: Prefix): bigint {
  return address.value + (1n << BigInt(bitsOf(address.family) - length)) - 1n;
}

export function contains(prefix: Prefix, address: Address): boolean {
  return (
    prefix.address.family === address.family && address.value >= firstOf(prefix) && address.value <= lastOf(prefix)
  );
}

/** Whether every address of `inner` is in `outer`. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && contains(outer, inner.address);
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return covers(a, b) || covers(b, a);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
