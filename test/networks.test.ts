import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Refusal } from '../src/lib/errors.ts';
import { Scope } from '../src/lib/scope.ts';
import { vniRange } from '../src/model/network.ts';
import type { TestEtcd } from '../src/state/kv/harness.contract.ts';
import { eventually, openHost, openPair, request, type TestHost, wish } from './piece-host.ts';

describe('networks of two hosts on one etcd', () => {
  const scope = new Scope();
  let etcd: TestEtcd;
  let h1: TestHost;
  let h2: TestHost;
  let url: string;
  let folder: string;

  before(async () => {
    const members = ['10.0.4.9:2379'];
    const routes = [['10.0.1.0/24'], ['10.0.3.0/24']];
    ({ etcd, url, folder, h1, h2 } = await openPair(
      scope,
      routes.map((each) => ({ members, routes: each })),
    ));
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

  it('chooses subnets in order, past those of other networks, the routes of both hosts and the store', async () => {
    await h1.networks.create({ ...request('taken'), subnets: [{ subnet: '10.0.0.0/24' }] });
    const subnets = [];
    for (const host of [h1, h2, h1]) {
      const { subnets: got, mtu } = await host.networks.create(request(`auto${subnets.length}`));
      subnets.push(got[0]?.subnet);
      assert.equal(mtu, 1450);
    }
    assert.deepEqual(subnets, ['10.0.2.0/24', '10.0.5.0/24', '10.0.6.0/24']);
  });

  it('passes over the subnets in which the name server is', async () => {
    const pools = [{ range: '169.254.0.0/15', size: 16 }];
    const host = await openHost({ name: 'h3', data: '192.168.205.12', url: `${url}/pools`, folder, pools });
    try {
      assert.equal((await host.networks.create(request('auto'))).subnets[0]?.subnet, '169.255.0.0/16');
    } finally {
      await host.die();
    }
  });

  it('takes no subnet that has the address of the store', async () => {
    await assert.rejects(
      h1.networks.create({ ...request('clash'), subnets: [{ subnet: '10.0.4.8/29' }] }),
      /subnet 10\.0\.4\.8\/29 has the address 10\.0\.4\.9 of the store in it/,
    );
  });

  it('gives IPv6 a subnet of the cluster’s own, beside IPv4', async () => {
    const { subnets, ipv6 } = await h1.networks.create({ ...request('dual'), ipv6: true });
    assert.equal(ipv6, true);
    const prefix = `fd${h1.hosts.cluster.id.slice(0, 2)}:`;
    assert.ok(subnets[1]?.subnet.startsWith(prefix) && subnets[1].subnet.endsWith('::/64'), subnets[1]?.subnet);
  });

  it('names both sides of an overlap, and leaves nothing of the attempt', async () => {
    const before = await held();
    await assert.rejects(h2.networks.create({ ...request('wide'), subnets: [{ subnet: '10.0.0.0/22' }] }), (error) => {
      return (
        error instanceof Refusal &&
        /subnet 10\.0\.0\.0\/22 of network wide overlaps 10\.0\.\d\.0\/24 of network/.test(error.message)
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

  it('has its name put back when that is deleted in the store', async () => {
    const space = { kind: 'networks' } as const;
    const { name, id } = await h1.networks.create(request('nameless'));
    await eventually(() => h2.networks.list().some((network) => network.id === id));
    await h1.state.claims.release(space, name, { id });
    const deadline = Date.now() + 10_000;
    while ((await h1.state.claims.holder(space, name)) === undefined) assert.ok(Date.now() < deadline, 'not put back');
    assert.deepEqual(await h1.state.claims.holder(space, name), { id });
    await assert.rejects(h2.networks.create(request(name)), /already exists/);
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

  it('whose record carries another’s VNI is refused naming both, shown as a problem, and the other works on', async () => {
    const right = await h1.networks.create(request('right'));
    const wrong = await h1.networks.create(request('wrong'));
    await h1.state.catalog.update(wrong.id, (network) => ({ ...network, vni: right.vni }));
    const place = { place: 'network wrong', reason: `has VNI ${right.vni}, as right has` };
    await eventually(() => h2.networks.problems().some((problem) => JSON.stringify(problem) === JSON.stringify(place)));
    await assert.rejects(h2.endpoints.openSandbox({ exit: false, connect: [wish('wrong', 'a')] }), (error) => {
      return error instanceof Refusal && /network wrong cannot be used.*VNI \d+.*of network right/.test(error.message);
    });
    const { id } = await h2.endpoints.openSandbox({ exit: false, connect: [wish('right', 'a')] });
    await h2.endpoints.closeSandbox(id);
    await h1.state.catalog.update(wrong.id, () => wrong);
    for (const name of ['right', 'wrong']) await h1.networks.remove(name);
    await eventually(() => h2.networks.problems().length === 0 && h2.networks.list().length === 0);
  });

  it('gets a smaller MTU for all when a host with a smaller path joins it, and keeps one that was asked for', async () => {
    const options = { 'com.docker.network.driver.mtu': '1420' };
    const { id } = await h1.networks.create(request('chosen'));
    await h1.networks.create({ ...request('asked'), options });
    const there = await h1.endpoints.openSandbox({ exit: false, connect: [wish('chosen', 'a'), wish('asked', 'a')] });
    const mtus = ({ kernel }: TestHost) =>
      [...kernel.pieces.values()].flatMap((piece) => (piece.kind === 'network' ? [piece.mtu] : []));
    assert.deepEqual(mtus(h1), [1450, 1420]);
    const h3 = await openHost({ name: 'h3', data: '192.168.205.12', url, folder, mtu: 1400 });
    try {
      await assert.rejects(h3.endpoints.openSandbox({ exit: false, connect: [wish('asked', 'b')] }), (error) => {
        return (
          error instanceof Refusal && /1420 bytes is too large: the path of host h3 carries 1400/.test(error.message)
        );
      });
      const { id: sandbox } = await h3.endpoints.openSandbox({ exit: false, connect: [wish('chosen', 'b')] });
      assert.deepEqual(mtus(h3), [1350]);
      await eventually(() => mtus(h1).includes(1350));
      assert.equal((await h2.state.catalog.get(id))?.mtu, 1350);
      await h1.die();
      await h1.start();
      assert.deepEqual(
        mtus(h1).sort((a, b) => a - b),
        [1350, 1420],
        'the journal followed',
      );
      await h3.endpoints.closeSandbox(sandbox);
    } finally {
      await h3.die();
    }
    await h1.endpoints.closeSandbox(there.id);
    for (const name of ['chosen', 'asked']) await h1.networks.remove(name);
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
