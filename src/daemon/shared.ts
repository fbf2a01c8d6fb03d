import { randomBytes } from 'node:crypto';
import { chooseUnderlay } from '../controllers/hosts/advertise.ts';
import type { Identity } from '../controllers/hosts/identity.ts';
import type { HostView } from '../dataplane/dataplane.ts';
import { Refusal } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Scope } from '../lib/scope.ts';
import { type Cluster, defaultDataPort, featureLevel, parseCluster } from '../model/cluster.ts';
import type { Settings } from '../model/settings.ts';
import type { Allocator } from '../state/allocator.ts';
import type { Catalog } from '../state/catalog.ts';
import type { Claims } from '../state/claims.ts';
import type { Journal } from '../state/journal.ts';
import { openState } from '../state/kv/open.ts';
import type { SkippedRecord } from '../state/kv/skipped.ts';
import type { StoreStatus } from '../state/kv/store.ts';
import { formatStoreUrl, type StoreUrl } from '../state/kv/url.ts';
import type { Registry } from '../state/registry.ts';
import { openRemembered } from '../state/remembered/open.ts';
import { pathsOf } from './paths.ts';
import { placeOf } from './place.ts';

/** What the hosts of the cluster share, wherever it lives. */
export interface Shared {
  readonly cluster: Cluster;
  readonly registry: Registry;
  readonly catalog: Catalog;
  readonly allocator: Allocator;
  readonly claims: Claims;
  status(): StoreStatus;
  /** Records that cannot be read. */
  skipped(): readonly SkippedRecord[];
  /** Servers of the state, of which this host must not take the ways away. */
  readonly servers: readonly string[];
  /** May be called twice. */
  close(): Promise<void>;
}

/** In a store, which says who belongs to the cluster. */
export interface Stored extends Shared {
  readonly membership: undefined;
}

export interface SharedInit {
  readonly settings: Settings;
  readonly journal: Journal;
  readonly identity: Identity;
  /** What the kernel says of this host. */
  readonly view: HostView;
  /** Ends the daemon. */
  readonly stop: (reason: Error) => void;
  readonly log: Log;
}

/** Shared state in a store, with what it said last for when it is away. @throws Refusal */
export async function openStored(
  url: StoreUrl,
  { settings, journal, identity, view, stop, log }: SharedInit,
): Promise<Stored> {
  if (settings.token !== undefined || settings.peer.length > 0) {
    const store = formatStoreUrl(url);
    throw new Refusal(
      'invalid',
      `leave out the token and the other hosts: they are for a cluster without a store, and this host's lives in ${store}`,
    );
  }
  const scope = new Scope();
  const files = pathsOf(settings);
  const known = await knownCluster(journal);
  const state = await openState({
    ...{ url, options: settings.clusterStoreOpt, defaultPath: files.store },
    ...{ host: identity.id, epoch: identity.epoch, known, log },
    proposal: propose(settings, view, known),
    place: await placeOf(view.bootId, files.journal),
  });
  scope.defer(() => state.close());
  try {
    const { cluster, allocator, claims, presence } = state;
    presence.ousted.addEventListener('abort', () => stop(presence.ousted.reason), { once: true });
    const away = () => state.status().failingSince !== undefined;
    const remembered = await openRemembered({ journal, away, log });
    scope.defer(() => remembered.close());
    await journal.commit([{ kind: 'cluster', id: 'cluster', put: cluster }]);
    return {
      ...{ cluster, allocator, claims, membership: undefined },
      registry: remembered.registry(state.registry),
      catalog: remembered.catalog(state.catalog),
      status: () => state.status(),
      skipped: () => state.skipped(),
      servers: url.kind === 'etcd' ? url.members : [],
      close: () => scope.close(),
    };
  } catch (error) {
    await scope.close();
    throw error;
  }
}

async function knownCluster(journal: Pick<Journal, 'load'>): Promise<Cluster | undefined> {
  const entries = new Map((await journal.load('cluster')).map(({ id, value }) => [id, value]));
  if (entries.has('genesis')) {
    throw new Refusal(
      'conflict',
      'this host belongs to a cluster without a store: leave --cluster-store out, or take it off that cluster with skein reset',
    );
  }
  const former = entries.get('cluster');
  return former === undefined ? undefined : parseCluster(former, 'cluster in the state directory');
}

/** The cluster that this host makes when its store has none. */
function propose(settings: Settings, view: HostView, known: Cluster | undefined): Cluster {
  const wishes = { advertise: settings.clusterAdvertise, data: settings.dataAddress, family: known?.underlay };
  return {
    id: randomBytes(32).toString('hex'),
    generation: 1,
    featureLevel,
    created: new Date().toISOString(),
    dataPort: settings.dataPort ?? defaultDataPort,
    underlay: chooseUnderlay(view, wishes).family,
  };
}
