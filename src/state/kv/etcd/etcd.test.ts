import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { freePort, startTestEtcd, storeKinds, type TestEtcd } from '../harness.contract.ts';
import { persist } from '../persist.ts';
import { storeContract, watching } from '../store.contract.ts';
import type { Store } from '../store.ts';
import { openEtcd } from './etcd.ts';

for (const kind of storeKinds) if (kind.shared) storeContract(kind);

describe('etcd that fails', () => {
  let etcd: TestEtcd;
  let store: Store;
  before(async () => {
    etcd = await startTestEtcd();
    store = openEtcd({ members: [etcd.address], url: etcd.url });
  });
  after(async () => {
    await store?.close();
    await etcd?.close();
  });
  const put = (key: string, value: string) =>
    persist(store, 'put', (signal) => store.commit([], [{ kind: 'put', key, value }], { signal }));

  test('a watch goes on after the server was stopped and started, and misses nothing', async () => {
    await put('/r/a', '1');
    const watch = watching(store, '/r/');
    assert.equal(await watch.next(), 'snapshot /r/a=1');
    await put('/r/a', '2');
    assert.equal(await watch.next(), 'put /r/a=2');
    await etcd.stop();
    await assert.rejects(put('/r/a', '3'), { name: 'Refusal', kind: 'unavailable' });
    await etcd.start();
    await put('/r/b', '4');
    await store.commit([], [{ kind: 'delete', key: '/r/a' }]);
    assert.equal(await watch.next(), 'put /r/b=4');
    assert.equal(await watch.next(), 'delete /r/a');
    await watch.stop();
  });

  test('a watch whose history was compacted away while it was cut off begins again with a snapshot', async () => {
    await put('/c/a', '1');
    const watch = watching(store, '/c/');
    assert.equal(await watch.next(), 'snapshot /c/a=1');
    const behind = watch.next();
    await etcd.stop();
    await etcd.start();
    // The watch is back within its longest pause; what it is to have missed must be gone before that.
    for (const value of ['2', '3', '4']) await put('/c/a', value);
    await put('/c/b', '5');
    await compact(etcd, store);
    const first = await behind;
    assert.ok(first === 'snapshot /c/a=4 /c/b=5' || first === 'put /c/a=2', first);
    await watch.stop();
  });

  test('a watch from a revision that is compacted is told so and reads again', async () => {
    const reads = [
      { header: { revision: '7' } },
      { header: { revision: '10' }, kvs: [{ key: btoa('/x/a'), value: btoa('v'), mod_revision: '10' }] },
    ];
    const compacted = { result: { header: {}, canceled: true, compact_revision: '9' } };
    await withAnswers(
      (path, answer) => {
        if (path !== '/v3/watch') return answer.end(JSON.stringify(reads.shift()));
        answer.write(`${JSON.stringify({ result: { header: { revision: '10' }, created: true } })}\n`);
        return reads.length > 0 && answer.write(`${JSON.stringify(compacted)}\n`);
      },
      async (fake) => {
        const watch = watching(fake, '/x/');
        assert.equal(await watch.next(), 'snapshot ');
        assert.equal(await watch.next(), 'snapshot /x/a=v');
        await watch.stop();
      },
    );
  });

  test('a watch of a store that went back in time begins again with a snapshot', async () => {
    let revision = 90;
    await withAnswers(
      (path, answer) => {
        const header = { revision: String(revision) };
        if (path !== '/v3/watch') return answer.end(JSON.stringify({ header, kvs: [] }));
        revision = 5;
        return answer.write(`${JSON.stringify({ result: { header: { revision: '5' }, created: true } })}\n`);
      },
      async (fake) => {
        const watch = watching(fake, '/x/');
        assert.deepEqual([await watch.next(), await watch.next()], ['snapshot ', 'snapshot ']);
        await watch.stop();
      },
    );
  });

  test('a frozen server: calls fail within 5 s with a sentence, a session is lost by own clock, a watch then goes on', async () => {
    await put('/f/a', '1');
    const session = await store.openSession(2_000);
    const watch = watching(store, '/f/');
    assert.equal(await watch.next(), 'snapshot /f/a=1');
    process.kill(etcd.pid(), 'SIGSTOP');
    try {
      const began = performance.now();
      await assert.rejects(put('/f/a', '2'), (error: Error) => {
        assert.match(
          error.message,
          /^cannot put: .*did not answer within.*\(store etcd:\/\/127\.0\.0\.1:\d+, failing since \d{4}-/,
        );
        return true;
      });
      assert.ok(performance.now() - began < 5_000, `took ${performance.now() - began} ms`);
      assert.equal(session.lost.aborted, true);
      assert.ok(store.status().failingSince);
      assert.deepEqual(store.status().members, [{ url: `http://${etcd.address}`, healthy: false }]);
    } finally {
      process.kill(etcd.pid(), 'SIGCONT');
    }
    await put('/f/b', '3');
    assert.equal(store.status().failingSince, undefined);
    // The put that was cut off may have happened: nobody knows.
    const next = await watch.next();
    assert.ok(next === 'put /f/a=2' || next === 'put /f/b=3', next);
    await watch.stop();
  });

  test('a session that the server dropped is lost', async () => {
    const session = await store.openSession(2_000);
    await fetch(`http://${etcd.address}/v3/lease/revoke`, { method: 'POST', body: JSON.stringify({ ID: session.id }) });
    await new Promise<void>((resolve) => session.lost.addEventListener('abort', () => resolve(), { once: true }));
    await session.close();
  });

  test('of several members the next is asked when one is away or frozen, at once for reads and writes', async () => {
    const away = `127.0.0.1:${await freePort()}`;
    const both = openEtcd({ members: [away, etcd.address], url: 'etcd://both' });
    assert.deepEqual(await both.commit([], [{ kind: 'put', key: '/m/a', value: '1' }]), { done: true });
    assert.equal((await both.list('/m/')).items.length, 1);
    assert.deepEqual(
      both.status().members.map(({ healthy }) => healthy),
      [false, true],
    );
    await both.close();

    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    assert.ok(address !== null && typeof address === 'object');
    const frozen = openEtcd({
      members: [`127.0.0.1:${address.port}`, etcd.address],
      url: 'etcd://both',
      timeout: 1_000,
    });
    assert.equal((await frozen.list('/m/')).items.length, 1);
    const watch = watching(frozen, '/m/');
    assert.equal(await watch.next(), 'snapshot /m/a=1');
    await watch.stop();
    await frozen.close();
    silent.closeAllConnections();
    await new Promise((resolve) => silent.close(resolve));
  });
});

describe('a server that answers nonsense', () => {
  const nonsense = [
    '',
    'hello',
    'null',
    '[]',
    '{}',
    '{"header":{"revision":7}}',
    '{"header":{"revision":"x"},"kvs":[]}',
    '{"header":{"revision":"1"},"kvs":{}}',
    '{"header":{"revision":"1"},"kvs":[{"key":"?","mod_revision":"1"}]}',
    '{"header":{"revision":"99999999999999999999999"}}',
    '{"error":"no","code":"x"}',
    '{"error":"etcdserver: user name is empty","message":"etcdserver: user name is empty","code":3}',
    '\u0000\uffff',
  ];
  for (const status of [200, 404, 500]) {
    test(`is a StoreError whatever it says, with HTTP status ${status}`, async () => {
      for (const text of nonsense) {
        await withAnswers(
          (_, answer) => answer.writeHead(status).end(text),
          async (fake) => {
            await assert.rejects(fake.list('/x/'), { name: 'StoreError' }, text);
            if (!(status === 200 && text.includes('"header":{"revision":"1"}'))) {
              await assert.rejects(fake.commit([], []), { name: 'StoreError' }, text);
            }
            await assert.rejects(fake.openSession(1_000), { name: 'StoreError' }, text);
          },
        );
      }
    });
  }

  test('a watch waits nonsense out, and begins when there is sense', async () => {
    let asked = 0;
    await withAnswers(
      (path, answer) => {
        const n = asked++;
        if (path === '/v3/watch' && n < 6) return answer.end(nonsense[n]);
        if (path === '/v3/watch') {
          return answer.write(
            '{"result":{"header":{"revision":"1"},"events":[{"kv":{"key":"L3gvYQ==","mod_revision":"2"}}]}}\n',
          );
        }
        return answer.end(n < 2 ? nonsense[n] : '{"header":{"revision":"1"}}');
      },
      async (fake) => {
        const watch = watching(fake, '/x/');
        assert.equal(await watch.next(), 'snapshot ');
        assert.equal(await watch.next(), 'put /x/a=');
        await watch.stop();
      },
    );
  });
});

async function compact(etcd: TestEtcd, store: Store): Promise<void> {
  const revision = (await store.list('/c/b')).items[0]?.revision;
  const body = JSON.stringify({ revision, physical: true });
  const answer = await fetch(`http://${etcd.address}/v3/kv/compaction`, { method: 'POST', body });
  assert.equal(answer.status, 200);
}

/** A small server that speaks for etcd. */
async function withAnswers(
  answer: (path: string, response: ServerResponse) => unknown,
  task: (store: Store) => Promise<void>,
): Promise<void> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => answer(request.url ?? '', response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const store = openEtcd({ members: [`127.0.0.1:${address.port}`], url: 'etcd://fake', timeout: 1_000 });
  try {
    await task(store);
  } finally {
    await store.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
