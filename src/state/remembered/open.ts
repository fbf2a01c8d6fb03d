import * as v from 'valibot';
import { pause } from '../../lib/backoff.ts';
import type { Log } from '../../lib/log.ts';
import { Endpoint } from '../../model/endpoint.ts';
import { Host } from '../../model/host.ts';
import { NameRecord } from '../../model/name-record.ts';
import { type Network, parseNetwork } from '../../model/network.ts';
import { parseRecord } from '../../model/record.ts';
import type { Catalog, CatalogEvent } from '../catalog.ts';
import type { Journal, JournalChange, JournalEntry, JournalKind } from '../journal.ts';
import type { Entry, Registry, RegistryEvent, Scope } from '../registry.ts';
import { Page, type Told } from './page.ts';
import { Writer } from './writer.ts';

/**
 * Watches that begin with what an earlier life saw when the store is away: the last snapshots and what changed since are
 * kept in the journal. When the store is back its own snapshot follows, as after any lost history.
 */
export interface Remembered {
  /** The same catalog; what this host itself changed is on disk when the change resolves. */
  catalog(catalog: Catalog): Catalog;
  registry(registry: Registry): Registry;
  /** What was seen is on disk. May be called twice. */
  close(): Promise<void>;
}

export interface OpenRemembered {
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  /** Whether the store is known to be away: then nobody waits for it. */
  readonly away: () => boolean;
  readonly log: Log;
  /** How long the store is given to answer a watch before the memory does, in milliseconds. */
  readonly wait?: number;
}

/** Before ids of hosts, networks and names: this host's own entries are of the same kinds. */
const seen = 'seen/';
const HostSeen = v.looseObject({ lost: v.boolean(), host: Host });
const EndpointSeen = v.looseObject({ lost: v.boolean(), endpoint: Endpoint });
const NameSeen = v.looseObject({ lost: v.boolean(), record: NameRecord });
type HostSeen = v.InferOutput<typeof HostSeen>;
type EndpointSeen = v.InferOutput<typeof EndpointSeen>;
type NameSeen = v.InferOutput<typeof NameSeen>;

/** @throws ParseError */
export function parseHostSeen(json: unknown, place: string): HostSeen {
  return parseRecord(HostSeen, json, place);
}

/** @throws ParseError */
export function parseEndpointSeen(json: unknown, place: string): EndpointSeen {
  return parseRecord(EndpointSeen, json, place);
}

/** @throws ParseError */
export function parseNameSeen(json: unknown, place: string): NameSeen {
  return parseRecord(NameSeen, json, place);
}

