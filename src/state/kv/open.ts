import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Scope } from '../../lib/scope.ts';
import type { Cluster } from '../../model/cluster.ts';
import { type Keys, keysBelow } from '../../model/keys.ts';
import type { StoreOption } from '../../model/setting-values.ts';
import type { Allocator } from '../allocator.ts';
import type { Catalog } from '../catalog.ts';
import type { Claims } from '../claims.ts';
import type { Registry } from '../registry.ts';
import { openAlive } from './alive.ts';
import { openAllocator } from './allocator.ts';
import { openCatalog } from './catalog.ts';
import { openClaims } from './claims.ts';
import { joinCluster } from './cluster.ts';
import { readCredentials } from './etcd/credentials.ts';
import { openEtcd } from './etcd/etcd.ts';
import { gated } from './gate.ts';
import { openLocal } from './local/local.ts';
import { persist } from './persist.ts';
import { openPresence, type Presence } from './presence.ts';
import { openRegistry } from './registry.ts';
import { Skipped, type SkippedRecord } from './skipped.ts';
import type { Store, StoreStatus } from './store.ts';
import { formatStoreUrl, type StoreUrl } from './url.ts';

/** The shared state, in one store. */
export interface State {
  readonly cluster: Cluster;
  readonly keys: Keys;
  readonly registry: Registry;
  readonly catalog: Catalog;
  readonly allocator: Allocator;
  readonly claims: Claims;
  readonly presence: Presence;
  status(): StoreStatus;
  /** Records that cannot be read, the newest hundred. */
  skipped(): readonly SkippedRecord[];
  /** The host counts as lost when its session ends. May be called twice. */
  close(): Promise<void>;
}

export interface OpenState extends Omit<OpenStateIn, 'keys'> {
  readonly url: StoreUrl;
  readonly options?: readonly StoreOption[];
  /** Of a `local:` store without one. */
  readonly defaultPath: string;
}

interface OpenStateIn {
  readonly keys: Keys;
  readonly host: string;
  readonly epoch: number;
  /** The cluster that is made when the store has none. */
  readonly proposal: Cluster;
  /** The cluster that this host was in: with it, a store that is away does not keep the host from starting. */
  readonly known?: Cluster | undefined;
  readonly log: Log;
  /** Where at most one daemon can run at a time; see `presence.ts`. */
  readonly place?: string;
  /** Of the host's session, in milliseconds. */
  readonly ttl?: number;
}

/**
 * Without `known` the store must answer within 5 s. With it a store that is away is waited for for 2 s, then waited
 * out: what needs it fails with 'unavailable', watches begin when it is back, and nothing is read or written before it
 * proved to be the known cluster's.
 * @throws Refusal 'unavailable', 'conflict' (another cluster, an older generation, moved, unreadable, or this identity is
 *   alive elsewhere), 'unsupported' (feature level); StoreError for a local file that cannot be used
 */
export async function openState({
  url,
  options: storeOptions = [],
  defaultPath,
  ...options
}: OpenState): Promise<State> {
  const store = await openStore(url, storeOptions, defaultPath);
  return await openStateIn(store, { ...options, keys: keysBelow(url.root) });
}

/** In a store that is open; it is closed with the state, and when opening the state fails. */
export async function openStateIn(raw: Store, options: OpenStateIn): Promise<State> {
  const { keys, host, epoch, proposal, known, log, ttl, place } = options;
  const scope = new Scope();
  scope.defer(() => raw.close());
  try {
    const join = (signal: AbortSignal) => joinCluster(raw, keys, { proposal, known, signal });
    const patience = known && 2_000;
    const found = await persist(raw, 'read the cluster', join, patience).catch((error: unknown) => {
      if (known && error instanceof Refusal && error.kind === 'unavailable') return undefined;
      throw error;
    });
    const cluster = found ?? known ?? proposal;
    const store = gated(raw, keys, { cluster, position: 0 });
    const skipped = new Skipped();
    const shared = { store, keys, skipped };
    const wait = found ? {} : { wait: 0 };
    const presence = await openPresence({
      ...{ ...shared, ...wait, log, host, epoch },
      ...(ttl !== undefined && { ttl }),
      ...(place !== undefined && { place }),
    });
    scope.defer(() => presence.close());
    const alive = openAlive({ store, keys, judges: presence.judges });
    scope.defer(() => alive.close());
    const allocator = openAllocator(shared);
    scope.defer(() => allocator.close());
    return {
      cluster,
      keys,
      registry: openRegistry({ ...shared, alive, underlay: cluster.underlay }),
      catalog: openCatalog(shared),
      allocator,
      claims: openClaims({ ...shared, alive }),
      presence,
      status: () => store.status(),
      skipped: () => skipped.list(),
      close: () => scope.close(),
    };
  } catch (error) {
    await scope.close();
    throw error;
  }
}

/** Every kind of store that there is. @throws Refusal for options; StoreError for a local file that cannot be used */
export function openStore(url: StoreUrl, options: readonly StoreOption[], defaultPath: string): Promise<Store> | Store {
  switch (url.kind) {
    case 'etcd':
      return openEtcd({ members: url.members, url: formatStoreUrl(url), credentials: readCredentials(url, options) });
    case 'local':
      if (options.length > 0) throw new Refusal('invalid', '--cluster-store-opt says nothing to a local store');
      return openLocal(url.path ?? defaultPath);
  }
}
