import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Refusal } from '../../lib/errors.ts';
import { type Log, silent } from '../../lib/log.ts';
import { keysBelow } from '../../model/keys.ts';
import type { Catalog } from '../catalog.ts';
import type { Journal } from '../journal.ts';
import { openJournal } from '../kv/local/journal.ts';
import { openLocal } from '../kv/local/local.ts';
import { openStateIn, type State } from '../kv/open.ts';
import {
  endpointRecord,
  hexId,
  hostIdOf,
  hostRecord,
  nameRecord,
  networkRecord,
  reading,
} from '../records.contract.ts';
import type { Registry, RegistryEvent, Scope } from '../registry.ts';
import { openRemembered, type Remembered } from './open.ts';

const network = networkRecord('demo');
const places: Scope = { kind: 'endpoints', network: network.id };

/** One host's journal, which outlives its lives, and a store that a life may have or not. */
async function openHost(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'skein-remembered-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const journal = await openJournal(join(folder, 'journal.db'));
  t.after(() => journal.close());
  const state = await openStateIn(await openLocal(join(folder, 'store.db')), {
    ...{ keys: keysBelow('/skein'), host: hostIdOf('one'), epoch: 1, log: silent },
    proposal: {
      ...{ id: hexId('cluster'), generation: 1, featureLevel: 1, created: '2026-01-01T00:00:00.000Z' },
      ...{ dataPort: 4789, underlay: 4 },
    },
  });
  t.after(() => state.close());
  return { journal, state };
}

async function live(
  journal: Journal,
  { catalog, registry }: Pick<State, 'catalog' | 'registry'>,
  away: boolean,
  log: Log = silent,
) {
  const remembered: Remembered = await openRemembered({ journal, away: () => away, log, wait: 200 });
  return { remembered, catalog: remembered.catalog(catalog), registry: remembered.registry(registry) };
}

/** Silent until the signal aborts. */
async function* never(signal: AbortSignal): AsyncGenerator<never> {
  const over = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => over.resolve(), { once: true });
  if (signal.aborted) over.resolve();
  await over.promise;
  yield* [];
}

/** What stands in for a store that never answers. */
const gone: Pick<State, 'catalog' | 'registry'> = (() => {
  const refuse = () => Promise.reject(new Refusal('unavailable', 'the store is away'));
  const catalog: Catalog = {
    ...{ add: refuse, update: refuse, get: refuse, list: refuse },
    watch: ({ signal }) => never(signal),
  };
  const registry: Registry = {
    ...{ publish: refuse, withdraw: refuse, list: refuse },
    watch: (_, { signal }) => never(signal),
  };
  return { catalog, registry };
})();

function endpointsOf(event: RegistryEvent): string[] {
  assert.equal(event.kind, 'snapshot');
  const entries = event.kind === 'snapshot' ? event.entries : [];
  return entries.flatMap(({ record }) => (record.kind === 'endpoint' ? [record.endpoint.name] : [])).sort();
}

