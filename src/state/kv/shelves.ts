import { backoff } from '../../lib/backoff.ts';
import type { Keys } from '../../model/keys.ts';
import type { Pool } from '../allocator.ts';
import { type Allocation, formatItem, parseAllocation, parseItem, prefixOf } from './allocation.ts';
import { lastOfKey, readItem } from './records.ts';
import { Shelf } from './shelf.ts';
import type { Skipped } from './skipped.ts';
import type { Item, Store } from './store.ts';

/** The shelves of the pools that are in use, each fed by a watch and dropped a while after its last use. */
export interface Shelves {
  /** The shelf of a pool, once its snapshot is there. @throws when `signal` aborts first */
  get(pool: Pool, signal: AbortSignal): Promise<Shelf>;
  /** The shelf, if there is one now. */
  peek(pool: Pool): Shelf | undefined;
  /** This process gave the item: it removes the record when the rest is over. */
  given(pool: Pool, item: string): void;
  read(pool: Pool, item: Item): Read | undefined;
  close(): Promise<void>;
}

/** An item's record; `allocation` undefined: it cannot be read. */
export interface Read {
  readonly item: string;
  readonly revision: string;
  readonly allocation: Allocation | undefined;
}

export interface OpenShelves {
  readonly store: Store;
  readonly keys: Keys;
  readonly skipped: Skipped;
  readonly now: () => number;
  /** See `rest` of the allocator. */
  readonly rest: number;
}

interface Use {
  readonly shelf: Shelf;
  readonly pool: Pool;
  readonly ready: Promise<void>;
  readonly isReady: () => boolean;
  readonly given: Set<string>;
  readonly over: AbortController;
  readonly watching: Promise<void>;
  used: number;
}

export function openShelves({ store, keys, skipped, now, rest }: OpenShelves): Shelves {
  const uses = new Map<string, Use>();
  const closed = new AbortController();

  const read = (pool: Pool, item: Item): Read | undefined => {
    let name: string;
    try {
      name = parseItem(pool.kind, lastOfKey(item.key));
    } catch (error) {
      skipped.add(item.key, error instanceof Error ? error.message : String(error));
      return undefined;
    }
    return { item: name, revision: item.revision, allocation: readItem(item, parseAllocation, skipped) };
  };

  const use = (pool: Pool): Use => {
    const prefix = prefixOf(keys, pool);
    const known = uses.get(prefix);
    if (known) {
      known.used = performance.now();
      return known;
    }
    const shelf = new Shelf(rest);
    const ready = Promise.withResolvers<void>();
    let there = false;
    const over = new AbortController();
    const watch = async () => {
      for await (const event of store.watch(prefix, { signal: over.signal })) {
        if (event.kind === 'snapshot') {
          skipped.clearBelow(prefix);
          shelf.reset(
            event.items.flatMap((item) => {
              const one = read(pool, item);
              return one ? [[one.item, one.revision, one.allocation] as const] : [];
            }),
            now(),
          );
          there = true;
          ready.resolve();
        } else if (event.kind === 'put') {
          const one = read(pool, event.item);
          if (one) shelf.put(one.item, one.revision, one.allocation, now());
        } else {
          skipped.clear(event.key);
          const part = lastOfKey(event.key);
          try {
            shelf.remove(parseItem(pool.kind, part));
          } catch {
            // What was never an item was never on the shelf.
          }
        }
      }
    };
    const made = {
      shelf,
      pool,
      ready: ready.promise,
      isReady: () => there,
      given: new Set<string>(),
      over,
      watching: watch(),
      used: performance.now(),
    };
    uses.set(prefix, made);
    return made;
  };

  /** Removes what has rested: what we gave as soon as its rest is over, what others left behind after twice that time. */
  const sweep = async ({ shelf, pool, given }: Use) => {
    for (const { item, revision, free } of shelf.rested(now())) {
      if (revision === undefined || (!given.has(item) && free + rest > now())) continue;
      const key = prefixOf(keys, pool) + formatItem(pool.kind, item);
      // When another was quicker the watch tells; a store that is away is asked again at the next sweep.
      await store.commit([{ key, revision }], [{ kind: 'delete', key }], { signal: closed.signal });
      given.delete(item);
    }
  };
  const tend = async () => {
    const every = Math.min(2_000, rest / 3);
    for await (const _ of backoff({ first: every, most: every, signal: closed.signal })) {
      for (const [prefix, one] of uses) {
        await sweep(one).catch(() => undefined);
        if (performance.now() - one.used < 2 * rest + every) continue;
        uses.delete(prefix);
        one.over.abort();
      }
    }
  };
  const tending = tend();

  return {
    async get(pool, signal) {
      const { shelf, ready, isReady } = use(pool);
      if (isReady()) return shelf;
      const late = Promise.withResolvers<never>();
      const abort = () => late.reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      // A watch waits for whatever time; a reading says why there is nothing.
      store.list(prefixOf(keys, pool).slice(0, -1), { signal }).catch(late.reject);
      try {
        await Promise.race([ready, late.promise]);
      } finally {
        signal.removeEventListener('abort', abort);
      }
      return shelf;
    },
    peek: (pool) => uses.get(prefixOf(keys, pool))?.shelf,
    given(pool, item) {
      use(pool).given.add(item);
    },
    read,
    async close() {
      closed.abort();
      for (const { over } of uses.values()) over.abort();
      await Promise.all([tending, ...[...uses.values()].map(({ watching }) => watching)]);
    },
  };
}
