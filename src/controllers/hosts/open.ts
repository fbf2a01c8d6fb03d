import { isDeepStrictEqual } from 'node:util';
import { delay, pause } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import { Feed } from '../../lib/feed.ts';
import type { Log } from '../../lib/log.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Host } from '../../model/host.ts';
import type { Entry, Registry } from '../../state/registry.ts';
import type { HostState, Hosts } from './hosts.ts';

export interface HostsNeeds {
  readonly registry: Pick<Registry, 'publish' | 'watch'>;
  readonly log: Log;
  readonly now: () => number;
}

export interface HostsInit {
  readonly self: Host;
  readonly cluster: Cluster;
}

/** How long opening waits until this host is published, in milliseconds. */
const patience = 2_000;

/**
 * Publishes this host and follows the others. Resolves when the first snapshot is there and this host is published, or
 * could not be because the store is away: then it goes on trying. Its record is put back whenever it is not there any more.
 * @throws Refusal 'invalid', 'conflict'
 */
export async function openHosts(needs: HostsNeeds, { cluster, ...init }: HostsInit): Promise<Hosts> {
  const { registry, log, now } = needs;
  const known = new Map<string, HostState>();
  const changes = new Feed(0);
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  let self = init.self;
  /** Whether the store has this host's record as it should be, as far as the watch has told. */
  let isThere = false;

  const family = self.data.includes(':') ? 6 : 4;
  if (family !== cluster.underlay) {
    throw new Refusal(
      'invalid',
      `host ${self.name} cannot join: its data address ${self.data} is IPv${family}, the cluster's hosts talk IPv${cluster.underlay}; give one with --data-address`,
    );
  }
  /** As it is read again. */
  const asRead = (host: Host): unknown => JSON.parse(JSON.stringify(host));
  let wanted = asRead(self);
  known.set(self.id, { host: self, state: 'alive' });
  const publish = () => registry.publish({ kind: 'host', host: self });
  const published = publish();
  const following = follow();
  following.catch(ready.reject);
  const keeping = keepPublished();

  async function follow(): Promise<void> {
    for await (const event of registry.watch({ kind: 'hosts' }, { signal: stop.signal })) {
      switch (event.kind) {
        case 'snapshot': {
          const there = new Set(event.entries.map(idOf));
          for (const id of known.keys()) if (!there.has(id)) forget(id);
          for (const entry of event.entries) note(entry, known.get(idOf(entry)));
          break;
        }
        case 'put':
          note(event.entry, known.get(idOf(event.entry)));
          break;
        case 'delete':
          forget(event.id);
          break;
      }
      changes.set(changes.value + 1);
      ready.resolve();
    }
  }

  function note({ record, lost }: Entry, before: HostState | undefined): void {
    if (record.kind !== 'host') return;
    if (record.host.id === self.id) {
      // A later life of this host may have published already; it is not disturbed.
      isThere = record.host.epoch > self.epoch || isDeepStrictEqual(record.host, wanted);
      return;
    }
    const { host } = record;
    const state = lost ? 'lost' : 'alive';
    if (before !== undefined && before.state !== state) {
      log.info(state === 'lost' ? 'host lost' : 'host is back', { host: host.id, name: host.name });
    }
    const lastSeen = state === 'alive' || before?.state === 'alive' ? new Date(now()).toISOString() : before?.lastSeen;
    known.set(host.id, { host, state, ...(lastSeen === undefined ? {} : { lastSeen }) });
  }

  /** This host is never forgotten, whatever happens to its record. */
  function forget(id: string): void {
    if (id === self.id) isThere = false;
    else known.delete(id);
  }

  async function keepPublished(): Promise<void> {
    await published.catch(() => undefined);
    const { signal } = stop;
    for await (const _ of changes.watch({ signal })) {
      for (let attempt = 0; !isThere && !signal.aborted; attempt += 1) {
        // Time for the watch to tell of what was published last.
        await pause(delay(attempt, { first: 500, most: 10_000 }), signal);
        if (isThere || signal.aborted) break;
        try {
          await publish();
          log.warn('the record of this host was not in the store and was put back', { host: self.id, attempt });
        } catch (error) {
          log.debug('this host could not be published', { host: self.id, attempt, error });
        }
      }
    }
  }

  function current(entry: HostState): HostState {
    return entry.state === 'alive' ? { ...entry, lastSeen: new Date(now()).toISOString() } : entry;
  }

  function list(): readonly HostState[] {
    return [...known.values()].map(current).sort((a, b) => (a.host.name < b.host.name ? -1 : 1));
  }

  /** Should the store be away, the loop that keeps the record there goes on. */
  function amend(what: Partial<Pick<Host, 'mtu' | 'probed'>>): void {
    const amended = { ...self, ...what };
    if (isDeepStrictEqual(amended, self)) return;
    self = amended;
    wanted = asRead(self);
    isThere = false;
    known.set(self.id, { host: self, state: 'alive' });
    publish().catch((error: unknown) => log.debug('this host could not be published', { host: self.id, error }));
    changes.set(changes.value + 1);
  }

  async function close(): Promise<void> {
    stop.abort();
    await Promise.allSettled([following, keeping]);
  }

  const waited = new AbortController();
  try {
    await ready.promise;
    await Promise.race([published, pause(patience, waited.signal)]);
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== 'unavailable') {
      await close();
      throw error;
    }
    log.warn('this host is published when the store answers', { host: self.id, error });
  } finally {
    waited.abort();
  }
  return {
    get self() {
      return self;
    },
    cluster,
    list,
    get: (id) => {
      const entry = known.get(id);
      return entry && current(entry);
    },
    async *watch(options) {
      for await (const _ of changes.watch(options)) yield list();
    },
    amend,
    close,
  };
}

function idOf({ record }: Entry): string {
  return record.kind === 'host' ? record.host.id : '';
}
