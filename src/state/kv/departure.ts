import { backoff } from '../../lib/backoff.ts';
import type { Cluster } from '../../model/cluster.ts';
import { parseEndpoint } from '../../model/endpoint.ts';
import type { Keys } from '../../model/keys.ts';
import { parseNameRecord } from '../../model/name-record.ts';
import { formatResting, parseAllocation } from './allocation.ts';
import { parseHolder } from './claims.ts';
import { joinCluster } from './cluster.ts';
import { persist } from './persist.ts';
import { parseAlive } from './presence.ts';
import { lastOfKey, readItem } from './records.ts';
import { Skipped } from './skipped.ts';
import type { Item, Store, Write } from './store.ts';

/** What a host that leaves its cluster for good has given back, by kind. */
export interface Departed {
  readonly endpoints: number;
  readonly names: number;
  readonly addresses: number;
  /** Names given by hand. */
  readonly records: number;
  /** Of networks that it had begun to make. */
  readonly begun: number;
}

export interface Departure {
  readonly keys: Keys;
  readonly host: string;
  /** The cluster that the host was in: nothing is written to another's store. */
  readonly cluster: Cluster;
  /** Where this host's daemon was, see `OpenPresence`: its sign of life outlives it for a while, and is none. */
  readonly place?: string | undefined;
  /** How long another's sign of life is given to vanish, in milliseconds: longer than the session of one that died. */
  readonly patience?: number;
  readonly now: () => number;
}

/** Keys that are changed at once. */
const atOnce = 64;

/**
 * Takes everything of a host out of the store: endpoints, names, addresses (they rest, as after every release), what it
 * had begun, and at last the host itself, so that one that was cut off is found and finished by repeating it. The host's
 * daemon must not run.
 * @returns undefined, with nothing changed, when the same host is alive elsewhere: this one was made from its disk
 * @throws Refusal 'unavailable' | 'conflict'
 */
export async function depart(store: Store, departure: Departure): Promise<Departed | undefined> {
  const { keys, host, cluster, now } = departure;
  const skipped = new Skipped();
  await persist(store, 'read the cluster', (signal) =>
    joinCluster(store, keys, { proposal: cluster, known: cluster, signal }),
  );
  const list = (prefix: string) => persist(store, `read ${prefix}`, (signal) => store.list(prefix, { signal }));
  if (await isAliveElsewhere(store, departure)) return undefined;
  const count = { endpoints: 0, names: 0, addresses: 0, records: 0, begun: 0 };
  const remove = async (items: readonly Item[]) => {
    await change(
      store,
      items.map((item) => ({ item, write: { kind: 'delete', key: item.key } })),
    );
    return items.length;
  };

  const networks = (await list(keys.networks)).items.map(({ key }) => lastOfKey(key));
  for (const network of networks) {
    const endpoints = (await list(keys.endpoints(network))).items;
    count.endpoints += await remove(endpoints.filter((item) => readItem(item, parseEndpoint, skipped)?.host === host));
    const names = (await list(keys.endpointNames(network))).items;
    count.names += await remove(names.filter((item) => readItem(item, parseHolder, skipped)?.host === host));
    count.names += await remove((await list(keys.sharedNames(network, host))).items);
    const resting = (await list(keys.addresses(network))).items.flatMap((item): Change[] => {
      const there = readItem(item, parseAllocation, skipped);
      if (there?.kind !== 'held' || there.owner.host !== host) return [];
      return [{ item, write: { kind: 'put', key: item.key, value: formatResting(there.owner, now()) } }];
    });
    await change(store, resting);
    count.addresses += resting.length;
  }

  const given = (await list(keys.records)).items;
  count.records += await remove(given.filter((item) => readItem(item, parseNameRecord, skipped)?.host === host));

  // What it took for a network that it had not made yet when it ended.
  const there = new Set(networks);
  for (const prefix of [keys.subnets, keys.vnis]) {
    const taken = (await list(prefix)).items.filter((item) => {
      const found = readItem(item, parseAllocation, skipped);
      return found?.kind === 'held' && found.owner.host === host && !there.has(found.owner.id);
    });
    count.begun += await remove(taken);
  }
  const claimed = (await list(keys.networkNames)).items.filter((item) => {
    const holder = readItem(item, parseHolder, skipped);
    return holder?.host === host && !there.has(holder.id);
  });
  count.begun += await remove(claimed);

  for (const key of [keys.host(host), keys.aliveHost(host)]) await remove((await list(key)).items);
  return count;
}

async function isAliveElsewhere(store: Store, { keys, host, place, patience = 20_000 }: Departure): Promise<boolean> {
  const key = keys.aliveHost(host);
  const over = AbortSignal.timeout(patience);
  for await (const _ of backoff({ first: 100, most: 1_000, signal: over })) {
    const { items } = await persist(store, `read ${key}`, (signal) => store.list(key, { signal }));
    const signs = items.flatMap((item) => readItem(item, parseAlive, new Skipped()) ?? []);
    if (signs.every((sign) => place !== undefined && sign.place === place)) return false;
  }
  return true;
}

interface Change {
  readonly item: Item;
  readonly write: Write;
}

/** What is not any more as it was read belongs to someone else by now, and is left. @throws Refusal 'unavailable' */
async function change(store: Store, changes: readonly Change[]): Promise<void> {
  const commit = (some: readonly Change[]) =>
    persist(store, 'give back what this host holds', (signal) =>
      store.commit(
        some.map(({ item: { key, revision } }) => ({ key, revision })),
        some.map(({ write }) => write),
        { signal },
      ),
    );
  for (let i = 0; i < changes.length; i += atOnce) {
    const some = changes.slice(i, i + atOnce);
    if ((await commit(some)).done) continue;
    for (const one of some) await commit([one]);
  }
}
