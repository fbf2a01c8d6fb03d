import * as v from 'valibot';
import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import {
  type Address,
  bitsOf,
  firstOf,
  formatAddress,
  formatPrefix,
  lastOf,
  parseAddress,
  parsePrefix,
} from '../../lib/prefix.ts';
import type { Keys } from '../../model/keys.ts';
import { parseRecord } from '../../model/record.ts';
import { Text, Time } from '../../model/text.ts';
import type { Owner, Pool } from '../allocator.ts';

/** What stands at an item's key: who holds it, or who held it and when it was given back. */
const OwnerRecord = v.looseObject({ host: Text, id: Text, name: Text });
const RestingRecord = v.looseObject({ released: Time, former: OwnerRecord });
export type Allocation =
  | { readonly kind: 'held'; readonly owner: Owner }
  | { readonly kind: 'resting'; readonly released: number; readonly former: Owner };

/** @throws ParseError */
export function parseAllocation(json: unknown, place: string): Allocation {
  if (typeof json === 'object' && json !== null && 'released' in json) {
    const { released, former } = parseRecord(RestingRecord, json, place);
    return { kind: 'resting', released: Date.parse(released), former: ownerOf(former) };
  }
  return { kind: 'held', owner: ownerOf(parseRecord(OwnerRecord, json, place)) };
}

function ownerOf({ host, id, name }: Owner): Owner {
  return { host, id, name };
}

export function formatHeld({ host, id, name }: Owner): string {
  return JSON.stringify({ host, id, name });
}

export function formatResting({ host, id, name }: Owner, released: number): string {
  return JSON.stringify({ released: new Date(released).toISOString(), former: { host, id, name } });
}

/** A pool whose items are numbers: an address is one, in order of its value. */
export interface Space {
  readonly first: bigint;
  readonly last: bigint;
  /** Never chosen. */
  readonly passed: ReadonlySet<string>;
  format(number: bigint): string;
  /** @throws ParseError */
  parse(item: string): bigint;
}

/**
 * An IPv4 subnet's first and last address are never chosen (the network's and the broadcast address), nor an IPv6 subnet's
 * first (the subnet-router anycast address), unless the subnet is too small to have them. A range within a subnet may have
 * them or not.
 */
export function spaceOf(pool: Exclude<Pool, { kind: 'subnets' }>): Space {
  if (pool.kind === 'vnis') {
    return {
      first: BigInt(pool.first),
      last: BigInt(pool.last),
      passed: new Set(),
      format: String,
      parse: (item) => BigInt(canonicalItem('vnis', item)),
    };
  }
  const range = parsePrefix(pool.range);
  const subnet = parsePrefix(pool.subnet ?? pool.range);
  const { family } = range.address;
  const hasEdges = bitsOf(family) - subnet.length > 1;
  return {
    first: firstOf(range) + (hasEdges && firstOf(range) === firstOf(subnet) ? 1n : 0n),
    last: lastOf(range) - (hasEdges && family === 4 && lastOf(range) === lastOf(subnet) ? 1n : 0n),
    passed: new Set(pool.reserved),
    format: (value) => formatAddress({ family, value }),
    parse: (item) => sameFamily(parseAddress(item), family, item),
  };
}

function sameFamily(address: Address, family: number, item: string): bigint {
  if (address.family !== family) throw new ParseError(`${item} is not an IPv${family} address`);
  return address.value;
}

/** The one text of an item. @throws ParseError */
function canonicalItem(kind: Pool['kind'], text: string): string {
  switch (kind) {
    case 'addresses':
      return formatAddress(parseAddress(text));
    case 'subnets':
      return formatPrefix(parsePrefix(text));
    case 'vnis':
      if (!/^(0|[1-9]\d{0,9})$/.test(text)) throw new ParseError(`${JSON.stringify(text.slice(0, 80))} is not a VNI`);
      return text;
  }
}

/** @throws Refusal 'invalid' */
export function parseWish(kind: Pool['kind'], text: string): string {
  try {
    return canonicalItem(kind, text);
  } catch (cause) {
    throw new Refusal('invalid', messageOf(cause), { cause });
  }
}

/** Where a pool's items stand. */
export function prefixOf(keys: Keys, pool: Pool): string {
  switch (pool.kind) {
    case 'addresses':
      return keys.addresses(pool.network);
    case 'subnets':
      return keys.subnets;
    case 'vnis':
      return keys.vnis;
  }
}

/** The last part of an item's key. */
export function formatItem(kind: Pool['kind'], item: string): string {
  return kind === 'subnets' ? item.replace('/', '-') : item;
}

/** @throws ParseError when it is not the one text that we would have written */
export function parseItem(kind: Pool['kind'], part: string): string {
  const item = kind === 'subnets' ? part.replace('-', '/') : part;
  if (formatItem(kind, canonicalItem(kind, item)) !== part) {
    throw new ParseError(`${JSON.stringify(part.slice(0, 80))} is not how ${item.slice(0, 80)} is written`);
  }
  return item;
}

/** As sentences call it. */
export function poolName(pool: Pool): string {
  switch (pool.kind) {
    case 'addresses':
      return `range ${pool.range} of network ${pool.network.slice(0, 12)}`;
    case 'subnets':
      return `pool ${pool.ranges.map(({ range, size }) => `${range} in networks of /${size}`).join(', ')}`;
    case 'vnis':
      return `VNIs ${pool.first} to ${pool.last}`;
  }
}
