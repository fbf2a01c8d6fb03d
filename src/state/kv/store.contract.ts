import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { StoreHarness, StoreKind } from './harness.contract.ts';
import type { Condition, Item, Store, WatchEvent, Write } from './store.ts';

/** What every store does alike. */
export function storeContract({ name, start }: StoreKind): void {
  describe(`a store in ${name}`, () => {
    let harness: StoreHarness;
    let store: Store;
    let roots = 0;
    const fresh = () => `/test/${++roots}`;
    before(async () => {
      harness = await start();
      store = await harness.open();
    });
    after(async () => {
      await store?.close();
      await harness?.close();
    });

    test('what was put is listed in the order of keys, and what was deleted is not', async () => {
      const root = fresh();
      await put(store, `${root}/b`, '2');
      await put(store, `${root}/a`, '1');
      await put(store, `${root}/c/d`, '3');
      assert.deepEqual(await pairs(store, `${root}/`), [`${root}/a=1`, `${root}/b=2`, `${root}/c/d=3`]);
      await store.commit(
        [],
        [
          { kind: 'delete', key: `${root}/a` },
          { kind: 'delete', key: `${root}/none` },
        ],
      );
      assert.deepEqual(await pairs(store, `${root}/`), [`${root}/b=2`, `${root}/c/d=3`]);
    });

    test('a prefix holds only its own keys, and a key that does not end in / is that key alone', async () => {
      const root = fresh();
      for (const key of ['/ab', '/ab/x', '/ab0', '/ab-', '/abc', '/a']) await put(store, root + key, 'v');
      assert.deepEqual(await pairs(store, `${root}/ab/`), [`${root}/ab/x=v`]);
      assert.deepEqual(await pairs(store, `${root}/ab`), [`${root}/ab=v`]);
      assert.deepEqual(await pairs(store, `${root}/none`), []);
    });

    test('a long prefix is listed whole', async () => {
      const root = fresh();
      const keys = Array.from({ length: 2_345 }, (_, i) => `${root}/${String(i).padStart(5, '0')}`);
      for (let i = 0; i < keys.length; i += 100) {
        await store.commit(
          [],
          keys.slice(i, i + 100).map((key): Write => ({ kind: 'put', key, value: key })),
        );
      }
      assert.deepEqual(
        (await store.list(`${root}/`)).items.map(({ key }) => key),
        keys,
      );
    });

    test('odd values and keys come back as they were', async () => {
      const root = fresh();
      const values = ['', ' ', '"', '\\', '\n\r\t\0\u0001', 'ü 漢字 🦑', '{"a":[1,2]}', '\u2028', 'x'.repeat(200_000)];
      for (const [i, value] of values.entries()) await put(store, `${root}/${i}`, value);
      assert.deepEqual(
        (await store.list(`${root}/`)).items.map(({ value }) => value),
        values,
      );
      for (const odd of ['2001:db8::1', 'a b', 'ü', '%2f', "'; drop"]) {
        await put(store, `${root}/odd/${odd}`, odd);
        assert.deepEqual(await pairs(store, `${root}/odd/${odd}`), [`${root}/odd/${odd}=${odd}`]);
      }
    });

    test('a revision changes with its key only, and the same value counts as a change', async () => {
      const root = fresh();
      await put(store, `${root}/a`, '1');
      const one = await get(store, `${root}/a`);
      await put(store, `${root}/b`, '1');
      assert.equal((await get(store, `${root}/a`))?.revision, one?.revision);
      await put(store, `${root}/a`, '1');
      assert.notEqual((await get(store, `${root}/a`))?.revision, one?.revision);
    });

    test('of two creators one is done, and the other is told what is there', async () => {
      const key = `${fresh()}/k`;
      assert.deepEqual(await store.commit([absent(key)], [{ kind: 'put', key, value: 'one' }]), { done: true });
      const second = await store.commit([absent(key)], [{ kind: 'put', key, value: 'two' }]);
      assert.deepEqual(second, { done: false, items: [await get(store, key)] });
      assert.equal((await get(store, key))?.value, 'one');
    });

    test('a condition on a revision fails once the key was changed, deleted or made again', async () => {
      const key = `${fresh()}/k`;
      await put(store, key, '1');
      const old = await get(store, key);
      assert.ok(old);
      const replace = (value: string) => store.commit([old], [{ kind: 'put', key, value }]);
      assert.equal((await replace('2')).done, true);
      const changed = await replace('3');
      assert.deepEqual(changed, { done: false, items: [await get(store, key)] });
      await store.commit([], [{ kind: 'delete', key }]);
      assert.deepEqual(await replace('4'), { done: false, items: [] });
      await put(store, key, '1');
      assert.equal((await replace('5')).done, false);
    });

    test('one condition that fails stops every write', async () => {
      const root = fresh();
      await put(store, `${root}/a`, '1');
      const done = await store.commit(
        [absent(`${root}/b`), absent(`${root}/a`)],
        [
          { kind: 'put', key: `${root}/b`, value: '2' },
          { kind: 'delete', key: `${root}/a` },
        ],
      );
      assert.deepEqual(done, { done: false, items: [await get(store, `${root}/a`)] });
      assert.deepEqual(await pairs(store, `${root}/`), [`${root}/a=1`]);
    });

    test('transfers between keys by many at once lose and make nothing', async () => {
      const root = fresh();
      const keys = Array.from({ length: 4 }, (_, i) => `${root}/${i}`);
      for (const key of keys) await put(store, key, '100');
      const transfer = async (from: string, to: string) => {
        for (;;) {
          const [a, b] = [await get(store, from), await get(store, to)];
          assert.ok(a && b);
          const writes: Write[] = [
            { kind: 'put', key: from, value: String(Number(a.value) - 1) },
            { kind: 'put', key: to, value: String(Number(b.value) + 1) },
          ];
          if ((await store.commit([a, b], writes)).done) return;
        }
      };
      const moves = Array.from({ length: 60 }, (_, i) => [keys[i % 4], keys[(i * 7 + 1) % 4]]);
      await Promise.all(moves.map(([a, b]) => (a && b && a !== b ? transfer(a, b) : Promise.resolve())));
      const sum = (await store.list(`${root}/`)).items.reduce((total, { value }) => total + Number(value), 0);
      assert.equal(sum, 400);
    });

    test('keys of a session vanish when it is closed, others stay, and closing twice is closing once', async () => {
      const root = fresh();
      const session = await store.openSession(5_000);
      await store.commit(
        [],
        [
          { kind: 'put', key: `${root}/mine`, value: '1', session },
          { kind: 'put', key: `${root}/kept`, value: '1' },
          { kind: 'put', key: `${root}/given`, value: '1', session },
        ],
      );
      await put(store, `${root}/given`, '2');
      await Promise.all([session.close(), session.close()]);
      assert.deepEqual(await pairs(store, `${root}/`), [`${root}/given=2`, `${root}/kept=1`]);
      assert.equal(session.lost.aborted, false);
    });

    test('a write in a session that was closed is refused', async () => {
      const key = `${fresh()}/k`;
      const session = await store.openSession(5_000);
      await session.close();
      const late = store.commit([], [{ kind: 'put', key, value: '1', session }]);
      await assert.rejects(late, { name: 'StoreError', retry: false });
      assert.equal(await get(store, key), undefined);
    });

    test('a session outlives its time while it is renewed', async () => {
      const key = `${fresh()}/k`;
      const session = await store.openSession(1_000);
      await store.commit([], [{ kind: 'put', key, value: '1', session }]);
      const end = performance.now() + 2_600;
      while (performance.now() < end) assert.ok(await get(store, key));
      assert.equal(session.lost.aborted, false);
      await session.close();
    });

    test('a watch begins with a snapshot and goes on with changes in their order', async () => {
      const root = fresh();
      await put(store, `${root}/a`, '1');
      await put(store, `${root}x/foreign`, '1');
      const watch = watching(store, `${root}/`);
      assert.deepEqual(await watch.next(), `snapshot ${root}/a=1`);
      await put(store, `${root}/b`, '2');
      await put(store, `${root}x/foreign`, '2');
      await put(store, `${root}/a`, '3');
      await store.commit(
        [],
        [
          { kind: 'delete', key: `${root}/b` },
          { kind: 'put', key: `${root}/c`, value: '4' },
        ],
      );
      assert.equal(await watch.next(), `put ${root}/b=2`);
      assert.equal(await watch.next(), `put ${root}/a=3`);
      assert.deepEqual([await watch.next(), await watch.next()].sort(), [`delete ${root}/b`, `put ${root}/c=4`]);
      await watch.stop();
    });

    test('a watch of an empty prefix begins with an empty snapshot, and sees a session end', async () => {
      const root = fresh();
      const watch = watching(store, `${root}/`);
      assert.equal(await watch.next(), 'snapshot ');
      const session = await store.openSession(5_000);
      await store.commit([], [{ kind: 'put', key: `${root}/a`, value: '1', session }]);
      await session.close();
      assert.equal(await watch.next(), `put ${root}/a=1`);
      assert.equal(await watch.next(), `delete ${root}/a`);
      await watch.stop();
    });

    test('between snapshot and changes nothing is missed or sent twice while others write', async () => {
      const root = fresh();
      const other = await harness.open();
      const count = 300;
      const writing = (async () => {
        for (let i = 0; i < count; i++) await put(other, `${root}/k`, String(i));
      })();
      const readers = Array.from({ length: 8 }, async () => {
        const abort = new AbortController();
        let last = -1;
        for await (const event of store.watch(`${root}/`, { signal: abort.signal })) {
          if (event.kind === 'delete') assert.fail('nothing was deleted');
          const item = event.kind === 'put' ? event.item : event.items[0];
          if (item === undefined) continue;
          if (event.kind === 'put') assert.equal(Number(item.value), last + 1);
          last = Number(item.value);
          if (last === count - 1) abort.abort();
        }
      });
      await Promise.all([writing, ...readers]);
      if (other !== store) await other.close();
    });

    test('a watch ends promptly when it is aborted: before it began, while it waits, and after it ended', async () => {
      const aborted = store.watch('/none/', { signal: AbortSignal.abort() })[Symbol.asyncIterator]();
      assert.equal((await aborted.next()).done, true);
      const abort = new AbortController();
      const events = store.watch('/none/', { signal: abort.signal })[Symbol.asyncIterator]();
      await events.next();
      const waiting = events.next();
      const began = performance.now();
      abort.abort();
      assert.equal((await waiting).done, true);
      assert.ok(performance.now() - began < 500);
      assert.equal((await events.next()).done, true);
    });

    test('a call that is aborted ends with a StoreError', async () => {
      await assert.rejects(store.list('/none/', { signal: AbortSignal.abort() }), { name: 'StoreError' });
    });
  });
}

