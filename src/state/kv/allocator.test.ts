import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { keysBelow } from '../../model/keys.ts';
import type { Owner, Pool } from '../allocator.ts';
import { hexId } from '../records.contract.ts';
import { type ClosableAllocator, openAllocator } from './allocator.ts';
import { openEtcd } from './etcd/etcd.ts';
import { type StoreHarness, startTestEtcd, storeKinds } from './harness.contract.ts';
import { Skipped } from './skipped.ts';
import type { Store } from './store.ts';

const keys = keysBelow('/skein');
let pools = 0;
const poolOf = (range: string): Extract<Pool, { kind: 'addresses' }> => ({
  kind: 'addresses',
  network: hexId(`pool ${++pools}`),
  range,
  reserved: [],
});
const owner = (id: string): Owner => ({ host: 'h', id, name: id });

for (const { name, start } of storeKinds) {
  describe(`allocation over time in ${name}`, () => {
    let stores: StoreHarness;
    let store: Store;
    before(async () => {
      stores = await start();
      store = await stores.open();
    });
    after(async () => {
      await store?.close();
      await stores?.close();
    });
    const open = (rest: number) => openAllocator({ store, keys, rest, skipped: new Skipped() });
    const gone = async (prefix: string) => {
      const deadline = performance.now() + 10_000;
      while ((await store.list(prefix)).items.length > 0)
        assert.ok(performance.now() < deadline, `${prefix} is there still`);
    };

    test('a rested item is the lowest free one again, for other hosts too, and its record goes by itself', async () => {
      const pool = poolOf('10.0.0.0/24');
      const [one, two] = [open(400), open(400)];
      for (const id of ['a', 'b', 'c']) await one.take(pool, owner(id));
      await two.take(pool, owner('d'));
      await one.give(pool, owner('a'), '10.0.0.1');
      assert.equal(await two.take(pool, owner('e')), '10.0.0.5');
      await gone(`${keys.addresses(pool.network)}10.0.0.1`);
      assert.equal(await two.take(pool, owner('f')), '10.0.0.1');
      await Promise.all([one.close(), two.close()]);
    });

    test('what rests when its giver ends is removed by another host that meets it', async () => {
      const pool = poolOf('10.0.0.0/24');
      const one = open(300);
      await one.take(pool, owner('a'));
      await one.give(pool, owner('a'), '10.0.0.1');
      await one.close();
      const two = open(300);
      await two.take(pool, owner('b'), '10.0.0.9');
      assert.equal(await two.take(pool, owner('c')), '10.0.0.2');
      await gone(`${keys.addresses(pool.network)}10.0.0.1`);
      await two.close();
    });

    test('networks that were given back are forgotten after their rest', async () => {
      const pool: Pool = { kind: 'subnets', ranges: [{ range: '10.0.0.0/16', size: 24 }], avoid: [] };
      const one = open(300);
      await one.take(pool, owner('a'));
      await one.give(pool, owner('a'), '10.0.0.0/24');
      await gone(keys.subnets);
      await one.close();
    });

    test('whatever several owners on two hosts take and give side by side, nothing has two holders', async () => {
      const step = fc.record({ owner: fc.nat(9), give: fc.boolean(), elsewhere: fc.boolean() });
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(step, { maxLength: 8 }), { maxLength: 6 }), async (rounds) => {
          const pool = poolOf('10.0.0.0/28');
          const hosts = [open(40), open(40)];
          /** What each owner was told last. */
          const told = new Map<string, string>();
          try {
            for (const round of rounds) {
              const busy = new Set<number>();
              const steps = round.filter((one) => !busy.has(one.owner) && busy.add(one.owner));
              await Promise.all(
                steps.map(async ({ owner: number, give, elsewhere }) => {
                  const who = owner(`o${number}`);
                  const [home, other] = number % 2 ? hosts : hosts.toReversed();
                  assert.ok(home && other);
                  const item = told.get(who.id);
                  // An owner takes on its own host; any host may give back what it holds.
                  if (!give) told.set(who.id, await home.take(pool, who));
                  else if (item !== undefined) {
                    await (elsewhere ? other : home).give(pool, who, item);
                    told.delete(who.id);
                  }
                }),
              );
              assert.equal(new Set(told.values()).size, told.size);
              const held = (await hosts[0]?.held(pool)) ?? [];
              assert.deepEqual(new Map(held.map(({ item, owner: { id } }) => [id, item])), told);
            }
          } finally {
            await Promise.all(hosts.map((allocator) => allocator.close()));
          }
        }),
        { numRuns: 25 },
      );
    });

    test('records that cannot be read are passed over and told, and nobody gets their item', async () => {
      const pool = poolOf('10.0.0.0/24');
      const prefix = keys.addresses(pool.network);
      const skipped = new Skipped();
      for (const [key, value] of [
        ['10.0.0.1', '{'],
        ['10.0.0.2', '{"released":"yesterday","former":{}}'],
        ['010.0.0.3', '{"host":"h","id":"i","name":"n"}'],
        ['nonsense', '{"host":"h","id":"i","name":"n"}'],
      ] as const) {
        await store.commit([], [{ kind: 'put', key: prefix + key, value }]);
      }
      const one = openAllocator({ store, keys, skipped });
      assert.equal(await one.take(pool, owner('a')), '10.0.0.3');
      await assert.rejects(one.take(pool, owner('b'), '10.0.0.1'), {
        name: 'Taken',
        message: /a record that cannot be read/,
      });
      await one.give(pool, owner('a'), '10.0.0.1');
      assert.deepEqual(
        (await one.held(pool)).map(({ item }) => item),
        ['10.0.0.3'],
      );
      assert.equal(skipped.list().length, 4);
      await one.close();
    });
  });
}

