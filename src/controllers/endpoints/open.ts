import type { Dataplane, Identity } from '../../dataplane/dataplane.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import { settle } from '../../lib/settle.ts';
import { wishedSubnets } from '../../model/address-wish.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Network } from '../../model/network.ts';
import type { NamesPlace } from '../../model/setting-values.ts';
import type { Journal } from '../../state/journal.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts, PathProblem } from '../hosts/hosts.ts';
import type { NameFeed } from '../names/names.ts';
import type { Networks } from '../networks/networks.ts';
import { Clashes, type ClashesNeeds } from './clashes.ts';
import type {
  Adoptable,
  Connect,
  ConnectRequest,
  EndpointState,
  Endpoints,
  OpenSandbox,
  Sandbox,
} from './endpoints.ts';
import { Exits, type ExitsInit } from './exits.ts';
import { Exposing } from './expose.ts';
import { type HoldingsNeeds, openHoldings } from './holdings.ts';
import { type JoinOptions, join } from './join.ts';
import { Leaving } from './leave.ts';
import { Overlays } from './overlays.ts';
import { followPeers } from './peers.ts';
import { overlayOf } from './pieces.ts';
import { connectedPlaces, nameOf, nowhere, type Place, type SandboxRecord, type Way } from './sandbox-record.ts';
import { Sandboxes } from './sandboxes.ts';
import { Sizes } from './sizes.ts';
import { sweep, takeUp } from './take-up.ts';
import { Upkeep } from './upkeep.ts';

export interface EndpointsNeeds extends Omit<HoldingsNeeds, 'registry' | 'hosts'> {
  readonly registry: Pick<Registry, 'publish' | 'withdraw' | 'watch' | 'list'>;
  readonly networks: Pick<Networks, 'find' | 'get' | 'list' | 'use' | 'confirm' | 'admit' | 'onPut'>;
  readonly hosts: Pick<Hosts, 'self' | 'cluster' | 'get' | 'watch' | 'list'>;
  readonly dataplane: Pick<Dataplane, 'set' | 'change' | 'adopt' | 'look'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly names: NameFeed;
  /** What this host has to reach beside all networks. */
  readonly needed: ClashesNeeds['needed'];
  readonly log: Log;
}

export interface EndpointsInit {
  /** Directory in which namespaces are pinned. */
  readonly namespaces: string;
  readonly exits: Omit<ExitsInit, 'host'>;
  /** Ids of containers that come back after a reboot of the host: with the addresses and names that they have. */
  readonly returning?: ReadonlySet<string>;
  /** Where names are answered besides the networks; the gateway bridge is made for it, if that can have a network. */
  readonly listen?: readonly NamesPlace[];
  /** Names end in them. */
  readonly domains: readonly string[];
}

export interface OpenedEndpoints extends Endpoints {
  /** Addresses of the gateway bridge, once it exists. */
  gateway(): readonly string[] | undefined;
  /** Networks here that the path of this host does not carry, or that it reaches otherwise. Never waits. */
  problems(): readonly PathProblem[];
  close(): Promise<void>;
}

/**
 * Takes up what earlier lives promised; resolves when the kernel is as it should be.
 *
 * Every step is journalled before it is begun, under an id from which all that it may hold is found: at whatever point the
 * process dies, the next start knows what to give back.
 */