export function absent(key: string): Condition {
  return { key, revision: undefined };
}

async function put(store: Store, key: string, value: string): Promise<void> {
  assert.deepEqual(await store.commit([], [{ kind: 'put', key, value }]), { done: true });
}

async function get(store: Store, key: string): Promise<Item | undefined> {
  return (await store.list(key)).items[0];
}

async function pairs(store: Store, prefix: string): Promise<string[]> {
  return (await store.list(prefix)).items.map(pair);
}

function pair({ key, value }: Item): string {
  return `${key}=${value}`;
}

/** Reads a watch as text, one event after the other. */
export function watching(store: Store, prefix: string): { next(): Promise<string>; stop(): Promise<void> } {
  const abort = new AbortController();
  const events = store.watch(prefix, { signal: abort.signal })[Symbol.asyncIterator]();
  return {
    async next() {
      const { value, done } = await events.next();
      return done ? 'end' : eventText(value);
    },
    async stop() {
      abort.abort();
      assert.equal((await events.next()).done, true);
    },
  };
}

function eventText(event: WatchEvent): string {
  switch (event.kind) {
    case 'snapshot':
      return `snapshot ${event.items.map(pair).join(' ')}`;
    case 'put':
      return `put ${pair(event.item)}`;
    case 'delete':
      return `delete ${event.key}`;
  }
}
