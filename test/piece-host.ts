import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OpenedEndpoints, openEndpoints } from '../src/controllers/endpoints/open.ts';
import type { Hosts } from '../src/controllers/hosts/hosts.ts';
import { findNeeded } from '../src/controllers/hosts/needed.ts';
import { openHosts } from '../src/controllers/hosts/open.ts';
import type { Names } from '../src/controllers/names/names.ts';
import { openNames } from '../src/controllers/names/open.ts';
import type { Networks } from '../src/controllers/networks/networks.ts';
import { openNetworks } from '../src/controllers/networks/open.ts';
import {
  type Change,
  type Dataplane,
  type HostView,
  keyOf,
  type Piece,
  type PieceKey,
} from '../src/dataplane/dataplane.ts';
import { Server } from '../src/dns/server.ts';
import { toWireName } from '../src/dns/wire-name.ts';
import { silent } from '../src/lib/log.ts';
import { Scope } from '../src/lib/scope.ts';
import { settle } from '../src/lib/settle.ts';
import type { Host } from '../src/model/host.ts';
import type { AddressPool, NamesPlace } from '../src/model/setting-values.ts';
import type { Journal } from '../src/state/journal.ts';
import { startTestEtcd, type TestEtcd } from '../src/state/kv/harness.contract.ts';
import { openJournal } from '../src/state/kv/local/journal.ts';
import { openState, type State } from '../src/state/kv/open.ts';
import { parseStoreUrl } from '../src/state/kv/url.ts';

/** A host with all its controllers on a real store; only the kernel is one of pieces. */

/** A kernel of pieces: refuses what has nothing to stand on, as the real one would. */
class PieceKernel implements Pick<Dataplane, 'set' | 'change' | 'adopt' | 'look'> {
  readonly pieces = new Map<PieceKey, Piece>();
  readonly bootId: string;
  /** Makes the next change fail that puts a piece of this kind. */
  failure: { readonly of: Piece['kind']; readonly error: Error } | undefined;
  /** What the host routes elsewhere. */
  routes: HostView['routes'] = [];
  /** Makes changes fail that remove a port, for as long as it is there. */
  stuck: Error | undefined;

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
    const { failure } = this;
    if (failure !== undefined && put.some(({ kind }) => kind === failure.of)) {
      this.failure = undefined;
      throw failure.error;
    }
    if (this.stuck !== undefined && remove.some((key) => this.pieces.get(key)?.kind === 'port')) {
      throw this.stuck;
    }
    for (const key of remove) this.pieces.delete(key);
    for (const piece of put) this.pieces.set(keyOf(piece), piece);
    this.#check();
  }

  async adopt(source: { readonly path: string } | { readonly pid: number }) {
    const inode = 'path' in source ? source.path : String(source.pid);
    return { bootId: this.bootId, inode, pinned: false };
  }

  async look() {
    const sandboxes = [...this.pieces.values()].filter((piece) => piece.kind === 'sandbox');
    const pinned = new Map(sandboxes.map(({ id, adopted }) => [id, adopted?.inode ?? id]));
    return { bootId: this.bootId, interfaces: [], routes: this.routes, closed: [], hops: [], pinned };
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

export interface TestHost {
  readonly name: string;
  readonly kernel: PieceKernel;
  state: State;
  journal: Journal;
  hosts: Hosts;
  networks: Networks;
  names: Names;
  endpoints: OpenedEndpoints;
  /** As SIGKILL would: nothing is given back, the journal stays. */
  die(): Promise<void>;
  start(): Promise<void>;
}

export interface OpenHost {
  readonly name: string;
  readonly data: string;
  /** Of the store. */
  readonly url: string;
  /** For what the host keeps. */
  readonly folder: string;
  readonly routes?: readonly string[];
  /** Of its way to the others. */
  readonly mtu?: number;
  /** Prefixes that it reaches by an interface of others. */
  readonly busy?: readonly string[];
  /** Where it answers names besides the networks. */
  readonly listen?: readonly NamesPlace[];
  /** Of the store, as its URL would name them. */
  readonly members?: readonly string[];
  /** Where the subnets of networks are taken from. */
  readonly pools?: readonly AddressPool[];
  /** Where the addresses of the default network come from. */
  readonly defaultRange?: string;
}

export interface Pair {
  readonly etcd: TestEtcd;
  /** As hosts take the store. */
  readonly url: string;
  readonly folder: string;
  readonly h1: TestHost;
  readonly h2: TestHost;
}

/** Two hosts that know each other, on an etcd of their own, for as long as the scope is open. */
export async function openPair(scope: Scope, more: readonly Partial<OpenHost>[] = []): Promise<Pair> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-pair-'));
  scope.defer(() => rm(folder, { recursive: true, force: true }));
  const etcd = await startTestEtcd();
  scope.defer(() => etcd.close());
  const url = etcd.url.replace('http', 'etcd');
  const [h1, h2] = await settle([
    openHost({ name: 'h1', data: '192.168.205.10', url, folder, ...more[0] }),
    openHost({ name: 'h2', data: '192.168.205.11', url, folder, ...more[1] }),
  ]);
  for (const host of [h1, h2]) scope.defer(() => host.die());
  await eventually(() => [h1, h2].every(({ hosts }) => hosts.list().length === 2));
  return { etcd, url, folder, h1, h2 };
}

export async function openHost({
  name,
  data,
  url: storeUrl,
  folder,
  routes = [],
  mtu = 1500,
  busy = [],
  listen = [],
  members = [],
  pools = [{ range: '10.0.0.0/8', size: 24 }],
  defaultRange = '10.32.0.0/12',
}: OpenHost): Promise<TestHost> {
  const id = randomBytes(16).toString('hex');
  const kernel = new PieceKernel('boot-1');
  kernel.routes = busy.map((prefix) => ({ prefix, interface: 'tun0' }));
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
      mtu,
      routes: [...routes],
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
    const needed = () => findNeeded({ hosts, members: [...members], resolvers: async () => [] });
    const networks = await openNetworks(
      { catalog, allocator, claims, registry, journal, hosts, needed, log },
      { pools, defaultRange },
    );
    life.defer(() => networks.close());
    const server = new Server({ domains: [toWireName('skein.local') ?? ''], own: [], log });
    const names = openNames(
      {
        server: {
          change: (change) => server.change(change),
          lookup: (lookup) => server.lookup(lookup),
          status: async () => server.status(),
        },
        networks,
        staleSince: () => undefined,
        unheld: () => undefined,
        log,
      },
      { domains: ['skein.local'] },
    );
    const endpoints = await openEndpoints(
      { registry, allocator, claims, hosts, needed, networks, dataplane: kernel, journal, names, log, now: Date.now },
      {
        namespaces: '/run/skein/netns',
        exits: { pools: ['172.18.0.0/16'], mtu: 1500 },
        listen,
        domains: ['skein.local'],
      },
    );
    life.defer(() => endpoints.close());
    return { state, journal, hosts, networks, names, endpoints };
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
  return host;
}

export async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, 'it did not happen within 15 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** As `skein network create NAME` asks. */
export const request = (name: string) => ({
  ...{ name, subnets: [], ipv6: false, internal: false, attachable: false },
  ...{ options: {}, labels: {} },
});

export const wish = (network: string, name: string) => ({ network, name, aliases: [] });
