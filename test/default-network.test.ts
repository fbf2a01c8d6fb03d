import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Sandbox } from '../src/controllers/endpoints/endpoints.ts';
import { findEtcd } from '../src/lab/etcd.ts';
import { Scope } from '../src/lib/scope.ts';
import { startTestEtcd } from '../src/state/kv/harness.contract.ts';
import { eventually, openHost, request, type TestHost, wish } from './piece-host.ts';

/** A container on the default network. */
async function open(host: TestHost, name: string, ...addresses: readonly string[]): Promise<Sandbox> {
  const connect = [{ ...wish('skein', name), ...(addresses.length > 0 && { addresses }) }];
  return await host.endpoints.openSandbox({ exit: true, connect });
}

function addressesOf({ endpoints }: Sandbox): readonly string[] {
  return [...endpoints.values()].flatMap(({ endpoint }) => endpoint.addresses);
}

function subnetsOf(host: TestHost): readonly string[] {
  return host.networks.find('skein').subnets.map(({ subnet }) => subnet);
}

/** The network in the kernel. */
function pieceOf(host: TestHost) {
  return [...host.kernel.pieces.values()].find((piece) => piece.kind === 'network');
}

describe('the default network of one host, without a store', () => {
  const scope = new Scope();
  let host: TestHost;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'skein-default-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    host = await openHost({ name: 'h1', data: '192.168.205.10', url: 'local:', folder });
    scope.defer(() => host.die());
  });
  after(() => scope.close());

  it('is made when it is first used, without a gateway and with names that several hosts may have', async () => {
    assert.deepEqual(host.networks.list(), []);
    assert.deepEqual(addressesOf(await open(host, 'one')), ['10.32.0.1/12']);
    const { subnets, names, apart, internal } = host.networks.find('skein');
    assert.deepEqual([subnets, names, apart, internal], [[{ subnet: '10.32.0.0/12' }], 'shared', true, false]);
    const piece = pieceOf(host);
    assert.deepEqual(piece?.kind === 'network' && [piece.gateways, piece.apart], [[], ['10.32.0.0/12']]);
  });

  it('gives what is asked for in any subnet, several at once, and adds the subnets that it lacks', async () => {
    assert.deepEqual(addressesOf(await open(host, 'two', '10.0.1.1/24', 'net:default')), [
      '10.0.1.1/24',
      '10.32.0.2/12',
    ]);
    assert.deepEqual(addressesOf(await open(host, 'three', 'net:10.0.1.0/24')), ['10.0.1.2/24']);
    assert.deepEqual(addressesOf(await open(host, 'four', '10.32.9.9')), ['10.32.9.9/12']);
    assert.deepEqual(subnetsOf(host), ['10.32.0.0/12', '10.0.1.0/24']);
    await eventually(() => {
      const piece = pieceOf(host);
      return piece?.kind === 'network' && piece.apart?.includes('10.0.1.0/24') === true;
    });
  });

  it('refuses what overlaps its own subnets or those of others, the edges and what is taken, and adds nothing', async () => {
    await host.networks.create({ ...request('other'), subnets: [{ subnet: '10.0.7.0/24' }] });
    for (const [text, message] of [
      ['10.32.1.5/24', /^subnet 10\.32\.1\.0\/24 overlaps 10\.32\.0\.0\/12 of network skein: .*its length, \/12/],
      ['10.0.0.9/16', /^subnet 10\.0\.0\.0\/16 overlaps 10\.0\.1\.0\/24 of network skein/],
      ['10.0.7.9/25', /^subnet 10\.0\.7\.0\/25 of network skein overlaps 10\.0\.7\.0\/24 of network other$/],
      ['192.168.205.9/24', /^subnet 192\.168\.205\.0\/24 overlaps the network between the hosts: host h1 has/],
      ['fd00::9/64', /^fd00::\/64 cannot be had here: the subnets of this network are of IPv4$/],
      ['127.0.0.1/8', /it is loopback/],
      ['10.0.1.0/24', /^address 10\.0\.1\.0 is the network's or broadcast address/],
      ['10.0.1.1/24', /^address 10\.0\.1\.1 is already in use by two on host h1$/],
      ['10.5.5.5', /^address 10\.5\.5\.5 is in no subnet of network skein \(10\.32\.0\.0\/12, 10\.0\.1\.0\/24\)$/],
    ] as const) {
      await assert.rejects(open(host, 'refused', text), { message }, text);
    }
    assert.deepEqual(subnetsOf(host), ['10.32.0.0/12', '10.0.1.0/24']);
  });

  it('gives a subnet to the next who asks, when who took it for the network died before its record said so', async () => {
    const { id, name } = host.networks.find('skein');
    const owner = { host: host.hosts.self.id, id, name };
    await host.state.allocator.take({ kind: 'subnets', ranges: [], avoid: [] }, owner, '10.3.0.0/24');
    await host.journal.commit([{ kind: 'intent', id, put: { network: name } }]);
    await host.die();
    await host.start();
    await eventually(async () => (await host.journal.load('intent')).length === 0);
    assert.ok(!subnetsOf(host).includes('10.3.0.0/24'));
    assert.deepEqual(addressesOf(await open(host, 'after', '10.3.0.1/24')), ['10.3.0.1/24']);
  });

  it('takes no more subnets than a network can have', async () => {
    const { id } = host.networks.find('skein');
    const more = Array.from({ length: 61 }, (_, i) => `10.1.${i}.0/24`);
    await host.networks.use(id, more);
    await assert.rejects(host.networks.use(id, ['10.2.0.0/24']), {
      message: /has 64 subnets, and no more than 64 can be$/,
    });
  });

  it('is there after the host was killed, with all who were on it and what is said of them', async () => {
    const before = host.kernel.pieces.size;
    await host.die();
    await host.start();
    assert.equal(host.kernel.pieces.size, before);
    const piece = pieceOf(host);
    assert.equal(piece?.kind === 'network' && piece.apart?.length, 64);
    assert.deepEqual(addressesOf(await open(host, 'five')), ['10.32.0.3/12']);
  });

  it('can be removed when nobody is on it, and is made anew by the next', async () => {
    await assert.rejects(host.networks.remove('skein'), { kind: 'forbidden' });
    for (const { id } of host.endpoints.sandboxes()) await host.endpoints.closeSandbox(id);
    await host.networks.remove('skein');
    const held = await host.state.allocator.held({ kind: 'subnets', ranges: [], avoid: [] });
    assert.deepEqual(
      held.map(({ item }) => item),
      ['10.0.7.0/24'],
    );
    assert.deepEqual(addressesOf(await open(host, 'new')), ['10.32.0.1/12']);
  });

  it('is the host itself on, in one subnet of it', async () => {
    const { endpoint } = await host.endpoints.expose({ network: 'skein', addresses: ['10.9.0.9/24'] });
    assert.deepEqual(endpoint.addresses, ['10.9.0.9/24']);
    const again = await host.endpoints.expose({ network: 'skein', addresses: ['net:10.9.0.0/24'] });
    assert.equal(again.endpoint.id, endpoint.id);
    await assert.rejects(host.endpoints.expose({ network: 'skein', addresses: ['10.9.0.8/24'] }), { kind: 'conflict' });
  });
});

