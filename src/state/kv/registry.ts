import { ParseError } from '../../lib/errors.ts';
import { type Family, parseAddress } from '../../lib/prefix.ts';
import { parseEndpoint } from '../../model/endpoint.ts';
import { parseHost } from '../../model/host.ts';
import type { Keys } from '../../model/keys.ts';
import { parseNameRecord } from '../../model/name-record.ts';
import type { Entry, Owned, Registry, RegistryEvent, Scope } from '../registry.ts';
import type { Alive } from './alive.ts';
import { Outbox } from './outbox.ts';
import { persist } from './persist.ts';
import { formatRecord, lastOfKey, readItem } from './records.ts';
import type { Skipped } from './skipped.ts';
import type { Item, Store } from './store.ts';

export interface OpenRegistry {
  readonly store: Store;
  readonly keys: Keys;
  readonly alive: Alive;
  readonly skipped: Skipped;
  /** The address family underneath: a host of the other one cannot be reached. */
  readonly underlay: Family;
}

/** Records at `hosts/<id>`, `records/<id>` and `endpoints/<network>/<id>`. */
export function openRegistry({ store, keys, alive, skipped, underlay }: OpenRegistry): Registry {
  const prefixOf = (scope: Scope): string => {
    switch (scope.kind) {
      case 'hosts':
        return keys.hosts;
      case 'records':
        return keys.records;
      case 'endpoints':
        return keys.endpoints(scope.network);
    }
  };
  const entryOf = (scope: Scope, item: Item): Entry | undefined => {
    const record = readItem(item, (json, key) => parseOwned(scope, json, { key, underlay }), skipped);
    return record && { record, lost: alive.isLost(hostOf(record)) };
  };
  return {
    async publish(record) {
      const { key, what, value } = placeOf(record, keys);
      const put = { kind: 'put', key, value: formatRecord(value, what) } as const;
      await persist(store, `publish ${what}`, (signal) => store.commit([], [put], { signal }));
    },
    async withdraw(scope, id) {
      const remove = { kind: 'delete', key: prefixOf(scope) + id } as const;
      await persist(store, `withdraw ${scope.kind} ${id}`, (signal) => store.commit([], [remove], { signal }));
    },
    async list(scope) {
      const listing = persist(store, `list ${scope.kind}`, (signal) => store.list(prefixOf(scope), { signal }));
      return (await listing).items.flatMap((item) => entryOf(scope, item) ?? []);
    },
    watch: (scope, { signal }) => watchScope(scope, signal),
  };

  /** The records' watch and the hosts' signs of life, made one. */
  async function* watchScope(scope: Scope, signal: AbortSignal): AsyncGenerator<RegistryEvent> {
    const prefix = prefixOf(scope);
    const entries = new Map<string, Entry>();
    const events = new Outbox<RegistryEvent>();
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);

    const put = (id: string, entry: Entry) => {
      entries.set(id, entry);
      events.push({ kind: 'put', entry });
    };
    const remove = (id: string) => {
      if (entries.delete(id)) events.push({ kind: 'delete', id });
    };
    const snapshot = (): RegistryEvent => ({ kind: 'snapshot', entries: [...entries.values()] });
    const begin = (items: readonly Item[]) => {
      skipped.clearBelow(prefix);
      entries.clear();
      for (const item of items) {
        const entry = entryOf(scope, item);
        if (entry) entries.set(lastOfKey(item.key), entry);
      }
      events.push(snapshot());
    };
    const follow = async () => {
      for await (const event of store.watch(prefix, { signal: either })) {
        if (event.kind === 'snapshot') begin(event.items);
        else if (event.kind === 'delete') {
          skipped.clear(event.key);
          remove(lastOfKey(event.key));
        } else {
          const entry = entryOf(scope, event.item);
          if (entry) put(lastOfKey(event.item.key), entry);
          else remove(lastOfKey(event.item.key));
        }
      }
    };
    const forget = alive.onChange((host, lost) => {
      for (const [id, { record }] of entries) if (hostOf(record) === host) put(id, { record, lost });
    });
    const following = follow().finally(() => over.abort());
    try {
      for (let batch = await events.take(either); batch !== 'end'; batch = await events.take(either)) {
        if (batch === 'overrun') yield snapshot();
        else {
          for (const event of batch) {
            if (signal.aborted) return;
            yield event;
          }
        }
      }
    } finally {
      forget();
      over.abort();
      await following;
    }
  }
}

/** A record must stand where its own fields say. @throws ParseError */
function parseOwned(scope: Scope, json: unknown, { key, underlay }: { key: string; underlay: Family }): Owned {
  const id = lastOfKey(key);
  if (scope.kind === 'hosts') {
    const host = parseHost(json, key);
    if (host.id !== id) throw new ParseError(`${key}: holds the host ${host.id}`);
    if (parseAddress(host.data).family !== underlay) {
      throw new ParseError(`${key}: data is ${host.data}, and the hosts of this cluster talk IPv${underlay}`);
    }
    return { kind: 'host', host };
  }
  if (scope.kind === 'records') {
    const record = parseNameRecord(json, key);
    if (record.id !== id) throw new ParseError(`${key}: holds the record ${record.id}`);
    return { kind: 'name', record };
  }
  const endpoint = parseEndpoint(json, key);
  if (endpoint.id !== id || endpoint.network !== scope.network) {
    throw new ParseError(`${key}: holds the endpoint ${endpoint.id} of the network ${endpoint.network}`);
  }
  return { kind: 'endpoint', endpoint };
}

function placeOf(owned: Owned, keys: Keys): { readonly key: string; readonly what: string; readonly value: object } {
  switch (owned.kind) {
    case 'host':
      return { key: keys.host(owned.host.id), what: `host ${owned.host.name}`, value: owned.host };
    case 'name':
      return { key: keys.record(owned.record.id), what: `record ${owned.record.name}`, value: owned.record };
    case 'endpoint': {
      const { endpoint } = owned;
      return { key: keys.endpoint(endpoint.network, endpoint.id), what: `endpoint ${endpoint.name}`, value: endpoint };
    }
  }
}

function hostOf(owned: Owned): string {
  switch (owned.kind) {
    case 'host':
      return owned.host.id;
    case 'name':
      return owned.record.host;
    case 'endpoint':
      return owned.endpoint.host;
  }
}