test('what a life saw is what the next one begins with when the store is away', async (t) => {
  const { journal, state } = await openHost(t);
  const first = await live(journal, state, false);
  const [one, two] = [hostRecord('one'), hostRecord('two')];
  await state.registry.publish({ kind: 'host', host: one });
  const hosts = reading((signal) => first.registry.watch({ kind: 'hosts' }, { signal }));
  const networks = reading((signal) => first.catalog.watch({ signal }));
  const endpoints = reading((signal) => first.registry.watch(places, { signal }));
  for (const watch of [hosts, networks, endpoints]) assert.equal((await watch.next()).kind, 'snapshot');
  await state.catalog.add(network);
  await state.registry.publish({ kind: 'host', host: two });
  for (const name of ['a', 'b', 'c']) {
    await state.registry.publish({ kind: 'endpoint', endpoint: endpointRecord(one.id, network.id, name) });
    await endpoints.next();
  }
  await state.registry.withdraw(places, endpointRecord(one.id, network.id, 'b').id);
  await Promise.all([hosts.next(), networks.next(), endpoints.next()]);
  await Promise.all([hosts.stop(), networks.stop(), endpoints.stop()]);
  await first.remembered.close();

  const second = await live(journal, gone, true);
  const began = performance.now();
  const again = reading((signal) => second.registry.watch({ kind: 'hosts' }, { signal }));
  const event = await again.next();
  assert.ok(performance.now() - began < 150, 'a store that is known to be away is not waited for');
  assert.deepEqual(
    event.kind === 'snapshot' &&
      event.entries.map(({ record }) => record).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    [one, two]
      .map((host) => ({ kind: 'host', host }))
      .toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
  );
  await again.stop();
  const catalog = reading((signal) => second.catalog.watch({ signal }));
  assert.deepEqual(await catalog.next(), { kind: 'snapshot', networks: [network] });
  await catalog.stop();
  const rest = reading((signal) => second.registry.watch(places, { signal }));
  assert.deepEqual(endpointsOf(await rest.next()), ['a', 'c']);
  await rest.stop();
  await assert.rejects(second.catalog.list(), { kind: 'unavailable' });
});

test('names given by hand are remembered beside those that this host keeps itself', async (t) => {
  const { journal, state } = await openHost(t);
  const records: Scope = { kind: 'records' };
  const theirs = nameRecord(hostIdOf('two'), 'printer');
  const own = nameRecord(hostIdOf('one'), 'db');
  await journal.commit([{ kind: 'name', id: own.id, put: own }]);
  const first = await live(journal, state, false);
  await state.registry.publish({ kind: 'name', record: theirs });
  const seen = reading((signal) => first.registry.watch(records, { signal }));
  await seen.next();
  await seen.stop();
  await first.remembered.close();
  const second = await live(journal, gone, true);
  const watch = reading((signal) => second.registry.watch(records, { signal }));
  assert.deepEqual(await watch.next(), {
    kind: 'snapshot',
    entries: [{ lost: false, record: { kind: 'name', record: theirs } }],
  });
  await watch.stop();
  assert.deepEqual((await journal.load('name')).find(({ id }) => id === own.id)?.value, own);
});

test('a store that answers in time is believed alone; one that answers late is believed after the memory', async (t) => {
  const { journal, state } = await openHost(t);
  const first = await live(journal, state, false);
  await first.catalog.add(network);
  const seen = reading((signal) => first.catalog.watch({ signal }));
  await seen.next();
  await seen.stop();
  await first.remembered.close();
  await state.catalog.update(network.id, () => undefined);

  const prompt = await live(journal, state, false);
  const watch = reading((signal) => prompt.catalog.watch({ signal }));
  assert.deepEqual(await watch.next(), { kind: 'snapshot', networks: [] });
  await state.catalog.add(network);
  assert.deepEqual(await watch.next(), { kind: 'put', network });
  await watch.stop();
  await prompt.remembered.close();

  await state.catalog.update(network.id, () => undefined);
  const store = Promise.withResolvers<void>();
  const late: Catalog = {
    ...state.catalog,
    async *watch(options) {
      await store.promise;
      yield* state.catalog.watch(options);
    },
  };
  const third = await live(journal, { ...state, catalog: late }, false);
  const slow = reading((signal) => third.catalog.watch({ signal }));
  assert.deepEqual(await slow.next(), { kind: 'snapshot', networks: [network] });
  store.resolve();
  assert.deepEqual(await slow.next(), { kind: 'snapshot', networks: [] });
  await slow.stop();
});

