import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import { type Cluster, featureLevel, parseCluster } from '../../model/cluster.ts';
import type { Keys } from '../../model/keys.ts';
import { parseJson } from '../../model/record.ts';
import type { Store } from './store.ts';

/**
 * The cluster that a store belongs to: read, or made by whoever is first. `known` is the one that this host was in: a
 * store of another, or of an older generation (restored from a backup), is refused.
 * @throws Refusal 'conflict' | 'unsupported' saying what to do, StoreError
 */
export async function joinCluster(
  store: Store,
  keys: Keys,
  { proposal, known, signal }: { proposal: Cluster; known?: Cluster | undefined; signal?: AbortSignal | undefined },
): Promise<Cluster> {
  const waiting = { ...(signal && { signal }) };
  for (;;) {
    const [item] = (await store.list(keys.cluster, waiting)).items;
    if (item) return admissible(read(item.key, item.value), store.status().url, known);
    if (known) throw isEmpty(store, known);
    const put = { kind: 'put', key: keys.cluster, value: JSON.stringify(proposal) } as const;
    await store.commit([{ key: keys.cluster, revision: undefined }], [put], waiting);
  }
}

/** What was seen of a store. */
export interface Seen {
  readonly cluster: Cluster;
  /** The largest; see `Listing`. */
  readonly position: number;
}

/**
 * Makes sure that what answers now is the store that was seen before: the same cluster, not put back to an older state. Who
 * restores a backup and means it says so with a larger generation.
 * @returns what is seen now
 * @throws Refusal 'conflict' | 'unsupported', StoreError
 */
export async function confirmCluster(
  store: Store,
  keys: Keys,
  { seen, signal }: { seen: Seen; signal?: AbortSignal | undefined },
): Promise<Seen> {
  const { items, position } = await store.list(keys.cluster, { ...(signal && { signal }) });
  const [item] = items;
  if (!item) throw isEmpty(store, seen.cluster);
  const { url } = store.status();
  const cluster = admissible(read(item.key, item.value), url, seen.cluster);
  if (cluster.generation > seen.cluster.generation) return { cluster, position };
  if (position >= seen.position) return { cluster, position };
  throw new Refusal(
    'conflict',
    `cluster ${cluster.id.slice(0, 12)} in ${url} was restored from an older backup: its history ends at ${position} and this host has seen ${seen.position}; to go on with it raise the generation in ${item.key} to ${cluster.generation + 1}`,
  );
}

function isEmpty(store: Store, known: Cluster): Refusal {
  const what = `the store ${store.status().url} is empty, and this host belongs to cluster ${known.id.slice(0, 12)}`;
  return new Refusal('conflict', `${what}: name the store that it was in, or reset the host to leave that cluster`);
}

function read(key: string, value: string): Cluster {
  try {
    return parseCluster(parseJson(value, key), key);
  } catch (cause) {
    if (!(cause instanceof ParseError)) throw cause;
    throw new Refusal('conflict', `the cluster's record cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** Pure. @throws Refusal */
export function admissible(cluster: Cluster, url: string, known: Cluster | undefined): Cluster {
  const name = `cluster ${cluster.id.slice(0, 12)} in ${url}`;
  if (cluster.movedTo !== undefined) {
    throw new Refusal('conflict', `${name} was moved: start with --cluster-store ${cluster.movedTo}`);
  }
  if (cluster.featureLevel > featureLevel) {
    throw new Refusal(
      'unsupported',
      `${name} is at feature level ${cluster.featureLevel} and this program knows ${featureLevel}: upgrade this host`,
    );
  }
  if (!known) return cluster;
  if (known.id !== cluster.id) {
    throw new Refusal(
      'conflict',
      `${name} is not cluster ${known.id.slice(0, 12)}, which this host belongs to: name the right store, or reset the host`,
    );
  }
  if (known.generation > cluster.generation) {
    throw new Refusal(
      'conflict',
      `${name} is of generation ${cluster.generation} and this host has seen ${known.generation}: the store was restored from an older backup`,
    );
  }
  return cluster;
}
