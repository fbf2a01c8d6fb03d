import { randomBytes } from 'node:crypto';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { formatPrefix, overlaps, parsePrefix } from '../../lib/prefix.ts';
import { Serial } from '../../lib/serial.ts';
import { featureLevel } from '../../model/cluster.ts';
import { type Network, type Subnet, vniRange } from '../../model/network.ts';
import { type Allocator, type Pool, Taken } from '../../state/allocator.ts';
import type { Catalog } from '../../state/catalog.ts';
import { Claimed, type Claims } from '../../state/claims.ts';
import type { Journal } from '../../state/journal.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { assertApart, broaderRoutes, networkMtu, planSubnet } from '../ipam/ipam.ts';
import { findByNameOrId } from './find.ts';
import type { CreateNetwork, Networks } from './networks.ts';

export interface NetworksNeeds {
  readonly catalog: Catalog;
  readonly allocator: Allocator;
  readonly claims: Claims;
  readonly registry: Pick<Registry, 'list'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly hosts: Pick<Hosts, 'self' | 'cluster' | 'list'>;
  readonly log: Log;
}

export interface NetworksInit {
  /** Where automatic subnets come from. */
  readonly pools: readonly { readonly range: string; readonly size: number }[];
}

const vnis: Pool = { kind: 'vnis', ...vniRange };

