import { Refusal } from '../../lib/errors.ts';
import { Feed } from '../../lib/feed.ts';
import type { Log } from '../../lib/log.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Host } from '../../model/host.ts';
import type { Registry } from '../../state/registry.ts';
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

/** Publishes this host and follows the others; resolves when the first snapshot is there. */
export async function openHosts(needs: HostsNeeds, { self, cluster }: HostsInit): Promise<Hosts> {
  const { registry, log, now } = needs;
  const known = new Map<string, HostState>();
  const changes = new Feed(0);
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();

  const family = self.data.includes(':') ? 6 : 4;
  if (family !== cluster.underlay) {
    throw new Refusal(
      'invalid',
      `host ${self.name} cannot join: its data address ${self.data} is IPv${family}, the cluster's hosts talk IPv${cluster.underlay}; give one with --data-address`,
    );
  }
  await registry.publish({ kind: 'host', host: self });

  const following = (async () => {
    for await (const event of registry.watch({ kind: 'hosts' }, { signal: stop.signal })) {
      switch (event.kind) {
        case 'snapshot': {
          const before = new Map(known);
          known.clear();
          for (const { record, lost } of event.entries) {
            if (record.kind === 'host') note(record.host, { lost, before: before.get(record.host.id) });
          }
          break;
        }
        case 'put':
          if (event.entry.record.kind === 'host') {
            const { host } = event.entry.record;
            note(host, { lost: event.entry.lost, before: known.get(host.id) });
          }
          break;
        case 'delete':
          known.delete(event.id);
          break;
      }
      changes.set(changes.value + 1);
      if (known.has(self.id)) ready.resolve();
    }
  })();
  following.catch(ready.reject);
  await ready.promise;

  function note(host: Host, { lost, before }: { lost: boolean; before: HostState | undefined }): void {
    const state = lost && host.id !== self.id ? 'lost' : 'alive';
    if (before !== undefined && before.state !== state) {
      log.info(state === 'lost' ? 'host lost' : 'host is back', { host: host.id, name: host.name });
    }
    const lastSeen = state === 'alive' || before?.state === 'alive' ? new Date(now()).toISOString() : before?.lastSeen;
    known.set(host.id, { host, state, ...(lastSeen === undefined ? {} : { lastSeen }) });
  }

  function current(entry: HostState): HostState {
    return entry.state === 'alive' ? { ...entry, lastSeen: new Date(now()).toISOString() } : entry;
  }

  function list(): readonly HostState[] {
    return [...known.values()].map(current).sort((a, b) => (a.host.name < b.host.name ? -1 : 1));
  }

  return {
    self,
    cluster,
    list,
    get: (id) => {
      const entry = known.get(id);
      return entry && current(entry);
    },
    async *watch(options) {
      for await (const _ of changes.watch(options)) yield list();
    },
    close: async () => {
      stop.abort();
      await following.catch(() => undefined);
    },
  };
}
