import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { findEtcd } from '../src/lab/etcd.ts';
import { Refusal } from '../src/lib/errors.ts';
import { Scope } from '../src/lib/scope.ts';
import { vniRange } from '../src/model/network.ts';
import { startTestEtcd, type TestEtcd } from '../src/state/kv/harness.contract.ts';
import { eventually, openHost, request, type TestHost, wish } from './piece-host.ts';

const skip = findEtcd() === undefined ? 'etcd is not on this machine' : false;

describe('networks of two hosts on one etcd', { skip }, () => {
  const scope = new Scope();
  let etcd: TestEtcd;
  let h1: TestHost;
  let h2: TestHost;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'skein-networks-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    etcd = await startTestEtcd();
    scope.defer(() => etcd.close());
    const url = etcd.url.replace('http', 'etcd');
    h1 = await openHost({ name: 'h1', data: '192.168.205.10', url, folder, routes: ['10.0.1.0/24'] });
    scope.defer(() => h1.die());
    h2 = await openHost({ name: 'h2', data: '192.168.205.11', url, folder, routes: ['10.0.3.0/24'] });
    scope.defer(() => h2.die());
    await eventually(() => h1.hosts.list().length === 2 && h2.hosts.list().length === 2);
  });

  after(() => scope.close());

  /** Everything that networks hold in the store, by owner. */
  const held = async () => {
    const pools = [
      { kind: 'vnis', ...vniRange },
      { kind: 'subnets', ranges: [], avoid: [] },
    ] as const;
    const all = await Promise.all(pools.map((pool) => h1.state.allocator.held(pool)));
    return all.flat().map(({ owner }) => owner.name);
  };

  it('chooses subnets in order, past those of other networks and the routes of both hosts', async () => {
    await h1.networks.create({ ...request('taken'), subnets: [{ subnet: '10.0.0.0/24' }] });
    const subnets = [];
    for (const host of [h1, h2, h1]) {
      const { subnets: got, mtu } = await host.networks.create(request(`auto${subnets.length}`));
      subnets.push(got[0]?.subnet);
      assert.equal(mtu, 1450);
    }
    assert.deepEqual(subnets, ['10.0.2.0/24', '10.0.4.0/24', '10.0.5.0/24']);
  });

  it('gives IPv6 a subnet of the cluster’s own, beside IPv4', async () => {
    const { subnets, ipv6 } = await h1.networks.create({ ...request('dual'), ipv6: true });
    assert.equal(ipv6, true);
    const prefix = `fd${h1.hosts.cluster.id.slice(0, 2)}:`;
    assert.ok(subnets[1]?.subnet.startsWith(prefix) && subnets[1].subnet.endsWith('::/64'), subnets[1]?.subnet);
  });

  it('names both sides of an overlap, and leaves nothing of the attempt', async () => {
    const before = await held();
    await assert.rejects(h2.networks.create({ ...request('wide'), subnets: [{ subnet: '10.0.0.0/16' }] }), (error) => {
      return (
        error instanceof Refusal &&
        /subnet 10\.0\.0\.0\/16 of network wide overlaps 10\.0\.\d\.0\/24 of network/.test(error.message)
      );
    });
    assert.deepEqual(await held(), before);
    assert.deepEqual(await h2.journal.load('intent'), []);
    await h2.networks.create(request('wide'));
  });

  it('of two hosts that make a network of one name at once one gets it, and the other leaves nothing', async () => {
    for (let round = 0; round < 5; round++) {
      const name = `race${round}`;
      const results = await Promise.allSettled([h1, h2, h1, h2].map((host) => host.networks.create(request(name))));
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
      for (const result of results) {
        if (result.status === 'rejected')
          assert.equal(result.reason.message, `network with name ${name} already exists`);
      }
      assert.equal((await held()).filter((owner) => owner === name).length, 2, 'one VNI and one subnet');
    }
  });

  it('keeps its name when the host that made it is gone', async () => {
    const { name, id } = await h2.networks.create(request('orphan'));
    const holder = await h1.state.claims.holder({ kind: 'networks' }, name);
    assert.deepEqual(holder, { id });
  });

  it('is removed with all that it held, and its name is free', async () => {
    for (const { name } of h1.networks.list()) await h2.networks.remove(name);
    await eventually(() => h1.networks.list().length === 0);
    assert.deepEqual(await held(), []);
    await h1.networks.create(request('orphan'));
    await h1.networks.remove('orphan');
  });

  it('is never removed under an endpoint, whoever removes and joins it at once', async () => {
    for (let round = 0; round < 25; round++) {
      const name = `contested${round}`;
      const { id } = await h1.networks.create(request(name));
      await eventually(() => h2.networks.list().some((network) => network.id === id));
      const joining = h2.endpoints.openSandbox({ exit: false, connect: [wish(name, 'joiner')] });
      const removing = [h1, h2, h1].map((host) => host.networks.remove(name));
      const [joined, ...removed] = await Promise.allSettled([joining, ...removing]);
      const there = await h1.state.catalog.get(id);
      const endpoints = await h1.state.registry.list({ kind: 'endpoints', network: id });
      if (joined?.status === 'fulfilled') {
        assert.ok(there !== undefined, `round ${round}: the network went under its endpoint`);
        assert.equal(endpoints.length, 1);
        assert.ok(removed.every(({ status }) => status === 'rejected'));
        await h2.endpoints.closeSandbox(joined.value.id);
      } else assert.deepEqual(endpoints, [], `round ${round}: ${String(joined?.reason)}`);
      if (there !== undefined) {
        assert.equal(there.removing, undefined, `round ${round}: a mark was left`);
        await h1.networks.remove(name);
      }
      await eventually(() => [h1, h2].every(({ networks }) => networks.list().every((network) => network.id !== id)));
    }
    assert.deepEqual(await held(), []);
  });

  it('that a cut store left half made is settled when the store is back, without a restart', async () => {
    const creating = h1.networks.create(request('halved'));
    creating.catch(() => undefined);
    await etcd.stop();
    await assert.rejects(creating, (error) => error instanceof Refusal && error.kind === 'unavailable');
    await etcd.start();
    await eventually(async () => (await h1.journal.load('intent')).length === 0);
    const there = (await h1.state.catalog.list()).some(({ name }) => name === 'halved');
    assert.equal((await held()).filter((owner) => owner === 'halved').length, there ? 2 : 0);
    if (there) await eventually(() => h1.networks.list().some(({ name }) => name === 'halved'));
    else await h1.networks.create(request('halved'));
  });
});
