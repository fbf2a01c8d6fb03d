import { randomBytes } from 'node:crypto';
import { Refusal } from '../../lib/errors.ts';
import { contains, formatPrefix, overlaps, parseAddress, parsePrefix } from '../../lib/prefix.ts';
import { settle } from '../../lib/settle.ts';
import { nameServerSubnets } from '../../model/name-server.ts';
import type { Network, Subnet } from '../../model/network.ts';
import { type Allocator, type Owner, type Pool, Taken } from '../../state/allocator.ts';
import type { Catalog } from '../../state/catalog.ts';
import { Claimed, type Claims } from '../../state/claims.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { addressesOf, type Needed } from '../hosts/needed.ts';
import { networkMtu, routesInTheWay } from '../ipam/ipam.ts';
import { planApart, planSubnets } from '../ipam/plan.ts';
import { type Intents, vnis } from './intents.ts';
import type { KnownNetworks } from './known.ts';
import type { CreateNetwork } from './networks.ts';
import { parseOptions } from './options.ts';

export interface CreateNeeds {
  readonly catalog: Pick<Catalog, 'add'>;
  readonly allocator: Pick<Allocator, 'take'>;
  readonly claims: Pick<Claims, 'claim'>;
  readonly hosts: Pick<Hosts, 'self' | 'cluster' | 'list'>;
  readonly needed: () => Promise<readonly Needed[]>;
  readonly intents: Pick<Intents, 'begin' | 'end' | 'settle'>;
  readonly known: Pick<KnownNetworks, 'list' | 'put'>;
  readonly warn: (sentence: string) => void;
  /** Where automatic subnets come from. */
  readonly pools: readonly { readonly range: string; readonly size: number }[];
}

/** All of it or nothing. @throws Refusal 'invalid' | 'conflict' | 'unsupported' | 'unavailable' */
export async function createNetwork(request: CreateNetwork, needs: CreateNeeds): Promise<Network> {
  const { allocator, catalog, claims, hosts, intents, known } = needs;
  if (request.driver !== undefined && request.driver !== 'overlay') {
    throw new Refusal('unsupported', `there is no network driver ${request.driver}; there is: overlay`);
  }
  const wanted = request.apart ? planApart(request.subnets.map(({ subnet }) => subnet)) : planSubnets(request.subnets);
  const options = parseOptions(request.options);
  const needed = await needs.needed();
  refuseClashes(wanted, { hosts, needed });
  if (known.list().some(({ name }) => name === request.name)) throw nameTaken(request.name);
  const id = randomBytes(32).toString('hex');
  const owner = { host: hosts.self.id, id, name: request.name };
  await intents.begin(id, request.name);
  try {
    await claimName(claims, owner);
    const [vni, subnets] = await settle([
      allocator.take(vnis, owner),
      takeSubnets({ owner, wanted, ipv6: request.ipv6, needed }, needs),
    ]);
    const network = describe(request, { id, vni: Number(vni), subnets, mtu: options.mtu }, hosts);
    await catalog.add(network);
    known.put(network);
    await claims.claim({ kind: 'networks' }, network.name, { id });
    await intents.end(id);
    for (const sentence of warningsOf(wanted, needs)) needs.warn(sentence);
    return network;
  } catch (error) {
    await intents.settle(id, request.name, { unused: true });
    throw error;
  }
}

/** For this host's sake at first: if it dies before the network is in the catalog, the name can be had again. */
async function claimName(claims: Pick<Claims, 'claim'>, { host, id, name }: Owner): Promise<void> {
  try {
    await claims.claim({ kind: 'networks' }, name, { id, host });
  } catch (error) {
    if (error instanceof Claimed) throw nameTaken(name, { cause: error });
    throw error;
  }
}

function nameTaken(name: string, options?: ErrorOptions): Refusal {
  return new Refusal('conflict', `network with name ${name} already exists`, options);
}

async function takeSubnets(
  {
    owner,
    wanted,
    ipv6,
    needed,
  }: { owner: Owner; wanted: readonly Subnet[]; ipv6: boolean; needed: readonly Needed[] },
  needs: Pick<CreateNeeds, 'allocator' | 'hosts' | 'pools'>,
): Promise<readonly Subnet[]> {
  const { allocator, hosts, pools } = needs;
  const routes = hosts.list().flatMap(({ host, state }) => (state === 'alive' ? host.routes : []));
  const single = needed.map(({ address }) => `${address}/${address.includes(':') ? 128 : 32}`);
  const pool = {
    kind: 'subnets',
    ranges: pools,
    avoid: [...new Set([...routes, ...single, ...nameServerSubnets])],
  } as const;
  for (const { subnet } of wanted) await takeExplicit(allocator, pool, { owner, subnet });
  const taken = [...wanted];
  if (wanted.length === 0) taken.push(...planSubnets([{ subnet: await takeFree(allocator, pool, owner) }]));
  if (ipv6 && !wanted.some(({ subnet }) => isIpv6(subnet))) {
    taken.push(...(await takeUniqueLocal(allocator, pool, { owner, cluster: hosts.cluster.id })));
  }
  return taken;
}

/** Also what the owner holds of it already. @throws Refusal 'conflict' */
export async function takeExplicit(
  allocator: Pick<Allocator, 'take'>,
  pool: Pool,
  { owner, subnet }: { owner: Owner; subnet: string },
): Promise<void> {
  try {
    await allocator.take(pool, owner, subnet);
  } catch (error) {
    if (!(error instanceof Taken)) throw error;
    const { item, owner: holder } = error.by;
    throw new Refusal(
      'conflict',
      `subnet ${subnet} of network ${owner.name} overlaps ${item} of network ${holder.name}`,
      {
        cause: error,
      },
    );
  }
}