test('nothing is made up: who never saw a snapshot waits for one', async (t) => {
  const { journal, state } = await openHost(t);
  const { catalog, remembered } = await live(journal, gone, true);
  const abort = new AbortController();
  const events = catalog.watch({ signal: abort.signal })[Symbol.asyncIterator]();
  const next = events.next();
  const late = new Promise((resolve) => setTimeout(resolve, 500, 'nothing'));
  assert.equal(await Promise.race([next, late]), 'nothing');
  abort.abort();
  assert.equal((await next).done, true);
  await remembered.close();

  // An empty snapshot is one.
  const first = await live(journal, state, false);
  const watch = reading((signal) => first.catalog.watch({ signal }));
  await watch.next();
  await watch.stop();
  await first.remembered.close();
  const second = await live(journal, gone, true);
  const empty = reading((signal) => second.catalog.watch({ signal }));
  assert.deepEqual(await empty.next(), { kind: 'snapshot', networks: [] });
  await empty.stop();
});

test('what this host made itself is remembered when the call returns, also unseen by any watch', async (t) => {
  const { journal, state } = await openHost(t);
  const first = await live(journal, state, false);
  const watch = reading((signal) => first.catalog.watch({ signal }));
  await watch.next();
  await watch.stop();
  await first.catalog.add(network);
  await first.catalog.update(network.id, (now) => ({ ...now, mtu: 1400 }));
  const second = await live(journal, gone, true);
  const again = reading((signal) => second.catalog.watch({ signal }));
  assert.deepEqual(await again.next(), { kind: 'snapshot', networks: [{ ...network, mtu: 1400 }] });
  await again.stop();
});

test('what was on a network that is gone is forgotten, this host and its own entries are not', async (t) => {
  const { journal, state } = await openHost(t);
  await journal.commit([{ kind: 'host', id: 'self', put: { its: 'own' } }]);
  const first = await live(journal, state, false);
  await first.catalog.add(network);
  await state.registry.publish({ kind: 'endpoint', endpoint: endpointRecord(hostIdOf('one'), network.id, 'a') });
  const endpoints = reading((signal) => first.registry.watch(places, { signal }));
  assert.deepEqual(endpointsOf(await endpoints.next()), ['a']);
  await endpoints.stop();
  const hosts = reading((signal) => first.registry.watch({ kind: 'hosts' }, { signal }));
  await hosts.next();
  await hosts.stop();
  await first.remembered.close();
  assert.equal((await journal.load('endpoint')).length, 2);
  await first.catalog.update(network.id, () => undefined);
  assert.deepEqual(await journal.load('endpoint'), []);
  assert.deepEqual(
    (await journal.load('host')).map(({ id }) => id),
    ['seen/', 'self'],
  );
});

test('a record in the journal that cannot be read is passed over and told; a journal that fails is told and tried again', async (t) => {
  const { journal, state } = await openHost(t);
  const warnings: string[] = [];
  const log: Log = { ...silent, warn: (message) => warnings.push(message) };
  await journal.commit([
    { kind: 'network', id: 'seen/', put: true },
    { kind: 'network', id: `seen/${hexId('x')}`, put: { id: 7 } },
  ]);
  const first = await live(journal, gone, true, log);
  const watch = reading((signal) => first.catalog.watch({ signal }));
  assert.deepEqual(await watch.next(), { kind: 'snapshot', networks: [] });
  await watch.stop();
  assert.deepEqual(warnings, ['a record of the state directory is passed over']);

  let full = true;
  const failing: Pick<Journal, 'load' | 'commit'> = {
    load: (kind) => journal.load(kind),
    commit: (changes) => (full ? Promise.reject(new Error('the disk is full')) : journal.commit(changes)),
  };
  const remembered = await openRemembered({ journal: failing, away: () => false, log });
  const catalog = remembered.catalog(state.catalog);
  await catalog.add(network);
  assert.deepEqual(warnings.slice(1), ['what was seen of the cluster could not be written down']);
  full = false;
  await catalog.add(networkRecord('second'));
  const ids = (await journal.load('network')).map(({ id }) => id);
  assert.ok(ids.includes(`seen/${network.id}`) && ids.includes(`seen/${hexId('second')}`));
});
