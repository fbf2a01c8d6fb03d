import { Serial } from '../../lib/serial.ts';
import { steadyNow } from '../../lib/steady.ts';
import type { Keys } from '../../model/keys.ts';
import { type Allocator, rest as defaultRest, Exhausted, type Owner, type Pool, Taken } from '../allocator.ts';
import {
  type Allocation,
  formatHeld,
  formatItem,
  formatResting,
  parseWish,
  poolName,
  prefixOf,
  spaceOf,
} from './allocation.ts';
import { persist } from './persist.ts';
import type { Choice } from './shelf.ts';
import { openShelves, type Read } from './shelves.ts';
import type { Skipped } from './skipped.ts';
import { type Condition, type Store, StoreError, type Write } from './store.ts';
import { chooseSubnet, heldOf, isOfPool, overlapping } from './subnets.ts';

/**
 * One key an item, taken by a commit on the condition that it is still as it was seen. Numbers are chosen in memory, so
 * that many takes at once choose different ones; networks are chosen one at a time, under a counter that every take
 * changes, because two that overlap have different keys.
 */
export interface OpenAllocator {
  readonly store: Store;
  readonly keys: Keys;
  readonly skipped: Skipped;
  readonly now?: () => number;
  /** How long a released item is left out of the automatic choice, in milliseconds. */
  readonly rest?: number;
}

export interface ClosableAllocator extends Allocator {
  /** Stops watching; what still rests is removed by others when they meet it. May be called twice. */
  close(): Promise<void>;
}

type Numbers = Exclude<Pool, { kind: 'subnets' }>;
type Subnets = Extract<Pool, { kind: 'subnets' }>;

