import { bitsOf, type Family, formatPrefix, overlaps, parsePrefix } from '../../lib/prefix.ts';
import type { Pool } from '../allocator.ts';
import type { Allocation } from '../kv/allocation.ts';
import { chooseSubnet, isOfPool } from '../kv/subnets.ts';
import type { Holding, Holdings } from './holdings.ts';
import { isSubnets, type Owned } from './owned.ts';
import { type Ring, type Rings, subnetsRing, type Top } from './ring.ts';
import type { Sheets } from './sheets.ts';

type SubnetPool = Pool & { readonly kind: 'subnets' };

export interface SubnetsNeeds {
  readonly sheets: Sheets;
  readonly rings: Rings;
  readonly holdings: Holdings;
  readonly owned: Owned;
  readonly now: () => number;
}

/** Which item is to be asked for, from what all hosts say that they hold. */
export class Subnets {
  readonly #needs: SubnetsNeeds;

  constructor(needs: SubnetsNeeds) {
    this.#needs = needs;
  }

  ringOf(this: void, family: Family): Ring {
    return subnetsRing(family);
  }

  ringOfItem(item: string): Ring {
    return subnetsRing(parsePrefix(item).address.family);
  }

  familiesOf({ ranges }: SubnetPool): readonly Family[] {
    return [...new Set(ranges.map(({ range }) => parsePrefix(range).address.family))];
  }

  isOfPool(pool: SubnetPool, item: string): boolean {
    return isOfPool(item, pool);
  }

  overlapsPool({ ranges }: SubnetPool, item: string): boolean {
    return ranges.some(({ range }) => overlaps(parsePrefix(range), parsePrefix(item)));
  }

  /** What is held of these numbers. */
  overlapping(ring: Ring, item: string): { readonly item: string; readonly record: Holding } | undefined {
    const { holdings } = this.#needs;
    if (isSubnets(ring)) {
      const wanted = parsePrefix(item);
      return holdings.held(ring).find((one) => overlaps(parsePrefix(one.item), wanted));
    }
    const record = holdings.holder(ring, item);
    return record && { item, record };
  }

  /** What rests, the longest rested first. */
  longestRested(ring: Ring, wanted: (item: string) => boolean): readonly { readonly item: string }[] {
    const resting = this.#needs.holdings.resting(ring).filter(({ item }) => wanted(item));
    return resting.toSorted((a, b) => a.released - b.released).slice(0, 64);
  }

  /**
   * The first network of the pool that is free and can be had now: what is in reserve comes after what is not, what rests
   * comes last.
   */
  choose(
    pool: SubnetPool,
    { reachable, tried }: { readonly reachable: ReadonlySet<string>; readonly tried: ReadonlySet<string> },
  ): string | undefined {
    const { sheets } = this.#needs;
    const away = ({ owner }: Top) => !reachable.has(owner);
    const shut: readonly ((top: Top) => boolean)[] = [
      (top) => away(top) || top.spare,
      (top) => away(top) || (top.spare && top.owner !== sheets.self),
      away,
    ];
    for (const resting of ['held', 'resting'] as const) {
      for (const isShut of shut) {
        const avoid = [...pool.avoid, ...tried, ...this.#prefixesOf(pool, isShut)];
        const item = chooseSubnet({ ...pool, avoid }, this.#records(pool, resting), Number.NEGATIVE_INFINITY);
        if (item !== undefined) return item;
      }
    }
    return undefined;
  }

  /** As the choice reads them. */
  #records(pool: SubnetPool, resting: 'held' | 'resting'): ReadonlyMap<string, Allocation> {
    const { holdings, now } = this.#needs;
    const records = new Map<string, Allocation>();
    for (const ring of this.familiesOf(pool).map(subnetsRing)) {
      for (const { item, record, released } of holdings.resting(ring)) {
        if (record.free <= now()) continue;
        const former = record.owner;
        records.set(item, resting === 'held' ? { kind: 'held', owner: former } : { kind: 'resting', released, former });
      }
      for (const { item, record } of holdings.held(ring)) records.set(item, { kind: 'held', owner: record.owner });
    }
    return records;
  }

  #prefixesOf(pool: SubnetPool, wanted: (top: Top) => boolean): readonly string[] {
    return this.familiesOf(pool).flatMap((family) =>
      [...this.#needs.rings.tops(subnetsRing(family))].flatMap(({ first, last, value }) =>
        wanted(value) ? prefixesOf(family, first, last) : [],
      ),
    );
  }
}

/** The fewest prefixes that are exactly these addresses. */
export function prefixesOf(family: Family, first: bigint, last: bigint): readonly string[] {
  const prefixes: string[] = [];
  const bits = bitsOf(family);
  for (let from = first; from <= last; ) {
    let length = bits;
    while (length > 0) {
      const size = 1n << BigInt(bits - length + 1);
      if (from % size !== 0n || from + size - 1n > last) break;
      length--;
    }
    prefixes.push(formatPrefix({ address: { family, value: from }, length }));
    from += 1n << BigInt(bits - length);
  }
  return prefixes;
}
