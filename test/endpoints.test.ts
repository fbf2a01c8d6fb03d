import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type OpenedEndpoints, openEndpoints } from '../src/controllers/endpoints/open.ts';
import { openHosts } from '../src/controllers/hosts/open.ts';
import type { Networks } from '../src/controllers/networks/networks.ts';
import { openNetworks } from '../src/controllers/networks/open.ts';
import { type Change, type Dataplane, keyOf, type Piece, type PieceKey } from '../src/dataplane/dataplane.ts';
import { findEtcd } from '../src/lab/etcd.ts';
import { Refusal } from '../src/lib/errors.ts';
import { silent } from '../src/lib/log.ts';
import { Scope } from '../src/lib/scope.ts';
import type { Host } from '../src/model/host.ts';
import type { Journal } from '../src/state/journal.ts';
import { startTestEtcd, type TestEtcd } from '../src/state/kv/harness.contract.ts';
import { openJournal } from '../src/state/kv/local/journal.ts';
import { openState, type State } from '../src/state/kv/open.ts';
import { parseStoreUrl } from '../src/state/kv/url.ts';

/** A kernel of pieces: refuses what has nothing to stand on, as the real one would. */
class PieceKernel implements Pick<Dataplane, 'set' | 'change' | 'adopt' | 'look'> {
  readonly pieces = new Map<PieceKey, Piece>();
  readonly bootId: string;
  /** Makes the next change fail. */
  failure: Error | undefined;

  constructor(bootId: string) {
    this.bootId = bootId;
  }

  async set(pieces: readonly Piece[]) {
    const before = JSON.stringify([...this.pieces.values()].map((piece) => JSON.stringify(piece)).sort());
    this.pieces.clear();
    for (const piece of pieces) this.pieces.set(keyOf(piece), piece);
    this.#check();
    const now = JSON.stringify([...this.pieces.values()].map((piece) => JSON.stringify(piece)).sort());
    return { steps: before === now ? [] : ['changed'] };
  }

  async change({ put = [], remove = [] }: Change) {
    if (this.failure !== undefined && put.some(({ kind }) => kind === 'port')) {
      const { failure } = this;
      this.failure = undefined;
      throw failure;
    }
    for (const key of remove) this.pieces.delete(key);
    for (const piece of put) this.pieces.set(keyOf(piece), piece);
    this.#check();
  }

  async adopt(source: { readonly path: string } | { readonly pid: number }) {
    return { bootId: this.bootId, inode: 'path' in source ? source.path : String(source.pid) };
  }

  async look() {
    return { bootId: this.bootId, interfaces: [], routes: [] };
  }

  kinds(): Record<string, number> {
    const kinds: Record<string, number> = {};
    for (const { kind } of this.pieces.values()) kinds[kind] = (kinds[kind] ?? 0) + 1;
    return kinds;
  }

  #check(): void {
    for (const piece of this.pieces.values()) {
      if ('network' in piece) {
        assert.ok(this.pieces.has(keyOf({ kind: 'network', id: piece.network })), `${piece.kind} without its network`);
      }
      if (piece.kind === 'port' || piece.kind === 'exit') {
        assert.ok(this.pieces.has(keyOf({ kind: 'sandbox', id: piece.sandbox })), `${piece.kind} without its sandbox`);
      }
    }
  }
}

interface TestHost {
  readonly name: string;
  readonly kernel: PieceKernel;
  state: State;
  journal: Journal;
  networks: Networks;
  endpoints: OpenedEndpoints;
  /** As SIGKILL would: nothing is given back, the journal stays. */
  die(): Promise<void>;
  start(): Promise<void>;
}

let folder: string;
let etcd: TestEtcd | undefined;
const scope = new Scope();

async function openHost(name: string, data: string, storeUrl: string): Promise<TestHost> {
  const id = randomBytes(16).toString('hex');
  const kernel = new PieceKernel('boot-1');
  const home = join(folder, `${name}-${id.slice(0, 6)}`);
  let epoch = 0;
  let life = new Scope();
  const open = async () => {
    epoch += 1;
    life = new Scope();
    const journal = await openJournal(`${home}.db`);
    life.defer(() => journal.close());
    const proposal = {
      id: randomBytes(32).toString('hex'),
      generation: 1,
      featureLevel: 1,
      created: new Date().toISOString(),
      dataPort: 4789,
      underlay: 4 as const,
    };
    const url = parseStoreUrl(storeUrl);
    const state = await openState({
      url,
      defaultPath: `${home}-store.db`,
      host: id,
      epoch,
      proposal,
      place: home,
      log: silent,
    });
    life.defer(() => state.close());
    const self: Host = {
      id,
      name,
      key: randomBytes(32).toString('base64'),
      advertise: `${data}:2376`,
      data,
      mtu: 1500,
      routes: [],
      version: '0',
      featureLevel: 1,
      epoch,
      bootId: kernel.bootId,
      started: new Date().toISOString(),
    };
    const { registry, catalog, allocator, claims, cluster } = state;
    const log = silent;
    const hosts = await openHosts({ registry, log, now: Date.now }, { self, cluster });
    life.defer(() => hosts.close());
    const pools = [{ range: '10.0.0.0/8', size: 24 }];
    const networks = await openNetworks({ catalog, allocator, claims, registry, journal, hosts, log }, { pools });
    life.defer(() => networks.close());
    const endpoints = await openEndpoints(
      { registry, allocator, claims, hosts, networks, dataplane: kernel, journal, log, now: Date.now },
      { namespaces: '/run/skein/netns', exits: { pools: ['172.18.0.0/16'], mtu: 1500 } },
    );
    life.defer(() => endpoints.close());
    return { state, journal, networks, endpoints };
  };
  const host: TestHost = {
    name,
    kernel,
    ...(await open()),
    die: () => life.close(),
    start: async () => {
      Object.assign(host, await open());
    },
  };
  scope.defer(() => life.close());
  return host;
}

const request = (name: string) => ({ name, subnets: [], ipv6: false, labels: {} });
const wish = (network: string, name: string) => ({ network, name, aliases: [] });

describe('endpoints of two hosts on one etcd', {
  skip: findEtcd() === undefined ? 'etcd is not on this machine' : false,
}, () => {
  let h1: TestHost;
  let h2: TestHost;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skein-endpoints-'));
    etcd = await startTestEtcd();
    h1 = await openHost('h1', '192.168.205.10', etcd.url.replace('http', 'etcd'));
    h2 = await openHost('h2', '192.168.205.11', etcd.url.replace('http', 'etcd'));
    await h1.networks.create(request('demo'));
    await eventually(() => h2.networks.list().length === 1);
  });

  after(async () => {
    await scope.close();
    await etcd?.close();
    await rm(folder, { recursive: true, force: true });
  });

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

  it('takes a failed attach back, in the kernel and in the store', async () => {
    const kinds = h1.kernel.kinds();
    h1.kernel.failure = new Error('add veth: no');
    await assert.rejects(h1.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'unlucky')] }), /add veth: no/);
    assert.deepEqual(h1.kernel.kinds(), kinds);
    const { id } = h1.networks.find('demo');
    const names = (await h1.endpoints.list(id)).map(({ endpoint }) => endpoint.name);
    assert.deepEqual(names.sort(), ['test1', 'test2']);
    assert.equal(await h1.state.claims.holder({ kind: 'endpoints', network: id }, 'unlucky'), undefined);
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
});

async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, 'it did not happen within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