const skip = findEtcd() === undefined ? 'etcd is not on this machine' : false;

describe('the default network of two hosts on one etcd', { skip }, () => {
  const scope = new Scope();
  let h1: TestHost;
  let h2: TestHost;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'skein-default-'));
    scope.defer(() => rm(folder, { recursive: true, force: true }));
    const etcd = await startTestEtcd();
    scope.defer(() => etcd.close());
    const url = etcd.url.replace('http', 'etcd');
    h1 = await openHost({ name: 'h1', data: '192.168.205.10', url, folder });
    scope.defer(() => h1.die());
    h2 = await openHost({ name: 'h2', data: '192.168.205.11', url, folder });
    scope.defer(() => h2.die());
    await eventually(() => h1.hosts.list().length === 2 && h2.hosts.list().length === 2);
  });
  after(() => scope.close());

  it('is one, though both make it at the same moment, again and again', async () => {
    for (let round = 0; round < 5; round++) {
      const all = [open(h1, 'a'), open(h2, 'a'), open(h1, 'b'), open(h2, 'b', `10.0.${round}.2/24`)];
      const sandboxes = await Promise.all(all);
      const ids = new Set(sandboxes.flatMap(({ endpoints }) => [...endpoints.keys()]));
      assert.equal(ids.size, 1);
      const addresses = sandboxes.flatMap(addressesOf);
      assert.equal(new Set(addresses).size, 4, addresses.join(' '));
      for (const host of [h1, h2]) {
        for (const { id } of host.endpoints.sandboxes()) await host.endpoints.closeSandbox(id);
      }
      await eventually(() => h1.networks.list().length === 1 && h2.networks.list().length === 1);
      await h2.networks.remove('skein');
      await eventually(() => h1.networks.list().length === 0);
    }
    const held = await h1.state.allocator.held({ kind: 'subnets', ranges: [], avoid: [] });
    assert.deepEqual(held, []);
  });

  it('has a subnet that another adds, and who is in it, in every kernel; two that add at once add both', async () => {
    await open(h1, 'old');
    await eventually(() => h2.networks.list().length === 1);
    await Promise.all([
      open(h1, 'here', '10.0.1.1/24'),
      open(h2, 'there', '10.0.2.1/24'),
      open(h2, 'same', '10.0.1.2/24'),
    ]);
    for (const host of [h1, h2]) {
      await eventually(() => {
        const piece = pieceOf(host);
        const known = piece?.kind === 'network' ? (piece.apart ?? []).toSorted() : [];
        return known.join(' ') === '10.0.1.0/24 10.0.2.0/24 10.32.0.0/12';
      });
    }
    await eventually(() => h1.kernel.kinds()['remote'] === 2 && h2.kernel.kinds()['remote'] === 2);
  });

  it('gets a subnet back that its record lost, from who is in it', async () => {
    const { id } = h1.networks.find('skein');
    await h1.state.catalog.update(id, (now) => ({ ...now, subnets: now.subnets.slice(0, 1) }));
    await eventually(() => subnetsOf(h1).length === 3 && subnetsOf(h2).length === 3);
    await eventually(() => h1.kernel.kinds()['remote'] === 2 && h2.kernel.kinds()['remote'] === 2);
  });
});