export function openAllocator(options: OpenAllocator): ClosableAllocator {
  const { store, keys, skipped, now = steadyNow, rest = defaultRest } = options;
  const shelves = openShelves({ store, keys, skipped, now, rest });
  const serial = new Serial();
  const keyOf = (pool: Pool, item: string) => prefixOf(keys, pool) + formatItem(pool.kind, item);
  const readOne = async (pool: Pool, item: string, signal: AbortSignal): Promise<Read | undefined> => {
    const [found] = (await store.list(keyOf(pool, item), { signal })).items;
    return found && shelves.read(pool, found);
  };
  const readAll = async (pool: Pool, signal: AbortSignal): Promise<readonly Read[]> =>
    (await store.list(prefixOf(keys, pool), { signal })).items.flatMap((item) => shelves.read(pool, item) ?? []);

  const learn = (pool: Pool, item: string, there: Read | undefined) => {
    const shelf = shelves.peek(pool);
    if (there) shelf?.put(item, there.revision, there.allocation, now());
    else shelf?.remove(item);
  };

  /** @returns undefined when the item is the owner's now, else what stands there instead. @throws StoreError */
  const commitTake = async (
    pool: Pool,
    owner: Owner,
    { item, revision }: Choice,
    { signal, guard }: { signal: AbortSignal; guard?: Guard },
  ): Promise<Read | 'changed' | undefined> => {
    const key = keyOf(pool, item);
    const conditions: Condition[] = [{ key, revision }, ...(guard ? [guard.condition] : [])];
    const writes: Write[] = [{ kind: 'put', key, value: formatHeld(owner) }, ...(guard ? [guard.write] : [])];
    const result = await store.commit(conditions, writes, { signal });
    if (result.done) {
      shelves.peek(pool)?.put(item, undefined, { kind: 'held', owner }, now());
      return undefined;
    }
    const found = result.items.find((one) => one.key === key);
    const there = found && shelves.read(pool, found);
    learn(pool, item, there);
    return there ?? 'changed';
  };

  /** Confirms choices until one is the owner's. An attempt that was cut off is repeated with the same item. */
  const takeNumber = async (pool: Numbers, owner: Owner): Promise<string> => {
    const space = spaceOf(pool);
    let open: Choice | undefined;
    try {
      return await persist(store, `take one of ${poolName(pool)}`, async (signal) => {
        const shelf = await shelves.get(pool, signal).catch((cause: unknown) => {
          if (!signal.aborted) throw cause;
          throw new StoreError('its records could not be read in time', { cause, retry: true });
        });
        for (;;) {
          const mine = shelf.ofOwner(space, owner);
          if (mine?.held) {
            // Seldom: a repeated call. The shelf may be behind a release by another host.
            const there = await readOne(pool, mine.item, signal);
            if (isHeldBy(there?.allocation, owner)) return mine.item;
            learn(pool, mine.item, there);
            continue;
          }
          open ??= mine ? shelf.take(mine.item) : shelf.choose(space, now());
          if (!open) throw exhausted(pool, shelf.holders(space));
          const there = await commitTake(pool, owner, open, { signal });
          const { item } = open;
          shelf.settle(item);
          open = undefined;
          if (there === undefined || (there !== 'changed' && isHeldBy(there.allocation, owner))) return item;
        }
      });
    } finally {
      if (open) shelves.peek(pool)?.settle(open.item);
    }
  };

  const takeWish = (pool: Numbers, owner: Owner, wish: string): Promise<string> =>
    persist(store, `take ${wish} of ${poolName(pool)}`, async (signal) => {
      for (let revision: string | undefined; ; ) {
        const there = await commitTake(pool, owner, { item: wish, revision }, { signal });
        if (there === undefined) return wish;
        revision = undefined;
        if (there === 'changed') continue;
        const { allocation } = there;
        if (isHeldBy(allocation, owner)) return wish;
        if (allocation?.kind !== 'resting')
          throw new Taken(wish, { item: wish, owner: allocation?.owner ?? unreadable });
        revision = there.revision;
      }
    });

  const takeSubnet = (pool: Subnets, owner: Owner, wish?: string): Promise<string> =>
    persist(store, `take ${wish ?? 'a network'} of ${poolName(pool)}`, async (signal) => {
      for (;;) {
        // In this order: whatever is taken after the counter was read changes it.
        const guard = await readGuard(signal);
        const reads = await readAll(pool, signal);
        const records = new Map(reads.map(({ item, allocation }) => [item, allocation ?? heldByUnreadable] as const));
        const held = heldOf(records);
        const item = wish ?? ownSubnet(pool, owner, records) ?? chooseSubnet(pool, records, now() - rest);
        if (item === undefined) throw exhausted(pool, { count: held.length, example: held[0] });
        if (isHeldBy(records.get(item), owner)) return item;
        const by = overlapping(item, held);
        if (by) throw new Taken(item, by);
        const revision = reads.find((read) => read.item === item)?.revision;
        if ((await commitTake(pool, owner, { item, revision }, { signal, guard })) === undefined) return item;
      }
    });

  /** The key of the counter is the prefix without its '/'. */
  const readGuard = async (signal: AbortSignal): Promise<Guard> => {
    const key = keys.subnets.slice(0, -1);
    const [item] = (await store.list(key, { signal })).items;
    const taken = Number(item?.value);
    const value = String(Number.isSafeInteger(taken) ? taken + 1 : 1);
    return { condition: { key, revision: item?.revision }, write: { kind: 'put', key, value } };
  };

  return {
    async take(pool, owner, wish) {
      const item = wish === undefined ? undefined : parseWish(pool.kind, wish);
      if (pool.kind === 'subnets') return await serial.run('subnets', () => takeSubnet(pool, owner, item));
      if (item !== undefined) return await takeWish(pool, owner, item);
      // A repeated call while the first is on its way gets the same item.
      return await serial.run(`${prefixOf(keys, pool)} ${owner.id}`, () => takeNumber(pool, owner));
    },
    async give(pool, owner, wanted, { unused } = { unused: false }) {
      const item = parseWish(pool.kind, wanted);
      const key = keyOf(pool, item);
      await persist(store, `give back ${item} of ${poolName(pool)}`, async (signal) => {
        const known = shelves.peek(pool)?.get(item);
        let revision = isHeldBy(known?.allocation, owner) ? known?.revision : undefined;
        for (;;) {
          if (revision === undefined) {
            const there = await readOne(pool, item, signal);
            if (isFormer(there?.allocation, owner)) shelves.given(pool, item);
            if (!there || !isHeldBy(there.allocation, owner)) return;
            revision = there.revision;
          }
          const released = now();
          const write: Write = unused
            ? { kind: 'delete', key }
            : { kind: 'put', key, value: formatResting(owner, released) };
          const { done } = await store.commit([{ key, revision }], [write], { signal });
          if (done && unused) {
            shelves.peek(pool)?.remove(item);
            return;
          }
          if (done) {
            shelves.given(pool, item);
            shelves.peek(pool)?.put(item, undefined, { kind: 'resting', released, former: owner }, released);
            return;
          }
          revision = undefined;
        }
      });
    },
    held: (pool) =>
      persist(store, `list ${poolName(pool)}`, async (signal) => {
        const reads = await readAll(pool, signal);
        return reads.flatMap(({ item, allocation }) =>
          allocation?.kind === 'held' ? [{ item, owner: allocation.owner }] : [],
        );
      }),
    close: () => shelves.close(),
  };
}

interface Guard {
  readonly condition: Condition;
  readonly write: Write;
}

const unreadable: Owner = { host: '', id: '', name: 'a record that cannot be read (see skein status)' };
const heldByUnreadable: Allocation = { kind: 'held', owner: unreadable };

function isHeldBy(allocation: Allocation | undefined, owner: Owner): boolean {
  return allocation?.kind === 'held' && allocation.owner.id === owner.id;
}

function isFormer(allocation: Allocation | undefined, owner: Owner): boolean {
  return allocation?.kind === 'resting' && allocation.former.id === owner.id;
}

/** What the owner holds of the pool, else what it held last, if nobody has taken what overlaps it. */
function ownSubnet(pool: Subnets, owner: Owner, records: ReadonlyMap<string, Allocation>): string | undefined {
  const own = [...records].filter(([item]) => isOfPool(item, pool));
  const held = own.find(([, allocation]) => isHeldBy(allocation, owner));
  const former = own.find(([item, allocation]) => isFormer(allocation, owner) && !overlapping(item, heldOf(records)));
  return (held ?? former)?.[0];
}

function exhausted(
  pool: Pool,
  { count, example }: { readonly count: number; readonly example: { item: string; owner: Owner } | undefined },
): Exhausted {
  const holders = example
    ? `${count} are held, ${example.item} by ${example.owner.name}`
    : 'nothing in it can be given';
  return new Exhausted(`the ${poolName(pool)} is exhausted: ${holders}; give one back, or make the pool larger`);
}
