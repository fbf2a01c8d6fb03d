import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Hosts } from '../src/controllers/hosts/hosts.ts';
import { openHosts } from '../src/controllers/hosts/open.ts';
import { Refusal } from '../src/lib/errors.ts';
import { silent } from '../src/lib/log.ts';
import type { Cluster } from '../src/model/cluster.ts';
import type { Host } from '../src/model/host.ts';
import { keysBelow } from '../src/model/keys.ts';
import { openLocal } from '../src/state/kv/local/local.ts';
import { openStateIn } from '../src/state/kv/open.ts';
import type { Store } from '../src/state/kv/store.ts';

const keys = keysBelow('/skein');
const cluster: Cluster = {
  ...{ id: 'a'.repeat(64), generation: 1, featureLevel: 1, created: '2026-01-01T00:00:00.000Z' },
  ...{ dataPort: 4789, underlay: 4 },
};

function hostRecord(digit: string): Host {
  return {
    ...{ id: digit.repeat(32), name: `h${digit}`, key: `${'A'.repeat(43)}=`, advertise: '192.0.2.1:2376' },
    ...{ data: '192.0.2.1', mtu: 1500, routes: [], version: '0', featureLevel: 1, epoch: 2, bootId: 'boot' },
    started: '2026-01-01T00:00:00.000Z',
  };
}
const self = hostRecord('1');

interface Running {
  readonly store: Store;
  readonly hosts: Hosts;
  readonly record: () => Promise<unknown>;
}

async function run(t: TestContext): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-hosts-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return runOn(t, await openLocal(join(folder, 'store.db')), self);
}

async function runOn(t: TestContext, store: Store, host: Host): Promise<Running> {
  const state = await openStateIn(store, { keys, host: host.id, epoch: 2, proposal: cluster, log: silent });
  t.after(() => state.close());
  const hosts = await openHosts({ registry: state.registry, log: silent, now: Date.now }, { self: host, cluster });
  t.after(() => hosts.close());
  const record = async () => {
    const [item] = (await store.list(keys.host(host.id))).items;
    return item && JSON.parse(item.value);
  };
  return { store, hosts, record };
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, 'the condition did not come true within 15 s');
    await sleep(20);
  }
}

test('this host is published when it is open, and others are followed', async (t) => {
  const { store, hosts, record } = await run(t);
  assert.deepEqual(await record(), self);
  const other = hostRecord('2');
  const key = keys.host(other.id);
  await store.commit([], [{ kind: 'put', key, value: JSON.stringify(other) }]);
  await until(() => hosts.list().length === 2);
  await store.commit([], [{ kind: 'delete', key }]);
  await until(() => hosts.list().length === 1);
});

test('the record of this host is put back when it is removed, spoilt or changed, and the host knows itself all the while', async (t) => {
  const { store, hosts, record } = await run(t);
  const key = keys.host(self.id);
  const wrong = [
    { kind: 'delete', key },
    { kind: 'put', key, value: '{"id":' },
    { kind: 'put', key, value: JSON.stringify({ ...self, data: '127.0.0.1' }) },
    { kind: 'put', key, value: JSON.stringify({ ...self, data: '192.0.2.66' }) },
  ] as const;
  for (const write of wrong) {
    await store.commit([], [write]);
    await until(async () => {
      assert.deepEqual(
        hosts.list().map(({ host, state }) => [host, state]),
        [[self, 'alive']],
      );
      return JSON.stringify(await record().catch(() => undefined)) === JSON.stringify(self);
    });
  }
});

test('the record of a later life of this host is left alone', async (t) => {
  const { store, record } = await run(t);
  const later = { ...self, epoch: 3 };
  await store.commit([], [{ kind: 'put', key: keys.host(self.id), value: JSON.stringify(later) }]);
  // As long as it takes to put back what was removed three times; each takes at least half as long as any.
  const other = await runOn(t, store, hostRecord('2'));
  for (let i = 0; i < 3; i++) {
    await store.commit([], [{ kind: 'delete', key: keys.host(other.hosts.self.id) }]);
    await until(async () => (await other.record()) !== undefined);
  }
  assert.deepEqual(await record(), later);
});

test('a store that is away does not keep a host from starting that remembers the others; it is published later', async (t) => {
  const published: Host[] = [];
  const back = Promise.withResolvers<void>();
  let away = true;
  const other = hostRecord('2');
  const hosts = await openHosts(
    {
      log: silent,
      now: Date.now,
      registry: {
        async publish(record) {
          if (away) throw new Refusal('unavailable', 'cannot publish');
          if (record.kind === 'host') published.push(record.host);
          back.resolve();
        },
        async *watch(_, { signal }) {
          yield { kind: 'snapshot', entries: [{ record: { kind: 'host', host: other }, lost: false }] };
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        },
      },
    },
    { self, cluster },
  );
  t.after(() => hosts.close());
  assert.deepEqual(
    hosts.list().map(({ host }) => host.name),
    ['h1', 'h2'],
  );
  away = false;
  await back.promise;
  assert.deepEqual(published[0], self);
});