export async function openEndpoints(needs: EndpointsNeeds, init: EndpointsInit): Promise<OpenedEndpoints> {
  const { registry, networks, hosts, dataplane, journal, names, log } = needs;
  const stop = new AbortController();
  const { signal } = stop;
  const serial = new Serial();
  const change: Dataplane['change'] = (pieces) => dataplane.change(pieces);
  const exits = new Exits({ journal, look: () => dataplane.look() }, { ...init.exits, host: hosts.self.id });
  const sandboxes = new Sandboxes({ journal, names }, init.namespaces);
  const overlays = new Overlays({
    ...{ registry, claims: needs.claims, hosts, names, log, change },
    own: (id) => sandboxes.endpoint(id),
    ownOn: (network) => sandboxes.endpointsOn(network),
    ownNamed: (network, name) => sandboxes.endpointNamed(network, name),
    missing: (endpoint, what) => upkeep.look(endpoint, what),
  });
  const shared = { networks, dataplane, sandboxes, overlays, exits, holdings: openHoldings(needs), names, log };
  const leave = new Leaving({ ...shared, serial, signal });
  const upkeep = new Upkeep({ ...shared, leave, serial, signal });
  const seen = hosts.list();
  const { bootId, pinned } = await dataplane.look();

  await sandboxes.load(log);
  const { returning = new Set<string>(), listen = [] } = init;
  const { finished } = await takeUp({ bootId, pinned, seen, returning, listen }, { ...shared, hosts, leave, serial });
  const sizes = new Sizes({ ...shared, serial, now: needs.now, signal });
  const unfollow = networks.onPut((network, before) => {
    const { id, mtu } = network;
    if (before !== undefined && before.mtu !== mtu) sizes.changed(id);
    if (network.apart) overlays.find(id)?.widen(overlayOf(network));
    if (network.apart) for (const endpoint of outside(network, sandboxes)) upkeep.look(endpoint, 'record');
  });
  for (const network of sandboxes.networks()) sizes.changed(network);
  const resizing = sizes.follow(hosts);
  const swept = sweep({ ...shared, signal });
  const changed = (host: string) => overlays.hostChanged(host);
  const peers = followPeers({ hosts, log, change }, { from: seen, signal, changed });

  const joinTo = (record: SandboxRecord, requests: OpenSandbox['connect'], options: JoinOptions) =>
    join(record, requests ?? [], options, { ...shared, leave, sizes, listen });
  const clashes = new Clashes({ ...shared, look: () => dataplane.look(), needed: needs.needed, now: needs.now });
  const clashing = clashes.follow(signal);
  const exposing = new Exposing({
    ...shared,
    hosts,
    clashes,
    leave,
    serial,
    join: joinTo,
    bootId,
    domains: init.domains,
  });

  async function openSandbox(request: OpenSandbox): Promise<Sandbox> {
    await useAll(request.connect ?? []);
    if (request.adopt === undefined) return await makeSandbox(request, undefined);
    const { pinned, ...adopted } = await dataplane.adopt(request.adopt);
    return await serial.run(`adopt ${adopted.inode}`, async () => {
      const known = sandboxes.adoptedAs(adopted.inode);
      if (known === undefined && pinned) throw ownNamespace();
      if (known === undefined) return await makeSandbox(request, adopted);
      await serial.run(known, () => {
        const record = sandboxes.find(known);
        const dns = request.dns && { dns: [...request.dns] };
        return joinTo(record, request.connect, { way: wayOf(request), ...dns, fresh: false });
      });
      return sandboxes.view(sandboxes.find(known));
    });
  }

  async function makeSandbox(request: OpenSandbox, adopted: Identity | undefined): Promise<Sandbox> {
    const { container } = request;
    const way = wayOf(request);
    const record: SandboxRecord = {
      id: sandboxes.freshId(),
      bootId,
      places: [],
      ...(adopted === undefined ? {} : { adopted: { ...adopted } }),
      ...(container === undefined ? {} : { container: { ...container } }),
      ...(request.dns === undefined ? {} : { dns: [...request.dns] }),
    };
    sandboxes.add(record);
    await serial.run(record.id, () => joinTo(record, request.connect, { way, fresh: true }));
    return sandboxes.view(sandboxes.find(record.id));
  }

  /** @throws Refusal 'invalid' when all that is asked for is internal, and the way out as well */
  function wayOf({ exit, container, connect = [] }: OpenSandbox): Way | undefined {
    if (!exit) return undefined;
    if (container !== undefined && connect.length > 0) return 'by-network';
    const wanted = connect.map(({ network }) => networks.find(network));
    const [first] = wanted;
    if (first === undefined || wanted.some(({ internal }) => !internal)) return 'always';
    throw new Refusal('invalid', `network ${first.name} is internal and has no way out of the host; attach without it`);
  }

  /** Afterwards these networks are there, with the subnets that are asked for. */
  async function useAll(requests: readonly ConnectRequest[]): Promise<void> {
    await settle(requests.map(({ network, addresses = [] }) => networks.use(network, wishedSubnets(addresses))));
  }

  async function connect({ sandbox, ...request }: Connect): Promise<Endpoint> {
    await useAll([request]);
    return await serial.run(sandbox, async () => {
      const network = networks.find(request.network).id;
      await joinTo(sandboxes.find(sandbox), [{ ...request, network }], { fresh: false });
      const place = connectedPlaces(sandboxes.find(sandbox)).find((candidate) => candidate.network === network);
      if (place === undefined) throw new Error(`endpoint ${request.name} is not there after it was connected`);
      return place.endpoint;
    });
  }

  async function disconnect(sandbox: string, network: string): Promise<void> {
    await serial.run(sandbox, async () => {
      const record = sandboxes.find(sandbox);
      await leave.letGo(record, [placeOn(record, network)], { whole: false });
    });
  }

  async function expel({ id, name }: Pick<Network, 'id' | 'name'>, container: string): Promise<void> {
    const states = await list(id);
    const isMeant = ({ endpoint }: EndpointState) =>
      [endpoint.name, endpoint.id, endpoint.container?.name, endpoint.container?.id].includes(container);
    const meant = states.filter(isMeant);
    const isOwn = ({ endpoint }: EndpointState) => endpoint.host === hosts.self.id;
    const found = meant.find(isOwn) ?? meant.find(({ lost }) => lost) ?? meant[0];
    if (found === undefined) throw new Refusal('not-found', `${container} is not connected to network ${name}`);
    const { endpoint, lost } = found;
    const sandbox = sandboxes.get(endpoint.sandbox.id);
    if (sandbox?.host) {
      throw new Refusal('conflict', `${container} is this host itself: take it off with skein hide --network ${name}`);
    }
    if (sandbox !== undefined && endpoint.host === hosts.self.id) return await disconnect(sandbox.id, id);
    if (!lost && endpoint.host !== hosts.self.id) {
      const host = hosts.get(endpoint.host)?.host.name ?? endpoint.host.slice(0, 12);
      throw new Refusal(
        'conflict',
        `${container} is on host ${host}, which is alive: disconnect it from ${name} there`,
      );
    }
    const network = networks.list().find((candidate) => candidate.id === id);
    const known = network && { overlay: overlayOf(network) };
    const place = { ...{ id: endpoint.id, name: endpoint.name, network: id, endpoint }, ...known, ...nowhere };
    await shared.holdings.release(place, network, { unused: false, host: endpoint.host });
    log.warn('an endpoint of a lost host was disconnected by force', { network: id, endpoint: endpoint.id });
  }

  async function detach(source: Adoptable, network: string): Promise<void> {
    const { inode, pinned } = await dataplane.adopt(source);
    const sandbox = sandboxes.adoptedAs(inode);
    if (sandbox === undefined && pinned) throw ownNamespace();
    if (sandbox === undefined) throw new Refusal('not-found', 'the namespace is not attached to any network');
    await serial.run(sandbox, async () => {
      const record = sandboxes.find(sandbox);
      const place = placeOn(record, network);
      await leave.letGo(record, [place], {
        whole: record.places.every(({ id, state }) => id === place.id || state === 'leaving'),
      });
    });
  }

  /** By the network's name or id; by its id also when the catalog cannot show the network. @throws Refusal 'not-found' */
  function placeOn(record: SandboxRecord, network: string): Place {
    const here = record.places.filter(({ state }) => state !== 'leaving');
    const place =
      here.find((candidate) => candidate.network === network) ??
      here.find((candidate) => candidate.network === networks.find(network).id);
    if (place !== undefined) return place;
    throw new Refusal('not-found', `${nameOf(record)} is not connected to network ${network}`);
  }

  async function closeSandbox(sandbox: string): Promise<void> {
    await serial.run(sandbox, async () => {
      const record = sandboxes.get(sandbox);
      if (record !== undefined) await leave.letGo(record, record.places, { whole: true });
    });
  }

  async function list(network: string): Promise<readonly EndpointState[]> {
    const membership = overlays.find(network);
    if (membership !== undefined) {
      await membership.ready;
      return membership.list();
    }
    const entries = await registry.list({ kind: 'endpoints', network });
    return entries.flatMap(({ record, lost }) =>
      record.kind === 'endpoint' ? [{ endpoint: record.endpoint, lost }] : [],
    );
  }

  return {
    openSandbox,
    connect,
    disconnect,
    expel,
    detach,
    expose: (wishes) => exposing.expose(wishes),
    hide: (network, address) => exposing.hide(network, address),
    closeSandbox,
    sandbox(id) {
      const record = sandboxes.get(id);
      return record && sandboxes.view(record);
    },
    sandboxes: () => sandboxes.list().map((record) => sandboxes.view(record)),
    list,
    gateway: () => exits.addresses,
    problems: () => [...sizes.problems(), ...clashes.problems()],
    async close() {
      unfollow();
      stop.abort();
      await finished;
      await swept;
      await resizing;
      await clashing;
      await sizes.close();
      await upkeep.close();
      await leave.close();
      await peers.catch(() => undefined);
      await overlays.close();
    },
  };
}

/** Endpoints of this host in a subnet that the network's record lacks. */
function outside({ id, subnets }: Network, sandboxes: Pick<Sandboxes, 'endpointsOn'>): readonly string[] {
  const known = new Set(subnets.map(({ subnet }) => subnet));
  const own = sandboxes
    .endpointsOn(id)
    .filter(({ addresses }) => wishedSubnets(addresses).some((one) => !known.has(one)));
  return own.map((endpoint) => endpoint.id);
}

function ownNamespace(): Refusal {
  return new Refusal('conflict', 'this namespace is one of our own: give the name of its container');
}
