import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { parseSandboxRecord } from '../src/controllers/endpoints/sandbox-record.ts';
import { keyOf } from '../src/dataplane/dataplane.ts';
import { Refusal } from '../src/lib/errors.ts';
import { Scope } from '../src/lib/scope.ts';
import type { TestEtcd } from '../src/state/kv/harness.contract.ts';
import { eventually, openHost, openPair, request, type TestHost, wish } from './piece-host.ts';

describe('endpoints of two hosts on one etcd', () => {
  const scope = new Scope();
  let etcd: TestEtcd;
  let url: string;
  let folder: string;
  let h1: TestHost;
  let h2: TestHost;

  before(async () => {
    ({ etcd, url, folder, h1, h2 } = await openPair(scope));
    await h1.networks.create(request('demo'));
    await eventually(() => h2.networks.list().length === 1);
  });

  after(() => scope.close());

  it('gives addresses in order over both hosts, and each kernel learns of the other', async () => {
    const one = await h1.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'test1')] });
    const two = await h2.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'test2')] });
    const [test1] = one.endpoints.values();
    const [test2] = two.endpoints.values();
    assert.deepEqual(test1?.endpoint.addresses, ['10.0.0.2/24']);
    assert.equal(test1?.endpoint.mac, '02:42:0a:00:00:02');
    assert.equal(test1?.interface, 'eth0');
    assert.equal(one.exit?.interface, 'eth1');
    assert.deepEqual(test2?.endpoint.addresses, ['10.0.0.3/24']);
    await eventually(() => h1.kernel.kinds()['remote'] === 1);
    const remote = [...h1.kernel.pieces.values()].find((piece) => piece.kind === 'remote');
    assert.deepEqual(remote?.kind === 'remote' && [remote.via, remote.mac, remote.addresses], [
      '192.168.205.11',
      '02:42:0a:00:00:03',
      ['10.0.0.3'],
    ]);
    assert.deepEqual(h2.kernel.kinds(), {
      underlay: 1,
      peer: 1,
      gateway: 1,
      sandbox: 1,
      network: 1,
      port: 1,
      exit: 1,
      remote: 1,
    });
  });

  it('refuses a second endpoint of the same name with the host that has it, and leaves nothing of the attempt', async () => {
    const kinds = h2.kernel.kinds();
    await assert.rejects(h2.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'test1')] }), {
      message: 'service endpoint with name test1 already exists on host h1',
    });
    await assert.rejects(h2.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'Test1')] }), {
      message: 'service endpoint with name Test1 already exists on host h1',
    });
    assert.deepEqual(h2.kernel.kinds(), kinds);
    assert.equal(h2.endpoints.sandboxes().length, 1);
    assert.deepEqual(await h2.journal.load('sandbox').then((entries) => entries.length), 1);
    const next = await h2.endpoints.openSandbox({ exit: false, connect: [wish('demo', 'test3')] });
    assert.deepEqual(
      [...next.endpoints.values()][0]?.endpoint.addresses,
      ['10.0.0.4/24'],
      'an address that was never in use does not rest',
    );
    await h2.endpoints.closeSandbox(next.id);
  });

  it('says who holds an address that is wished for', async () => {
    const connect = [{ ...wish('demo', 'test4'), ip: '10.0.0.2' }];
    await assert.rejects(h2.endpoints.openSandbox({ exit: false, connect }), {
      message: 'address 10.0.0.2 is already in use by test1 on host h1',
    });
  });

  it('takes a failed attach back, in the kernel and in the store, whichever end the kernel refuses', async () => {
    for (const refused of ['sandbox', 'exit', 'port'] as const) {
      const kinds = h1.kernel.kinds();
      h1.kernel.failure = { of: refused, error: new Error('add veth: no') };
      const attach = h1.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'unlucky')] });
      await assert.rejects(attach, /add veth: no/);
      assert.deepEqual(h1.kernel.kinds(), kinds);
      const { id } = h1.networks.find('demo');
      const names = (await h1.endpoints.list(id)).map(({ endpoint }) => endpoint.name);
      assert.deepEqual(names.sort(), ['test1', 'test2']);
      assert.equal(await h1.state.claims.holder({ kind: 'endpoints', network: id }, 'unlucky'), undefined);
    }
  });

  it('tries again in the background what the kernel would not remove, the network and its remote endpoints with it', async () => {
    await h1.networks.create(request('stuck'));
    await eventually(() => h2.networks.list().some(({ name }) => name === 'stuck'));
    const far = await h2.endpoints.openSandbox({ exit: false, connect: [wish('stuck', 'far')] });
    const kinds = h1.kernel.kinds();
    const near = await h1.endpoints.openSandbox({ exit: false, connect: [wish('stuck', 'near')] });
    await eventually(() => h1.kernel.kinds()['remote'] === (kinds['remote'] ?? 0) + 1);
    h1.kernel.stuck = new Error('remove link: busy');
    await h1.endpoints.closeSandbox(near.id);
    const { id } = h1.networks.find('stuck');
    assert.equal((await h1.state.claims.holder({ kind: 'endpoints', network: id }, 'near'))?.host, h1.hosts.self.id);
    h1.kernel.stuck = undefined;
    await eventually(
      async () => (await h1.state.claims.holder({ kind: 'endpoints', network: id }, 'near')) === undefined,
    );
    assert.deepEqual(h1.kernel.kinds(), kinds);
    await h2.endpoints.closeSandbox(far.id);
    await h1.networks.remove('stuck');
  });

  it('lets each host have a name of its own where names are shared, and finds it again', async () => {
    await h1.networks.create({ ...request('many'), names: 'shared' });
    await eventually(() => h2.networks.list().some(({ name }) => name === 'many'));
    const { id: network } = h1.networks.find('many');
    const near = await h1.endpoints.openSandbox({ exit: false, connect: [wish('many', 'svc1')] });
    const far = await h2.endpoints.openSandbox({ exit: false, connect: [wish('many', 'svc1')] });
    await assert.rejects(h1.endpoints.openSandbox({ exit: false, connect: [wish('many', 'svc1')] }), {
      message: 'service endpoint with name svc1 already exists on host h1',
    });
    await eventually(async () => (await h1.endpoints.list(network)).length === 2);
    const holders = (await h1.endpoints.list(network)).map(({ endpoint }) => `${endpoint.name} ${endpoint.host}`);
    assert.deepEqual(new Set(holders), new Set([h1, h2].map((each) => `svc1 ${each.hosts.self.id}`)));
    const space = (host: TestHost) => ({ kind: 'endpoints', network, host: host.hosts.self.id }) as const;
    await h1.state.claims.release(space(h1), 'svc1', { id: near.endpoints.get(network)?.endpoint.id ?? '' });
    await eventually(async () => (await h1.state.claims.holder(space(h1), 'svc1')) !== undefined);
    await h1.die();
    await h1.start();
    assert.deepEqual(await h1.endpoints.list(network).then((all) => all.map(({ endpoint }) => endpoint.name)), [
      'svc1',
      'svc1',
    ]);
    await h1.endpoints.closeSandbox(near.id);
    assert.equal(await h1.state.claims.holder(space(h1), 'svc1'), undefined);
    assert.notEqual(await h2.state.claims.holder(space(h2), 'svc1'), undefined);
    await h2.endpoints.closeSandbox(far.id);
    await h1.networks.remove('many');
  });

  it('does not remove a network that has endpoints, and names them', async () => {
    await assert.rejects(h2.networks.remove('demo'), (error) => {
      return error instanceof Refusal && error.kind === 'forbidden' && /name:"test1".*host:"h1"/.test(error.message);
    });
    const demo = h1.networks.find('demo');
    assert.equal((await h1.state.catalog.get(demo.id))?.removing, undefined);
  });

  it('finds everything again after the daemon died: the kernel has nothing to change', async () => {
    const kinds = h1.kernel.kinds();
    await h1.die();
    await h1.start();
    assert.deepEqual(h1.kernel.kinds(), kinds);
    assert.equal(h1.endpoints.sandboxes()[0]?.endpoints.size, 1);
  });

  it('undoes at the start what was begun when the daemon died', async () => {
    const { id } = h1.networks.find('demo');
    const endpoint = randomBytes(32).toString('hex');
    const owner = {
      host: h1.endpoints.sandboxes()[0]?.endpoints.get(id)?.endpoint.host ?? '',
      id: endpoint,
      name: 'half',
    };
    const place = { id: endpoint, network: id, name: 'half', interface: 'eth0', port: 'veth9', state: 'connecting' };
    const record = { id: 'abcdefabcdef', bootId: 'boot-1', places: [place] };
    await h1.journal.commit([{ kind: 'sandbox', id: record.id, put: record }]);
    const pool = { kind: 'addresses', network: id, range: '10.0.0.0/24', reserved: ['10.0.0.1'] } as const;
    await h1.state.claims.claim({ kind: 'endpoints', network: id }, 'half', { id: endpoint, host: owner.host });
    const item = await h1.state.allocator.take(pool, owner);
    await h1.die();
    await h1.start();
    assert.equal(h1.endpoints.sandboxes().length, 1);
    assert.equal(await h1.state.claims.holder({ kind: 'endpoints', network: id }, 'half'), undefined);
    const held = await h1.state.allocator.held(pool);
    assert.ok(!held.some((other) => other.item === item), `${item} was given back`);
  });

  it('gives back at the start what stands under its id in the store and in no journal', async () => {
    const { id } = h1.networks.find('demo');
    const [sandbox] = h1.endpoints.sandboxes();
    const known = sandbox?.endpoints.get(id)?.endpoint;
    assert.ok(known);
    const stray = { ...known, id: randomBytes(32).toString('hex'), name: 'late', addresses: ['10.0.0.77/24'] };
    const pool = { kind: 'addresses', network: id, range: '10.0.0.0/24', reserved: ['10.0.0.1'] } as const;
    await h1.state.allocator.take(pool, { host: known.host, id: stray.id, name: 'late' }, '10.0.0.77');
    await h1.state.claims.claim({ kind: 'endpoints', network: id }, 'late', { id: stray.id, host: known.host });
    await h1.state.registry.publish({ kind: 'endpoint', endpoint: stray });
    await h1.die();
    await h1.start();
    const names = async () => (await h2.state.registry.list({ kind: 'endpoints', network: id })).length;
    await eventually(async () => (await names()) === 2);
    await eventually(async () => !(await h2.state.allocator.held(pool)).some(({ item }) => item === '10.0.0.77'));
    assert.equal(await h2.state.claims.holder({ kind: 'endpoints', network: id }, 'late'), undefined);
    assert.equal((await h2.state.claims.holder({ kind: 'endpoints', network: id }, 'test1'))?.host, known.host);
  });

  it('puts the record of its endpoint back when another takes it away', async () => {
    const { id } = h1.networks.find('demo');
    const endpoint = h1.endpoints.sandboxes()[0]?.endpoints.get(id)?.endpoint;
    assert.ok(endpoint);
    await h2.state.registry.withdraw({ kind: 'endpoints', network: id }, endpoint.id);
    await eventually(async () => {
      const entries = await h2.state.registry.list({ kind: 'endpoints', network: id });
      return entries.some(({ record }) => record.kind === 'endpoint' && record.endpoint.id === endpoint.id);
    });
  });

  it('puts its name back when another takes the claim away, and takes another name when that has an owner', async () => {
    const { id: network } = h1.networks.find('demo');
    const { claims, registry } = h2.state;
    const space = { kind: 'endpoints', network } as const;
    const own = () => h1.endpoints.sandboxes()[0]?.endpoints.get(network)?.endpoint;
    const { id = '', name = '' } = own() ?? {};
    await claims.release(space, name, { id });
    await eventually(async () => (await claims.holder(space, name))?.id === id);
    const other = { id: randomBytes(32).toString('hex'), host: h2.hosts.self.id };
    await h1.die();
    await claims.release(space, name, { id });
    await claims.claim(space, name, other);
    await h1.start();
    const renamed = `${name}-${id.slice(0, 12)}`;
    await eventually(() => own()?.name === renamed);
    await eventually(async () => (await claims.holder(space, renamed))?.id === id);
    assert.equal((await claims.holder(space, name))?.id, other.id);
    const shown = await registry.list({ kind: 'endpoints', network });
    assert.ok(shown.some(({ record }) => record.kind === 'endpoint' && record.endpoint.name === renamed));
    await h1.die();
    await h1.start();
    assert.equal(own()?.name, renamed);
    await claims.release(space, name, other);
  });

  it('goes off a network when its address was given to another, and is off after the next start', async () => {
    const { id: network } = h1.networks.find('demo');
    const opened = await h1.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'evicted')] });
    const endpoint = opened.endpoints.get(network)?.endpoint;
    const address = endpoint?.addresses[0]?.replace(/\/.*/, '') ?? '';
    const pool = { kind: 'addresses', network, range: '10.0.0.0/24', reserved: ['10.0.0.1'] } as const;
    const owner = { host: h1.hosts.self.id, id: endpoint?.id ?? '', name: 'evicted' };
    const other = { host: h2.hosts.self.id, id: randomBytes(32).toString('hex'), name: 'other' };
    await h1.die();
    await h2.state.allocator.give(pool, owner, address);
    await h2.state.allocator.take(pool, other, address);
    await h2.state.registry.withdraw({ kind: 'endpoints', network }, owner.id);
    await h1.start();
    await eventually(() => h1.endpoints.sandbox(opened.id)?.endpoints.size !== 1);
    assert.equal(await h2.state.claims.holder({ kind: 'endpoints', network }, 'evicted'), undefined);
    assert.ok(
      (await h2.state.allocator.held(pool)).some(({ item, owner: { id } }) => item === address && id === other.id),
    );
    await h2.state.allocator.give(pool, other, address, { unused: true });
    await h1.endpoints.closeSandbox(opened.id);
  });

  it('lets nobody take an endpoint off by force whose host lives', async () => {
    const demo = h2.networks.find('demo');
    const name = h1.endpoints.sandboxes()[0]?.endpoints.get(demo.id)?.endpoint.name ?? '';
    await assert.rejects(
      h2.endpoints.expel(demo, name),
      /is on host h1, which is alive: disconnect it from demo there/,
    );
    await assert.rejects(h2.endpoints.expel(demo, 'nobody'), /nobody is not connected to network demo/);
  });

  it('lets no record take what one of its own endpoints has, nor the gateway’s address or one outside', async () => {
    const { id } = h1.networks.find('demo');
    const [sandbox] = h1.endpoints.sandboxes();
    const ours = sandbox?.endpoints.get(id)?.endpoint;
    const theirs = (await h1.endpoints.list(id)).find(({ endpoint }) => endpoint.host !== ours?.host)?.endpoint;
    assert.ok(ours !== undefined && theirs !== undefined);
    const remotes = () => [...h1.kernel.pieces.values()].filter(({ kind }) => kind === 'remote').length;
    assert.equal(remotes(), 1);
    const free = { mac: '02:42:0a:00:00:99', addresses: ['10.0.0.99/24'] };
    const lies = [
      { ...free, mac: ours.mac },
      { ...free, addresses: ours.addresses },
      { ...free, mac: theirs.mac },
      { ...free, addresses: ['10.0.0.1/24'] },
      { ...free, addresses: ['10.9.9.9/24'] },
    ].map((lie) => ({ ...theirs, ...lie, id: randomBytes(32).toString('hex'), created: new Date().toISOString() }));
    for (const endpoint of lies) await h2.state.registry.publish({ kind: 'endpoint', endpoint });
    await h2.state.registry.publish({
      kind: 'endpoint',
      endpoint: { ...theirs, ...free, mac: '02:42:0a:00:00:98', addresses: ['10.0.0.98/24'], id: 'f'.repeat(64) },
    });
    await eventually(() => remotes() === 2);
    assert.equal(remotes(), 2);
    for (const lie of ['f'.repeat(64), ...lies.map((endpoint) => endpoint.id)]) {
      await h2.state.registry.withdraw({ kind: 'endpoints', network: id }, lie);
    }
    await eventually(() => remotes() === 1);
  });

  it('takes the network out of the kernel with its last endpoint, and the network goes', async () => {
    for (const { id } of h1.endpoints.sandboxes()) await h1.endpoints.closeSandbox(id);
    assert.deepEqual(h1.kernel.kinds(), { underlay: 1, peer: 1, gateway: 1 });
    for (const { id } of h2.endpoints.sandboxes()) await h2.endpoints.closeSandbox(id);
    await h2.networks.remove('demo');
    await eventually(() => h1.networks.list().length === 0);
    await h1.networks.create(request('demo'));
    assert.equal(h1.networks.find('demo').subnets[0]?.subnet.slice(-3), '/24');
  });

  it('attaches a namespace of others once, and lets it go with its last endpoint', async () => {
    const adopt = { path: '/run/netns/foreign' };
    const [first, second] = await Promise.allSettled([
      h1.endpoints.openSandbox({ adopt, exit: false, connect: [wish('demo', 'foreign')] }),
      h1.endpoints.openSandbox({ adopt, exit: false, connect: [wish('demo', 'foreign')] }),
    ]);
    assert.deepEqual([first.status, second.status].sort(), ['fulfilled', 'rejected']);
    const [sandbox] = h1.endpoints.sandboxes();
    assert.ok(sandbox);
    await assert.rejects(h1.endpoints.detach({ path: '/run/netns/other' }, 'demo'), /not attached to any network/);
    await h1.endpoints.detach(adopt, 'demo');
    assert.equal(h1.endpoints.sandboxes().length, 0);
  });

  it('takes a way out back that was added by an attach that failed, and gives it when asked again', async () => {
    const adopt = { path: '/run/netns/late' };
    await h1.networks.create(request('other'));
    await h1.endpoints.openSandbox({ adopt, exit: false, connect: [wish('demo', 'late')] });
    const kinds = h1.kernel.kinds();
    const dns = ['192.0.2.53'];
    const attach = () => h1.endpoints.openSandbox({ adopt, exit: true, dns, connect: [wish('other', 'late')] });
    const journalled = async () => {
      const entries = await h1.journal.load('sandbox');
      return entries.map(({ id, value }) => parseSandboxRecord(value, id).dns);
    };
    for (const refused of ['exit', 'port'] as const) {
      h1.kernel.failure = { of: refused, error: new Error('add veth: no') };
      await assert.rejects(attach(), /add veth: no/);
      assert.deepEqual(h1.kernel.kinds(), kinds);
      assert.deepEqual(
        h1.endpoints.sandboxes().map(({ exit }) => exit),
        [undefined],
      );
    }
    assert.deepEqual(await journalled(), [undefined]);
    const sandbox = await attach();
    assert.deepEqual([sandbox.exit?.addresses[0], h1.kernel.kinds()['exit']], ['172.18.0.2/16', 1]);
    assert.deepEqual(await journalled(), [dns], 'who it asks is as was said last');
    await h1.endpoints.closeSandbox(sandbox.id);
    await h1.networks.remove('other');
  });

  it('is on networks itself as one sandbox, over its deaths, and goes off them again', async () => {
    await h1.networks.create(request('more'));
    await eventually(() => h2.networks.list().some(({ name }) => name === 'more'));
    const before = h1.kernel.kinds();
    h1.kernel.failure = { of: 'port', error: new Error('add veth: no') };
    await assert.rejects(h1.endpoints.expose({ network: 'demo' }), /add veth: no/);
    assert.deepEqual(h1.kernel.kinds(), before);
    const hosts = () => h1.endpoints.sandboxes().filter(({ host }) => host);
    assert.deepEqual(hosts(), []);
    // What is taken back late takes nothing from who was quicker.
    const gone = await h1.endpoints.expose({ network: 'demo' });
    h1.kernel.stuck = new Error('remove link: busy');
    await h1.endpoints.closeSandbox(gone.endpoint.sandbox.id);
    const quick = await h1.endpoints.expose({ network: 'more' });
    h1.kernel.stuck = undefined;
    const { id: failed } = h1.networks.find('demo');
    await eventually(
      async () => (await h1.state.claims.holder({ kind: 'endpoints', network: failed }, 'h1')) === undefined,
    );
    assert.deepEqual(
      hosts().map(({ endpoints }) => [...endpoints.keys()]),
      [[quick.endpoint.network]],
    );
    assert.ok(h1.kernel.pieces.has(keyOf({ kind: 'sandbox', id: quick.endpoint.sandbox.id })));
    await h1.endpoints.closeSandbox(quick.endpoint.sandbox.id);
    assert.deepEqual([h1.kernel.kinds(), hosts()], [before, []]);

    const [demo, more] = await Promise.all([
      h1.endpoints.expose({ network: 'demo', masquerade: false }),
      h1.endpoints.expose({ network: 'more', name: 'edge.skein.local' }),
    ]);
    assert.deepEqual([demo.endpoint.name, demo.endpoint.aliases, demo.masquerade], ['h1', [], false]);
    assert.deepEqual([more.endpoint.name, more.endpoint.aliases, more.masquerade], ['edge', ['h1'], true]);
    assert.match(demo.interface, /^skein-[0-9a-f]{9}$/);
    const [sandbox, ...rest] = hosts();
    assert.deepEqual([sandbox?.endpoints.size, rest], [2, []]);
    const ports = () =>
      [...h1.kernel.pieces.values()]
        .flatMap((piece) => (piece.kind === 'port' ? [`${piece.interface} ${piece.forwards}`] : []))
        .toSorted();
    const wanted = [`${demo.interface} as-it-came`, `${more.interface} masqueraded`].toSorted();
    assert.deepEqual(
      ports().filter((text) => text.startsWith('skein-')),
      wanted,
    );

    assert.equal((await h1.endpoints.expose({ network: 'demo' })).endpoint.id, demo.endpoint.id);
    for (const wishes of [{ ip: '10.0.0.77' }, { name: 'other' }, { masquerade: true }]) {
      await assert.rejects(
        h1.endpoints.expose({ network: 'demo', ...wishes }),
        /this host is on network demo already, as h1 with \S+, without masquerade: hide it first/,
      );
    }
    await assert.rejects(h2.endpoints.expose({ network: 'demo', name: 'x'.repeat(64) }), /cannot give the name/);
    await assert.rejects(h2.endpoints.expose({ network: 'demo', name: 'h1' }), /name h1 already exists on host h1/);
    assert.deepEqual(
      h2.endpoints.sandboxes().filter(({ host }) => host),
      [],
    );
    await assert.rejects(h2.networks.remove('more'), /active endpoints/);
    await assert.rejects(
      h1.endpoints.expel(h1.networks.find('demo'), 'h1'),
      /h1 is this host itself: take it off with skein hide --network demo/,
    );

    await h1.die();
    h1.kernel.pieces.clear();
    await h1.start();
    assert.deepEqual(
      ports().filter((text) => text.startsWith('skein-')),
      wanted,
    );
    assert.equal((await h1.endpoints.expose({ network: 'demo' })).endpoint.id, demo.endpoint.id);

    await assert.rejects(h1.endpoints.hide('demo', '10.0.0.77'), /this host has \S+ on that network, not 10\.0\.0\.77/);
    await assert.rejects(h1.endpoints.hide('nowhere'), /not found/);
    for (const network of ['demo', 'more']) assert.ok(await h1.endpoints.hide(network));
    assert.equal(await h1.endpoints.hide('demo'), undefined);
    assert.deepEqual(
      ports().filter((text) => text.startsWith('skein-')),
      [],
    );
    await h2.networks.remove('more');
    // The sandbox stays, without a place, and is used again.
    await h1.die();
    await h1.start();
    assert.deepEqual(
      hosts().map(({ endpoints }) => endpoints.size),
      [0],
    );
    const again = await h1.endpoints.expose({ network: 'demo' });
    assert.deepEqual(
      hosts().map(({ id }) => id),
      [again.endpoint.sandbox.id],
    );
    await h1.endpoints.closeSandbox(again.endpoint.sandbox.id);
    for (const { id } of h1.endpoints.sandboxes()) await h1.endpoints.closeSandbox(id);
  });

  it('refuses a network that it was never on while the store is away, and forwards no more than before', async () => {
    await h1.networks.create({ ...request('six'), subnets: [{ subnet: 'fd66::/64' }] });
    const { endpoint } = await h1.endpoints.expose({ network: 'demo' });
    const { id } = endpoint.sandbox;
    const forwards = async () => {
      const piece = h1.kernel.pieces.get(keyOf({ kind: 'sandbox', id }));
      const journalled = (await h1.journal.load('sandbox')).find((entry) => entry.id === id)?.value;
      return [piece?.kind === 'sandbox' && piece.host, parseSandboxRecord(journalled, 'the journal').host];
    };
    assert.deepEqual(await forwards(), [{ forwards: [4] }, { forwards: [4] }]);
    h1.kernel.failure = { of: 'port', error: new Error('add veth: no') };
    await assert.rejects(h1.endpoints.expose({ network: 'six' }), /add veth: no/);
    assert.deepEqual(await forwards(), [{ forwards: [4] }, { forwards: [4] }]);
    await etcd.stop();
    const began = performance.now();
    const exposing = h1.endpoints.expose({ network: 'six' });
    await assert.rejects(exposing, (error) => error instanceof Refusal && error.kind === 'unavailable');
    assert.ok(performance.now() - began < 3 * 5_000, `it took ${performance.now() - began} ms`);
    assert.deepEqual(await forwards(), [{ forwards: [4] }, { forwards: [4] }]);
    await etcd.start();
    await eventually(async () => (await h1.endpoints.expose({ network: 'six' }).catch(() => undefined)) !== undefined);
    assert.deepEqual(await forwards(), [{ forwards: [4, 6] }, { forwards: [4, 6] }]);
    await h1.endpoints.closeSandbox(id);
    await h1.networks.remove('six');
  });

  it('says what comes into the way of a network that it is on, and joins none that has something there', async () => {
    await h1.networks.create({ ...request('late'), subnets: [{ subnet: '10.77.0.0/24' }] });
    const way = [{ prefix: '10.77.0.128/25', interface: 'tun0' }];
    h1.kernel.routes = way;
    await assert.rejects(h1.endpoints.expose({ network: 'late' }), /reaches otherwise \(10\.77\.0\.128\/25 by tun0\)/);
    h1.kernel.routes = [];
    const { endpoint } = await h1.endpoints.expose({ network: 'late' });
    assert.deepEqual(h1.endpoints.problems(), []);
    await h1.die();
    h1.kernel.routes = way;
    await h1.start();
    await eventually(() => h1.endpoints.problems().length > 0);
    const [problem] = h1.endpoints.problems();
    assert.deepEqual([problem?.kind, problem?.network], ['clash', endpoint.network]);
    assert.match(
      problem?.sentence ?? '',
      /network late, .* \(10\.77\.0\.128\/25 by tun0\).* skein hide --network late/,
    );
    assert.ok(await h1.endpoints.hide('late'));
    assert.deepEqual(h1.endpoints.problems(), []);
    h1.kernel.routes = [];
    for (const { id } of h1.endpoints.sandboxes()) await h1.endpoints.closeSandbox(id);
    await h1.networks.remove('late');
  });

  it('joins no internal network without masquerade: nothing is forwarded there', async () => {
    await h1.networks.create({ ...request('inner'), internal: true });
    await assert.rejects(h1.endpoints.expose({ network: 'inner', masquerade: false }), /inner is internal: nothing is/);
    const { endpoint, interface: device } = await h1.endpoints.expose({ network: 'inner' });
    const port = [...h1.kernel.pieces.values()].find((piece) => piece.kind === 'port' && piece.interface === device);
    assert.ok(port?.kind === 'port' && port.forwards === undefined);
    await h1.endpoints.closeSandbox(endpoint.sandbox.id);
    await h1.networks.remove('inner');
  });

  it('makes hundreds of endpoints at once, each with an address of its own', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `many${i}`);
    const opened = await Promise.all(
      names.map((name) => h1.endpoints.openSandbox({ exit: true, connect: [wish('demo', name)] })),
    );
    const addresses = opened.flatMap(({ endpoints }) =>
      [...endpoints.values()].flatMap(({ endpoint }) => endpoint.addresses),
    );
    assert.equal(new Set(addresses).size, 100);
    assert.equal(new Set(opened.flatMap(({ endpoints }) => [...endpoints.values()].map(({ port }) => port))).size, 100);
    assert.equal(new Set(opened.map(({ exit }) => exit?.addresses[0])).size, 100);
    await Promise.all(opened.map(({ id }) => h1.endpoints.closeSandbox(id)));
    assert.deepEqual(h1.kernel.kinds(), { underlay: 1, peer: 1, gateway: 1 });
  });

  it('starts where the gateway bridge can have no network, and answers names there once it has one', async () => {
    const listen = [
      { address: 'gateway', port: 53 },
      { address: '192.168.205.12', port: 5353 },
    ];
    const h3 = await openHost({ name: 'h3', data: '192.168.205.12', url, folder, listen, busy: ['172.16.0.0/12'] });
    try {
      const places = () =>
        [...h3.kernel.pieces.values()].flatMap((piece) =>
          piece.kind === 'listener' ? [`${piece.address} ${piece.port}`] : [],
        );
      assert.deepEqual([places(), h3.kernel.kinds()['gateway']], [['192.168.205.12 5353'], undefined]);
      await assert.rejects(h3.endpoints.openSandbox({ exit: true }), /skein_gwbridge gets no network/);
      h3.kernel.routes = [];
      const sandbox = await h3.endpoints.openSandbox({ exit: true });
      assert.deepEqual(
        places().filter((place) => !place.startsWith('fd')),
        ['192.168.205.12 5353', '172.18.0.1 53'],
      );
      assert.equal(places().length, 3);
      await h3.endpoints.closeSandbox(sandbox.id);
    } finally {
      await h3.die();
    }
  });
});