async function takeFree(
  allocator: Pick<Allocator, 'take'>,
  pool: Pool & { kind: 'subnets' },
  owner: Owner,
): Promise<string> {
  const routes = pool.avoid.map(parsePrefix);
  const open = pool.ranges.filter(({ range }) => {
    const whole = parsePrefix(range);
    return !routes.some((route) => route.length <= whole.length && overlaps(route, whole));
  });
  if (open.length > 0) return await allocator.take({ ...pool, ranges: open }, owner);
  const ranges = pool.ranges.map(({ range }) => range).join(', ');
  throw new Refusal(
    'conflict',
    `no subnet can be chosen for network ${owner.name}: hosts route all of ${ranges}; name one with --subnet`,
  );
}

/** RFC 4193: fd, then 40 bits of the cluster's id, then a subnet of 16 bits, from the network's id. */
async function takeUniqueLocal(
  allocator: Pick<Allocator, 'take'>,
  pool: Pool,
  { owner, cluster }: { owner: Owner; cluster: string },
): Promise<readonly Subnet[]> {
  const site = `fd${cluster.slice(0, 2)}:${cluster.slice(2, 6)}:${cluster.slice(6, 10)}`;
  for (let i = 0; i + 4 <= owner.id.length; i += 4) {
    const subnet = formatPrefix(parsePrefix(`${site}:${owner.id.slice(i, i + 4)}::/64`));
    try {
      await allocator.take(pool, owner, subnet);
      return planSubnets([{ subnet }]);
    } catch (error) {
      if (!(error instanceof Taken)) throw error;
    }
  }
  throw new Refusal('conflict', `no free IPv6 subnet was found for network ${owner.name}; name one with --subnet`);
}

/** @throws Refusal 'conflict' */
export function refuseClashes(
  subnets: readonly Subnet[],
  { hosts, needed }: { readonly hosts: Pick<Hosts, 'list'>; readonly needed: readonly Needed[] },
): void {
  refuseUnderlay(subnets, hosts);
  refuseStore(subnets, needed);
}

/** Containers could not reach the hosts at their addresses, which is never what is meant. @throws Refusal 'conflict' */
function refuseUnderlay(subnets: readonly Subnet[], hosts: Pick<Hosts, 'list'>): void {
  for (const { host, state } of hosts.list()) {
    if (state !== 'alive') continue;
    for (const { subnet } of subnets) {
      const address = addressesOf(host).find((text) => {
        return contains(parsePrefix(subnet), parseAddress(text));
      });
      if (address === undefined) continue;
      const reason = `host ${host.name} has its address ${address} in it, which its containers could not reach any more`;
      throw new Refusal('conflict', `subnet ${subnet} overlaps the network between the hosts: ${reason}; take another`);
    }
  }
}

/** A host that joins such a network itself would lose the store. @throws Refusal 'conflict' */
function refuseStore(subnets: readonly Subnet[], needed: readonly Needed[]): void {
  for (const { address, of } of needed) {
    if (of !== 'store') continue;
    const found = subnets.find(({ subnet }) => contains(parsePrefix(subnet), parseAddress(address)));
    if (found === undefined) continue;
    throw new Refusal(
      'conflict',
      `subnet ${found.subnet} has the address ${address} of the store in it, which a host on this network could not reach any more; take another`,
    );
  }
}

/** Once a route, with the hosts that have it. */
export function warningsOf(subnets: readonly Subnet[], { hosts }: Pick<CreateNeeds, 'hosts'>): readonly string[] {
  const routes = Map.groupBy(
    hosts.list().flatMap(({ host }) => host.routes.map((prefix) => ({ prefix, host: host.name }))),
    ({ prefix }) => prefix,
  );
  return subnets.flatMap(({ subnet }) =>
    routesInTheWay(
      subnet,
      Array.from(routes, ([prefix, having]) => ({ prefix, having })),
    ).map(({ prefix, having }) => {
      const names = having.slice(0, 3).map(({ host }) => host);
      const more = having.length > names.length ? ` and ${having.length - names.length} more` : '';
      const there = `${having.length === 1 ? 'host' : 'hosts'} ${names.join(', ')}${more}`;
      return `subnet ${subnet} shares addresses with the route ${prefix} of ${there}: containers of this network cannot reach what lies there`;
    }),
  );
}

function describe(
  request: CreateNetwork,
  { id, vni, subnets, mtu }: { id: string; vni: number; subnets: readonly Subnet[]; mtu: number | undefined },
  hosts: Pick<Hosts, 'self' | 'cluster' | 'list'>,
): Network {
  const ipv6 = subnets.some(({ subnet }) => isIpv6(subnet));
  const paths = hosts.list().map(({ host }) => ({ name: host.name, mtu: host.mtu }));
  return {
    id,
    name: request.name,
    created: new Date().toISOString(),
    driver: 'overlay',
    subnets: [...subnets],
    vni,
    mtu: networkMtu(paths, { underlay: hosts.cluster.underlay, ipv6, wish: mtu }),
    ipv6,
    internal: request.internal,
    attachable: request.attachable,
    ...(request.names === 'shared' && { names: request.names }),
    ...(request.apart && { apart: true }),
    options: { ...request.options },
    labels: { ...request.labels },
    owner: hosts.self.id,
  };
}

function isIpv6(subnet: string): boolean {
  return parsePrefix(subnet).address.family === 6;
}