/** @throws JournalError */
export async function openRemembered({ journal, away, log, wait = 1_000 }: OpenRemembered): Promise<Remembered> {
  const writer = new Writer(journal, log);
  const own = (kind: JournalKind) => ({
    kind,
    write: (changes: readonly JournalChange[]) => writer.write(changes),
    passOver: (id: string, error: Error) =>
      log.warn('a record of the state directory is passed over', { kind, id, error }),
  });
  const hosts = new Page<HostSeen>({
    ...{ ...own('host'), place: seen, entries: await journal.load('host') },
    ...{ idOf: ({ host }) => host.id, parse: parseHostSeen },
  });
  const names = new Page<NameSeen>({
    ...{ ...own('name'), place: seen, entries: await journal.load('name') },
    ...{ idOf: ({ record }) => record.id, parse: parseNameSeen },
  });
  const networks = new Page<Network>({
    ...{ ...own('network'), place: seen, entries: await journal.load('network') },
    ...{ idOf: ({ id }) => id, parse: parseNetwork },
  });
  const openPage = (network: string, entries: readonly JournalEntry[]) => ({
    page: new Page<EndpointSeen>({
      ...{ ...own('endpoint'), place: `${network}/`, entries },
      ...{ idOf: ({ endpoint }) => endpoint.id, parse: parseEndpointSeen },
    }),
    /** How many follow it. */
    watches: 0,
  });
  const places = Map.groupBy(await journal.load('endpoint'), ({ id }) => id.slice(0, id.indexOf('/')));
  const endpoints = new Map([...places].map(([network, entries]) => [network, openPage(network, entries)]));
  const endpointsOf = (network: string) => {
    const page = endpoints.get(network) ?? openPage(network, []);
    endpoints.set(network, page);
    return page;
  };

  /** What was on a network that is gone is not needed again. */
  const noteNetworks = (told: Told<Network>) => {
    networks.note(told);
    if (told.kind === 'put') return;
    const isGone =
      told.kind === 'delete'
        ? (network: string) => network === told.id
        : (network: string) => !told.records.some(({ id }) => id === network);
    for (const [network, { page, watches }] of endpoints) {
      if (watches > 0 || !isGone(network)) continue;
      page.forget();
      endpoints.delete(network);
    }
  };

  async function* remembering<E>(open: (signal: AbortSignal) => AsyncIterable<E>, how: How<E>): AsyncGenerator<E> {
    const over = new AbortController();
    const events = open(AbortSignal.any([how.signal, over.signal]))[Symbol.asyncIterator]();
    try {
      let next = events.next();
      const remembered = how.read();
      if (remembered !== undefined && (await isLate(next, away() ? 0 : wait)) && !how.signal.aborted) yield remembered;
      for (let result = await next; result.done !== true; result = await next) {
        how.note(result.value);
        yield result.value;
        next = events.next();
      }
    } finally {
      over.abort();
      await events.return?.();
    }
  }

  async function* watchEndpoints(
    registry: Registry,
    scope: Scope & { kind: 'endpoints' },
    signal: AbortSignal,
  ): AsyncGenerator<RegistryEvent> {
    const place = endpointsOf(scope.network);
    place.watches += 1;
    try {
      yield* remembering((inner) => registry.watch(scope, { signal: inner }), {
        signal,
        read: () =>
          snapshotOf(place.page.read(), ({ lost, endpoint }) => ({ lost, record: { kind: 'endpoint', endpoint } })),
        note: (event) =>
          place.page.note(
            toldOf(event, ({ lost, record }) =>
              record.kind === 'endpoint' ? [{ lost, endpoint: record.endpoint }] : [],
            ),
          ),
      });
    } finally {
      place.watches -= 1;
    }
  }

  return {
    catalog: (catalog) => ({
      async add(network) {
        await catalog.add(network);
        noteNetworks({ kind: 'put', records: [network] });
        await writer.flush();
      },
      async update(id, update) {
        const after = await catalog.update(id, update);
        noteNetworks(after === undefined ? { kind: 'delete', id } : { kind: 'put', records: [after] });
        await writer.flush();
        return after;
      },
      get: (id) => catalog.get(id),
      list: () => catalog.list(),
      watch: ({ signal }) =>
        remembering((inner) => catalog.watch({ signal: inner }), {
          signal,
          read: () => {
            const records = networks.read();
            return records && { kind: 'snapshot', networks: records };
          },
          note: (event) => noteNetworks(toldOfNetworks(event)),
        }),
    }),
    registry: (registry) => ({
      publish: (record) => registry.publish(record),
      withdraw: (scope, id) => registry.withdraw(scope, id),
      list: (scope) => registry.list(scope),
      watch: (scope, { signal }) => {
        if (scope.kind === 'endpoints') return watchEndpoints(registry, scope, signal);
        if (scope.kind === 'records') {
          return remembering((inner) => registry.watch(scope, { signal: inner }), {
            signal,
            read: () => snapshotOf(names.read(), ({ lost, record }) => ({ lost, record: { kind: 'name', record } })),
            note: (event) =>
              names.note(
                toldOf(event, ({ lost, record }) => (record.kind === 'name' ? [{ lost, record: record.record }] : [])),
              ),
          });
        }
        return remembering((inner) => registry.watch(scope, { signal: inner }), {
          signal,
          read: () => snapshotOf(hosts.read(), ({ lost, host }) => ({ lost, record: { kind: 'host', host } })),
          note: (event) =>
            hosts.note(
              toldOf(event, ({ lost, record }) => (record.kind === 'host' ? [{ lost, host: record.host }] : [])),
            ),
        });
      },
    }),
    close: () => writer.flush(),
  };
}

interface How<E> {
  readonly signal: AbortSignal;
  /** The snapshot that is remembered, if there is one. */
  readonly read: () => E | undefined;
  readonly note: (event: E) => void;
}

async function isLate(answer: Promise<unknown>, wait: number): Promise<boolean> {
  const over = new AbortController();
  try {
    return await Promise.race([answer.then(() => false), pause(wait, over.signal).then(() => true)]);
  } finally {
    over.abort();
  }
}

function snapshotOf<R>(records: readonly R[] | undefined, entryOf: (record: R) => Entry): RegistryEvent | undefined {
  return records && { kind: 'snapshot', entries: records.map(entryOf) };
}

/** `recordsOf` gives one or, for what is not of the scope, none. */
function toldOf<R>(event: RegistryEvent, recordsOf: (entry: Entry) => readonly R[]): Told<R> {
  switch (event.kind) {
    case 'snapshot':
      return { kind: 'snapshot', records: event.entries.flatMap(recordsOf) };
    case 'put':
      return { kind: 'put', records: recordsOf(event.entry) };
    case 'delete':
      return event;
  }
}

function toldOfNetworks(event: CatalogEvent): Told<Network> {
  switch (event.kind) {
    case 'snapshot':
      return { kind: 'snapshot', records: event.networks };
    case 'put':
      return { kind: 'put', records: [event.network] };
    case 'delete':
      return event;
  }
}