describe('allocation while etcd fails', () => {
  for (const [how, signal] of [
    ['is killed and started again', 'SIGKILL'],
    ['freezes for a while', 'SIGSTOP'],
  ] as const) {
    test(`when etcd ${how} during takes each ends in time, no address has two holders, and a repeated take gets what the first got`, async () => {
      const etcd = await startTestEtcd();
      const stores = [1, 2].map(() => openEtcd({ members: [etcd.address], url: etcd.url }));
      const hosts = stores.map((store): ClosableAllocator => openAllocator({ store, keys, skipped: new Skipped() }));
      const pool = poolOf('10.0.0.0/16');
      const owners = Array.from({ length: 120 }, (_, i) => owner(`o${i}`));
      const takeAll = () =>
        owners.map(async (who, i) => {
          const began = performance.now();
          try {
            return await (hosts[i % 2] ?? assert.fail()).take(pool, who);
          } catch (error) {
            assert.equal(error instanceof Error && 'kind' in error && error.kind, 'unavailable', String(error));
            return undefined;
          } finally {
            assert.ok(performance.now() - began < 5_000, `took ${performance.now() - began} ms`);
          }
        });
      await hosts[0]?.take(pool, owner('first'));
      const taking = takeAll();
      await Promise.race(taking);
      process.kill(etcd.pid(), signal);
      const first = await Promise.all(taking);
      if (signal === 'SIGSTOP') process.kill(etcd.pid(), 'SIGCONT');
      else await etcd.start();
      let again = await Promise.all(takeAll());
      while (again.includes(undefined)) again = await Promise.all(takeAll());
      for (const [i, item] of first.entries()) if (item !== undefined) assert.equal(again[i], item);
      assert.equal(new Set(again).size, owners.length);
      const held = await hosts[1]?.held(pool);
      assert.ok(held && held.length >= owners.length + 1);
      assert.equal(new Set(held.map(({ owner: { id } }) => id)).size, owners.length + 1);
      await Promise.all(hosts.map((allocator) => allocator.close()));
      await Promise.all(stores.map((store) => store.close()));
      await etcd.close();
    });
  }
});
