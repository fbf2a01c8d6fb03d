import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { silent } from '../../lib/log.ts';
import type { Cluster } from '../../model/cluster.ts';
import { type Keys, keysBelow } from '../../model/keys.ts';
import { hexId, hostIdOf, networkRecord } from '../records.contract.ts';
import { joinCluster } from './cluster.ts';
import { freePort, type StoreHarness, storeKinds } from './harness.contract.ts';
import { openState } from './open.ts';
import type { Store } from './store.ts';
import { parseStoreUrl } from './url.ts';

const cluster = (name: string): Cluster => ({
  id: hexId(name),
  generation: 3,
  featureLevel: 1,
  created: '2026-01-01T00:00:00.000Z',
  dataPort: 4789,
  underlay: 4,
});

for (const { name, start } of storeKinds) {
  describe(`the cluster of ${name}`, () => {
    let stores: StoreHarness;
    let store: Store;
    let roots = 0;
    before(async () => {
      stores = await start();
      store = await stores.open();
    });
    after(async () => {
      await store?.close();
      await stores?.close();
    });
    const fresh = () => keysBelow(`/c${++roots}`);
    const put = (keys: Keys, value: unknown) =>
      store.commit(
        [],
        [{ kind: 'put', key: keys.cluster, value: typeof value === 'string' ? value : JSON.stringify(value) }],
      );

    test('the first host makes it, and all who come at once are in the same', async () => {
      const keys = fresh();
      const joined = await Promise.all(
        ['a', 'b', 'c'].map((id) => joinCluster(store, keys, { proposal: cluster(id) })),
      );
      assert.equal(new Set(joined.map(({ id }) => id)).size, 1);
      assert.deepEqual(await joinCluster(store, keys, { proposal: cluster('d'), known: joined[0] }), joined[0]);
    });

    const wrong: readonly (readonly [why: string, there: unknown, known: Cluster | undefined, message: RegExp])[] = [
      ['is another', cluster('a'), cluster('b'), /is not cluster [0-9a-f]{12}, which this host belongs to/],
      ['is older', { ...cluster('a'), generation: 2 }, cluster('a'), /of generation 2 and this host has seen 3/],
      ['is empty', undefined, cluster('a'), /is empty, and this host belongs to cluster/],
      [
        'has moved',
        { ...cluster('a'), movedTo: 'etcd://h:1' },
        undefined,
        /was moved: start with --cluster-store etcd:\/\/h:1/,
      ],
      ['is too new', { ...cluster('a'), featureLevel: 2 }, undefined, /feature level 2 and this program knows 1/],
      ['is not JSON', '{', undefined, /cannot be read: \/c\d+\/cluster: is not JSON/],
      ['lacks its id', { ...cluster('a'), id: 7 }, undefined, /cannot be read: \/c\d+\/cluster: id /],
      ['is too long', `"${'x'.repeat(300_000)}"`, undefined, /more than a record may have/],
    ];
    for (const [why, there, known, message] of wrong) {
      test(`a store whose cluster ${why} is refused, and nothing is written to it`, async () => {
        const keys = fresh();
        if (there !== undefined) await put(keys, there);
        const opening = joinCluster(store, keys, { proposal: cluster('z'), known });
        await assert.rejects(opening, (error: Error) => {
          assert.equal(error.name, 'Refusal');
          assert.match(error.message, message);
          return true;
        });
        const root = keys.cluster.replace(/cluster$/, '');
        assert.equal((await store.list(root)).items.length, there === undefined ? 0 : 1);
      });
    }

    test('a generation that has grown is accepted', async () => {
      const keys = fresh();
      await put(keys, { ...cluster('a'), generation: 4 });
      const joined = await joinCluster(store, keys, { proposal: cluster('z'), known: cluster('a') });
      assert.equal(joined.generation, 4);
    });
  });
}

test('a store that is away: a new host is told within 5 s, one that knows its cluster starts and works once it is back', async (t) => {
  const { startEtcd } = await import('../../lab/etcd.ts');
  const { mkdtemp, rm } = await import('node:fs/promises');
  const dataDir = await mkdtemp('/tmp/skein-etcd-');
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const listen = `127.0.0.1:${await freePort()}`;
  const options = {
    ...{ url: parseStoreUrl(`etcd://${listen}/away`), defaultPath: '/none', epoch: 1, log: silent, ttl: 2_000 },
    host: hostIdOf('one'),
    proposal: cluster('a'),
  };
  const began = performance.now();
  await assert.rejects(openState(options), {
    name: 'Refusal',
    kind: 'unavailable',
    message: /store etcd:.*failing since/,
  });
  assert.ok(performance.now() - began < 5_000);

  const state = await openState({ ...options, known: cluster('a') });
  t.after(() => state.close());
  assert.deepEqual(state.cluster, cluster('a'));
  await assert.rejects(state.catalog.add(networkRecord('early')), { kind: 'unavailable' });
  const abort = new AbortController();
  const events = state.catalog.watch({ signal: abort.signal })[Symbol.asyncIterator]();
  const first = events.next();

  const etcd = await startEtcd({ dataDir, listen });
  t.after(() => etcd.stop());
  // The store came back empty: it is not the cluster that this host knows.
  await assert.rejects(state.catalog.add(networkRecord('early')), { kind: 'conflict', message: /is empty/ });
  const other = await openState({ ...options, host: hostIdOf('two') });
  await state.catalog.add(networkRecord('early'));
  const event = await first;
  assert.equal(event.done === true ? 'done' : event.value.kind, 'snapshot');
  abort.abort();
  await other.close();
});

test('a state in a local file is whole after it was closed and opened again', async (t) => {
  const { mkdtemp, rm } = await import('node:fs/promises');
  const folder = await mkdtemp('/tmp/skein-local-');
  t.after(() => rm(folder, { recursive: true, force: true }));
  const options = {
    ...{ url: parseStoreUrl('local:'), defaultPath: `${folder}/store.db`, log: silent, proposal: cluster('a') },
    host: hostIdOf('one'),
  };
  const first = await openState({ ...options, epoch: 1 });
  await first.catalog.add(networkRecord('kept'));
  await first.close();
  const second = await openState({ ...options, epoch: 2, known: first.cluster });
  assert.deepEqual(await second.catalog.list(), [networkRecord('kept')]);
  await second.close();
});
