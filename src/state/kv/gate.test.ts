import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silent } from '../../lib/log.ts';
import type { Cluster } from '../../model/cluster.ts';
import { keysBelow } from '../../model/keys.ts';
import type { Pool } from '../allocator.ts';
import type { CatalogEvent } from '../catalog.ts';
import { hexId, hostIdOf, hostRecord, networkRecord } from '../records.contract.ts';
import { openEtcd } from './etcd/etcd.ts';
import { startTestEtcd, type TestEtcd } from './harness.contract.ts';
import { openState, type State } from './open.ts';
import { parseStoreUrl } from './url.ts';

/** Under a running daemon the store is stopped, something else is put in its place, and started. */

const cluster = (name: string): Cluster => ({
  ...{ id: hexId(name), generation: 1, featureLevel: 1, created: '2026-01-01T00:00:00.000Z' },
  ...{ dataPort: 4789, underlay: 4 },
});
const vnis: Pool = { kind: 'vnis', first: 256, last: 300 };
const owner = (name: string) => ({ host: hostIdOf('one'), id: hexId(name), name });
const one = hostRecord('one');

interface Running {
  readonly etcd: TestEtcd;
  readonly state: State;
  /** What a watch of the networks told so far. */
  readonly events: CatalogEvent[];
}

async function run(t: TestContext): Promise<Running> {
  const etcd = await startTestEtcd();
  t.after(() => etcd.close());
  const state = await openState({
    ...{ url: parseStoreUrl(etcd.url), defaultPath: '/none', epoch: 1, log: silent, ttl: 60_000 },
    host: one.id,
    proposal: cluster('a'),
  });
  t.after(() => state.close());
  const abort = new AbortController();
  const events: CatalogEvent[] = [];
  const watching = (async () => {
    for await (const event of state.catalog.watch({ signal: abort.signal })) events.push(event);
  })();
  t.after(async () => {
    abort.abort();
    await watching;
  });
  await until(() => events.length === 1);
  return { etcd, state, events };
}

async function refusesAll(state: State, message: RegExp): Promise<void> {
  const refused = { name: 'Refusal', kind: 'conflict', message };
  await assert.rejects(state.allocator.take(vnis, owner('late')), refused);
  await assert.rejects(state.claims.claim({ kind: 'networks' }, 'late', { id: hexId('late') }), refused);
  await assert.rejects(state.registry.publish({ kind: 'host', host: one }), refused);
  await assert.rejects(state.catalog.add(networkRecord('late')), refused);
  await assert.rejects(state.catalog.list(), refused);
  assert.match(state.status().lastError ?? '', message);
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    assert.ok(performance.now() < deadline, 'the condition did not come true within 20 s');
    await sleep(20);
  }
}

test('a store put back to an older backup is refused until its generation says that it is meant', async (t) => {
  const { etcd, state, events } = await run(t);
  const backup = `${etcd.dataDir}.backup`;
  t.after(() => rm(backup, { recursive: true, force: true }));
  await state.catalog.add(networkRecord('before'));
  assert.equal(await state.allocator.take(vnis, owner('before')), '256');
  await etcd.stop();
  await cp(etcd.dataDir, backup, { recursive: true });
  await etcd.start();

  // A restart alone changes nothing.
  assert.equal(await state.allocator.take(vnis, owner('after')), '257');
  await state.catalog.add(networkRecord('after'));
  // The second network has been told, not only the first.
  const { id: last } = networkRecord('after');
  await until(() => {
    const event = events.at(-1);
    if (event?.kind === 'put') return event.network.id === last;
    return event?.kind === 'snapshot' && event.networks.some(({ id }) => id === last);
  });
  const told = [...events];
  await etcd.stop();
  await rm(etcd.dataDir, { recursive: true });
  await cp(backup, etcd.dataDir, { recursive: true });
  await etcd.start();

  await refusesAll(state, /was restored from an older backup: its history ends at \d+ and this host has seen \d+/);
  // Longer than the watch waits before it asks again.
  await sleep(4_000);
  assert.deepEqual(events, told);

  const admin = openEtcd({ members: [etcd.address], url: etcd.url });
  t.after(() => admin.close());
  const { cluster: key } = keysBelow('/skein');
  const value = JSON.stringify({ ...cluster('a'), generation: 2 });
  await admin.commit([], [{ kind: 'put', key, value }]);
  assert.match(await state.allocator.take(vnis, owner('again')), /^25[78]$/);
  await until(() => events.length > told.length);
  const event = events.at(told.length);
  assert.deepEqual(event, { kind: 'snapshot', networks: [networkRecord('before')] });
  assert.equal(state.status().lastError, undefined);
});

test('an empty store or that of another cluster is refused, and taken up again when the right one is back', async (t) => {
  const { etcd, state, events } = await run(t);
  await state.catalog.add(networkRecord('ours'));
  await until(() => events.length === 2);
  await etcd.stop();
  const ours = `${etcd.dataDir}.ours`;
  t.after(() => rm(ours, { recursive: true, force: true }));
  await cp(etcd.dataDir, ours, { recursive: true });
  await rm(etcd.dataDir, { recursive: true });
  await etcd.start();
  await refusesAll(state, /is empty, and this host belongs to cluster/);

  const admin = openEtcd({ members: [etcd.address], url: etcd.url });
  t.after(() => admin.close());
  const { cluster: key, networks } = keysBelow('/skein');
  await admin.commit([], [{ kind: 'put', key, value: JSON.stringify(cluster('b')) }]);
  // Its history is longer than ours: watches would go on in it.
  for (let i = 0; i < 50; i++) await admin.commit([], [{ kind: 'put', key: `${networks}x`, value: String(i) }]);
  await refusesAll(state, /is not cluster [0-9a-f]{12}, which this host belongs to/);
  await sleep(4_000);
  assert.equal(events.length, 2);
  assert.deepEqual(
    (await admin.list(networks)).items.map(({ value }) => value),
    ['49'],
  );

  await etcd.stop();
  await rm(etcd.dataDir, { recursive: true });
  await cp(ours, etcd.dataDir, { recursive: true });
  await etcd.start();
  assert.equal(await state.allocator.take(vnis, owner('back')), '256');
  await state.catalog.add(networkRecord('more'));
  await until(
    () =>
      events.some((event) => event.kind === 'snapshot' && event.networks.length > 1) || events.at(-1)?.kind === 'put',
  );
});
