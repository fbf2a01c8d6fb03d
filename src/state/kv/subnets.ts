import {
  type Address,
  bitsOf,
  covers,
  firstOf,
  formatPrefix,
  lastOf,
  overlaps,
  type Prefix,
  parsePrefix,
} from '../../lib/prefix.ts';
import type { Held, Pool } from '../allocator.ts';
import type { Allocation } from './allocation.ts';

type Subnets = Extract<Pool, { kind: 'subnets' }>;
type Records = ReadonlyMap<string, Allocation>;

/** What is held, leaving out what rests. */
export function heldOf(records: Records): readonly Held[] {
  return [...records].flatMap(([item, allocation]) =>
    allocation.kind === 'held' ? [{ item, owner: allocation.owner }] : [],
  );
}

/** The one that holds what overlaps `item`, if any. */
export function overlapping(item: string, held: readonly Held[]): Held | undefined {
  const wanted = parsePrefix(item);
  return held.find((one) => overlaps(wanted, parsePrefix(one.item)));
}

/** Whether the automatic choice could have chosen it. */
export function isOfPool(item: string, { ranges }: Subnets): boolean {
  const prefix = parsePrefix(item);
  return ranges.some(({ range, size }) => prefix.length === size && covers(parsePrefix(range), prefix));
}

/**
 * The first network of the pool that overlaps nothing held, resting or avoided; if there is none, resting ones are given
 * up, the longest rested first.
 */
export function chooseSubnet(pool: Subnets, records: Records, over: number): string | undefined {
  const fixed = [...heldOf(records).map(({ item }) => item), ...pool.avoid].map(parsePrefix);
  const resting = [...records]
    .flatMap(([item, allocation]) =>
      allocation.kind === 'resting' && allocation.released > over ? [{ prefix: parsePrefix(item), allocation }] : [],
    )
    .sort((a, b) => b.allocation.released - a.allocation.released)
    .map(({ prefix }) => prefix);
  for (; ; resting.pop()) {
    const chosen = firstFree(pool, [...fixed, ...resting]);
    if (chosen !== undefined || resting.length === 0) return chosen;
  }
}

function firstFree(pool: Subnets, blocked: readonly Prefix[]): string | undefined {
  for (const { range, size } of pool.ranges) {
    const outer = parsePrefix(range);
    const value = firstGap(
      outer,
      size,
      blocked.filter((prefix) => overlaps(prefix, outer)),
    );
    if (value !== undefined) return formatPrefix({ address: { family: outer.address.family, value }, length: size });
  }
  return undefined;
}

/** Walks the blocked ones by their first address: a candidate that one of them overlaps is moved behind it. */
function firstGap(outer: Prefix, size: number, blocked: readonly Prefix[]): Address['value'] | undefined {
  const step = 1n << BigInt(bitsOf(outer.address.family) - size);
  const sorted = [...blocked].sort((a, b) => (firstOf(a) < firstOf(b) ? -1 : 1));
  let candidate = firstOf(outer);
  for (const prefix of sorted) {
    if (firstOf(prefix) >= candidate + step) break;
    if (lastOf(prefix) >= candidate) candidate = (lastOf(prefix) / step + 1n) * step;
  }
  return size >= outer.length && candidate + step - 1n <= lastOf(outer) ? candidate : undefined;
}