/** Resolves when the first snapshot is there and what an earlier life left half done is undone. */
export async function openNetworks(needs: NetworksNeeds, init: NetworksInit): Promise<Networks> {
  const { catalog, allocator, claims, registry, journal, hosts, log } = needs;
  const known = new Map<string, Network>();
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  const serial = new Serial();

  const following = (async () => {
    for await (const event of catalog.watch({ signal: stop.signal })) {
      switch (event.kind) {
        case 'snapshot':
          known.clear();
          for (const network of event.networks) known.set(network.id, network);
          ready.resolve();
          break;
        case 'put':
          known.set(event.network.id, event.network);
          break;
        case 'delete':
          known.delete(event.id);
          break;
      }
    }
  })();
  following.catch(ready.reject);
  await ready.promise;
  await undoIntents();

  /** A creation that a death cut off: the network is there, then its name is made its own for good; or all of it is given back. */
  async function undoIntents(): Promise<void> {
    for (const { id, value } of await journal.load('intent')) {
      const intent = readIntent(value);
      if (intent === undefined) continue;
      const network = await catalog.get(id);
      if (network === undefined) await giveBack(id, intent.name, { unused: false });
      else await claims.claim({ kind: 'networks' }, network.name, { id });
      await journal.commit([{ kind: 'intent', id, remove: true }]);
      log.info('finished what was half done', { network: id, name: intent.name, exists: network !== undefined });
    }
    for (const network of known.values()) {
      if (network.removing?.host === hosts.self.id) await resumeRemoval(network);
    }
  }

  async function resumeRemoval(network: Network): Promise<void> {
    try {
      await finishRemoval(network);
    } catch (error) {
      if (!(error instanceof Refusal) || error.kind !== 'forbidden') throw error;
      log.info('a removal was given up', { network: network.id, name: network.name, error });
    }
  }

  /** Gives back everything that a network of this id may hold. Right at any time, any number of times. */
  async function giveBack(id: string, name: string, options: { unused: boolean }): Promise<void> {
    const owner = { host: hosts.self.id, id, name };
    for (const pool of [vnis, subnetPool()]) {
      for (const held of await allocator.held(pool)) {
        if (held.owner.id === id) await allocator.give(pool, { ...owner, host: held.owner.host }, held.item, options);
      }
    }
    await claims.release({ kind: 'networks' }, name, { id });
  }

  function subnetPool(): Pool & { kind: 'subnets' } {
    const routes = hosts
      .list()
      .filter(({ state }) => state === 'alive')
      .flatMap(({ host }) => host.routes);
    return { kind: 'subnets', ranges: init.pools, avoid: [...new Set(routes)] };
  }

  async function create(request: CreateNetwork): Promise<Network> {
    if (request.driver !== undefined && request.driver !== 'overlay') {
      throw new Refusal('unsupported', `there is no network driver ${request.driver}; there is: overlay`);
    }
    const wanted = request.subnets.map(planSubnet);
    assertApart(wanted.map(({ subnet }) => subnet));
    const id = randomBytes(32).toString('hex');
    await journal.commit([{ kind: 'intent', id, put: { create: 'network', name: request.name } }]);
    try {
      await claimName(request.name, id);
      const owner = { host: hosts.self.id, id, name: request.name };
      const [vni, subnets] = await Promise.all([allocator.take(vnis, owner), takeSubnets(request, { id, wanted })]);
      const network = describe(request, { id, vni: Number(vni), subnets });
      await catalog.add(network);
      known.set(id, network);
      await claims.claim({ kind: 'networks' }, network.name, { id });
      await journal.commit([{ kind: 'intent', id, remove: true }]);
      return network;
    } catch (error) {
      await undoCreate(id, request.name);
      throw error;
    }
  }

  async function claimName(name: string, id: string): Promise<void> {
    if ([...known.values()].some((network) => network.name === name)) throw nameTaken(name);
    try {
      await claims.claim({ kind: 'networks' }, name, { id, host: hosts.self.id });
    } catch (error) {
      if (error instanceof Claimed) throw nameTaken(name, { cause: error });
      throw error;
    }
  }

  async function undoCreate(id: string, name: string): Promise<void> {
    try {
      if ((await catalog.get(id)) === undefined) await giveBack(id, name, { unused: true });
      await journal.commit([{ kind: 'intent', id, remove: true }]);
    } catch (error) {
      log.warn('what a failed creation holds is given back at the next start', { network: id, name, error });
    }
  }

  async function takeSubnets(
    request: CreateNetwork,
    { id, wanted }: { id: string; wanted: readonly Subnet[] },
  ): Promise<readonly Subnet[]> {
    const pool = subnetPool();
    const owner = { host: hosts.self.id, id, name: request.name };
    const explicit: Subnet[] = [];
    for (const subnet of wanted) {
      try {
        await allocator.take(pool, owner, subnet.subnet);
      } catch (error) {
        if (!(error instanceof Taken)) throw error;
        throw new Refusal(
          'conflict',
          `subnet ${subnet.subnet} of network ${request.name} overlaps ${error.by.item} of network ${error.by.owner.name}`,
          { cause: error },
        );
      }
      explicit.push(subnet);
    }
    warnOfRoutes(request.name, explicit);
    const hasFamily = (family: 4 | 6) => explicit.some(({ subnet }) => parsePrefix(subnet).address.family === family);
    const automatic: Subnet[] = [];
    if (explicit.length === 0) automatic.push(planSubnet({ subnet: await takeFree(pool, owner, request.name) }));
    if (request.ipv6 && !hasFamily(6)) automatic.push(await takeUniqueLocal(pool, owner));
    return [
      ...automatic.filter(({ subnet }) => !subnet.includes(':')),
      ...explicit,
      ...automatic.filter(({ subnet }) => subnet.includes(':')),
    ];
  }

  async function takeFree(
    pool: Pool & { kind: 'subnets' },
    owner: { host: string; id: string; name: string },
    name: string,
  ): Promise<string> {
    const avoid = pool.avoid.map((text) => parsePrefix(text));
    const ranges = pool.ranges.filter(
      ({ range }) =>
        !avoid.some((route) => route.length <= parsePrefix(range).length && overlaps(route, parsePrefix(range))),
    );
    if (ranges.length === 0) {
      throw new Refusal(
        'conflict',
        `no subnet can be chosen for network ${name}: hosts route all of ${pool.ranges.map(({ range }) => range).join(', ')}; name one with --subnet`,
      );
    }
    return await allocator.take(pool, owner);
  }

  /** RFC 4193: fd, then 40 bits of the cluster's id, then a subnet of 16 bits: those of the network's id. */
  async function takeUniqueLocal(pool: Pool, owner: { host: string; id: string; name: string }): Promise<Subnet> {
    const digits = hosts.cluster.id;
    for (let i = 0; i + 4 <= owner.id.length; i += 4) {
      const subnet = formatPrefix(
        parsePrefix(
          `fd${digits.slice(0, 2)}:${digits.slice(2, 6)}:${digits.slice(6, 10)}:${owner.id.slice(i, i + 4)}::/64`,
        ),
      );
      try {
        await allocator.take(pool, owner, subnet);
        return planSubnet({ subnet });
      } catch (error) {
        if (!(error instanceof Taken)) throw error;
      }
    }
    throw new Refusal('conflict', `no free IPv6 subnet was found for network ${owner.name}; name one with --subnet`);
  }

  function warnOfRoutes(name: string, subnets: readonly Subnet[]): void {
    const routes = hosts.list().flatMap(({ host }) => host.routes.map((prefix) => ({ prefix, host: host.name })));
    for (const { subnet } of subnets) {
      for (const { prefix, host } of broaderRoutes(subnet, routes)) {
        log.warn('a subnet lies inside a route of a host', { network: name, subnet, route: prefix, host });
      }
    }
  }

  function describe(
    request: CreateNetwork,
    { id, vni, subnets }: { id: string; vni: number; subnets: readonly Subnet[] },
  ): Network {
    const ipv6 = subnets.some(({ subnet }) => parsePrefix(subnet).address.family === 6);
    const paths = hosts.list().map(({ host }) => ({ name: host.name, mtu: host.mtu }));
    return {
      id,
      name: request.name,
      created: new Date().toISOString(),
      driver: 'overlay',
      subnets: [...subnets],
      vni,
      mtu: networkMtu(paths, { underlay: hosts.cluster.underlay, ipv6 }),
      ipv6,
      internal: false,
      attachable: true,
      options: {},
      labels: { ...request.labels },
      owner: hosts.self.id,
      featureLevel,
    };
  }

  function find(nameOrId: string): Network {
    return findByNameOrId('network', nameOrId, [...known.values()]);
  }

  async function remove(nameOrId: string): Promise<Network> {
    const network = find(nameOrId);
    return await serial.run(network.id, async () => {
      const since = new Date().toISOString();
      const marked = await catalog.update(network.id, (current) => ({
        ...current,
        removing: { host: hosts.self.id, since },
      }));
      if (marked === undefined) throw new Refusal('not-found', `network ${nameOrId} not found`);
      await finishRemoval(marked);
      return network;
    });
  }

  /** The mark is set: an endpoint that is there now wins, one that comes later sees the mark and gives up. */
  async function finishRemoval(network: Network): Promise<void> {
    const entries = await registry.list({ kind: 'endpoints', network: network.id });
    if (entries.length > 0) {
      await catalog.update(network.id, withoutMark);
      const names = entries.flatMap(({ record }) =>
        record.kind === 'endpoint'
          ? [
              `name:"${record.endpoint.name}" id:"${record.endpoint.id.slice(0, 12)}" host:"${hostName(record.endpoint.host)}"`,
            ]
          : [],
      );
      const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
      throw new Refusal(
        'forbidden',
        `error while removing network: network ${network.name} has active endpoints (${names.slice(0, 5).join(', ')}${more})`,
      );
    }
    await journal.commit([{ kind: 'intent', id: network.id, put: { create: 'network', name: network.name } }]);
    await catalog.update(network.id, () => undefined);
    known.delete(network.id);
    await giveBack(network.id, network.name, { unused: false });
    await journal.commit([{ kind: 'intent', id: network.id, remove: true }]);
  }

  function hostName(id: string): string {
    return hosts.list().find(({ host }) => host.id === id)?.host.name ?? id.slice(0, 12);
  }

  return {
    create,
    list: () => [...known.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    find,
    remove,
    confirm: async (id) => {
      const network = await catalog.get(id);
      return network?.removing === undefined ? network : undefined;
    },
    close: async () => {
      stop.abort();
      await following.catch(() => undefined);
    },
  };
}

function withoutMark(network: Network): Network {
  const { removing, ...rest } = network;
  return removing === undefined ? network : rest;
}

function nameTaken(name: string, options?: ErrorOptions): Refusal {
  return new Refusal('conflict', `network with name ${name} already exists`, options);
}

function readIntent(value: unknown): { name: string } | undefined {
  if (typeof value !== 'object' || value === null || !('create' in value) || value.create !== 'network')
    return undefined;
  return 'name' in value && typeof value.name === 'string' ? { name: value.name } : undefined;
}
