import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { silent } from '../../lib/log.ts';
import { keysBelow } from '../../model/keys.ts';
import { hostIdOf } from '../records.contract.ts';
import { type StoreHarness, storeKinds } from './harness.contract.ts';
import { type OpenPresence, openPresence, parseAlive } from './presence.ts';
import { Skipped } from './skipped.ts';
import type { Store } from './store.ts';

for (const { name, start } of storeKinds) {
  describe(`presence in ${name}`, () => {
    let stores: StoreHarness;
    let store: Store;
    const keys = keysBelow('/skein');
    before(async () => {
      stores = await start();
      store = await stores.open();
    });
    after(async () => {
      await store?.close();
      await stores?.close();
    });
    const options = (host: string, epoch: number): OpenPresence => ({
      ...{ store, keys, epoch, log: silent, skipped: new Skipped(), ttl: 2_000, patience: 500 },
      host: hostIdOf(host),
    });
    const record = async (host: string) => {
      const [item] = (await store.list(keys.aliveHost(hostIdOf(host)))).items;
      return item && parseAlive(JSON.parse(item.value), item.key);
    };

    test('the key stays for the session when the daemon ends, and the next daemon of the place takes it without asking', async () => {
      const place = 'boot 1, directory 7';
      await (await openPresence({ ...options('again', 1), place })).close();
      assert.equal((await record('again'))?.epoch, 1);
      const began = performance.now();
      const next = await openPresence({ ...options('again', 2), place });
      assert.ok(performance.now() - began < 400, 'nobody is asked, who would be given 500 ms');
      assert.equal((await record('again'))?.epoch, 2);
      await next.leave();
    });

    test('a copy of a state directory is another place: the copy is refused', async () => {
      const first = await openPresence({ ...options('copied', 1), place: 'boot 1, directory 7' });
      await assert.rejects(openPresence({ ...options('copied', 1), place: 'boot 1, directory 8' }), /alive elsewhere/);
      await first.leave();
    });

    test('the key is there while the host is, and gone at once when it leaves', async () => {
      const presence = await openPresence(options('a', 3));
      assert.equal((await record('a'))?.epoch, 3);
      await Promise.all([presence.leave(), presence.leave()]);
      assert.equal(await record('a'), undefined);
      assert.equal(presence.ousted.aborted, false);
    });

    test('one identity started twice at once is refused by name, and the first lives on', async () => {
      const first = await openPresence(options('twice', 1));
      const before = await record('twice');
      for (const epoch of [1, 2]) {
        await assert.rejects(openPresence(options('twice', epoch)), {
          name: 'Refusal',
          kind: 'conflict',
          message: new RegExp(`the host id ${hostIdOf('twice')} is alive elsewhere since .*\\(epoch 1\\)`),
        });
      }
      assert.deepEqual(await record('twice'), before);
      assert.equal(first.ousted.aborted, false);
      await first.leave();
    });

    test('of several started at once one lives', async () => {
      const results = await Promise.allSettled([1, 2, 3].map(() => openPresence(options('rush', 1))));
      const living = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      assert.equal(living.length, 1);
      for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.kind, 'conflict');
      await Promise.all(living.map((presence) => presence.leave()));
    });

    test('a host that was killed and starts again takes its place before the old session ends, and is never gone', async () => {
      const key = keys.aliveHost(hostIdOf('killed'));
      const session = await store.openSession(60_000);
      const value = JSON.stringify({ epoch: 1, since: '2026-01-01T00:00:00.000Z', instance: '0123456789abcdef' });
      await store.commit([], [{ kind: 'put', key, value, session }]);
      const abort = new AbortController();
      const kinds: string[] = [];
      const watching = (async () => {
        for await (const { kind } of store.watch(key, { signal: abort.signal })) kinds.push(kind);
      })();
      const began = performance.now();
      const presence = await openPresence(options('killed', 2));
      assert.ok(performance.now() - began < 3 * 500, `took ${performance.now() - began} ms`);
      assert.equal((await record('killed'))?.epoch, 2);
      await session.close();
      assert.equal((await record('killed'))?.epoch, 2);
      abort.abort();
      await watching;
      assert.ok(!kinds.includes('delete'));
      await presence.close();
    });

    test('a key that was removed or spoilt by hand is put back', async () => {
      const presence = await openPresence(options('mended', 1));
      const key = keys.aliveHost(hostIdOf('mended'));
      for (const write of [{ kind: 'delete', key } as const, { kind: 'put', key, value: '{"epoch":"?"' } as const]) {
        await store.commit([], [write]);
        const deadline = performance.now() + 5_000;
        const mended = async () =>
          record('mended').then(
            (there) => there?.epoch === 1,
            () => false,
          );
        while (!(await mended())) assert.ok(performance.now() < deadline, 'it was not put back in 5 s');
      }
      await presence.close();
    });

    test('who was replaced while it was cut off is told, and leaves the key to the other', async () => {
      const presence = await openPresence(options('replaced', 1));
      const key = keys.aliveHost(hostIdOf('replaced'));
      const other = { epoch: 2, since: '2026-01-01T00:00:00.000Z', instance: 'ffffffffffffffff' };
      const ousted = new Promise<void>((resolve) =>
        presence.ousted.addEventListener('abort', () => resolve(), { once: true }),
      );
      await store.commit([], [{ kind: 'put', key, value: JSON.stringify(other) }]);
      await ousted;
      assert.equal(presence.ousted.reason.kind, 'conflict');
      await presence.close();
      assert.deepEqual(await record('replaced'), other);
    });

    test('a host judges once its session has been fresh for one full time', async () => {
      const began = performance.now();
      const presence = await openPresence(options('judge', 1));
      assert.equal(presence.judges.value, false);
      const late = AbortSignal.timeout(10_000);
      for await (const judges of presence.judges.watch({ signal: late })) if (judges) break;
      assert.ok(performance.now() - began >= 1_990);
      await presence.close();
      assert.equal(presence.judges.value, false);
    });
  });
}
