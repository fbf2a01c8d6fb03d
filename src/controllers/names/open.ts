import type { SocketChange } from '../../dataplane/dataplane.ts';
import type { NameServer } from '../../dns/dns.ts';
import { defined } from '../../lib/defined.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { withoutLength } from '../../lib/prefix.ts';
import { type Endpoint, isHostItself } from '../../model/endpoint.ts';
import type { NameRecord } from '../../model/name-record.ts';
import type { Networks } from '../networks/networks.ts';
import { Changes } from './changes.ts';
import type { KnownName, NamedSandbox, NameFeed, Names } from './names.ts';

export interface NamesNeeds {
  readonly server: Pick<NameServer, 'change' | 'lookup' | 'status'>;
  readonly networks: Pick<Networks, 'get' | 'onPut'>;
  /** Since when the store has told nothing. */
  readonly staleSince: () => string | undefined;
  /** Why questions will not wait for the next daemon, if so. */
  readonly unheld: () => string | undefined;
  readonly log: Log;
}

export interface NamesInit {
  /** As the server has them. */
  readonly domains: readonly string[];
}

export interface OpenedNames extends Names, NameFeed {
  /** What became of the sockets at which names are answered. The descriptors belong to the server from now on. */
  sockets(change: SocketChange): void;
}

/** Ids that no network has: of the records that are seen on all of them, and of the sockets that belong to none. */
const everywhere = 'cluster';
const listeners = 'listeners';
/** Who asks at a listener, unless it is one of our sandboxes. */
const host = 'host';

interface Held<T> {
  readonly value: T;
  readonly lost: boolean;
}

interface Here {
  readonly name: string | undefined;
  readonly subnets: readonly string[];
}

/** Tells the name server who is there: this host's endpoints as they are promised, those of others as they are reached. */
export function openNames(
  { server, networks, staleSince, unheld, log }: NamesNeeds,
  { domains }: NamesInit,
): OpenedNames {
  const changes = new Changes((change) => server.change(change), log);
  const sandboxes = new Map<string, NamedSandbox>();
  const others = new Map<string, Held<Endpoint>>();
  const othersOn = new Map<string, Set<string>>();
  const records = new Map<string, Held<NameRecord>>();
  /** Networks that this host is on. */
  const here = new Map<string, Here>();

  const tellEndpoint = (endpoint: Endpoint, lost: boolean) => {
    const { id, network, ports } = endpoint;
    const held = { names: namesOf(endpoint), addresses: addressesOf(endpoint), ...defined({ ports }) };
    changes.put({ kind: 'endpoint', id, network, ...held, lost });
  };
  const tellHost = () => {
    const seen = [...here.keys(), everywhere];
    changes.put({ kind: 'asker', id: host, places: [{ network: listeners }], networks: seen, resolvers: 'host' });
  };
  const tellNetwork = (id: string, { name, subnets }: Here) => {
    here.set(id, { name, subnets });
    changes.put({ kind: 'network', id, ...defined({ name }), subnets });
  };
  const forget = (id: string) => {
    const network = others.get(id)?.value.network;
    others.delete(id);
    if (network === undefined) return;
    othersOn.get(network)?.delete(id);
    changes.remove({ kind: 'endpoint', id });
  };
  const known = ({ value, lost }: Held<Endpoint>): KnownName => ({
    ...{ id: value.id, names: namesOf(value), addresses: addressesOf(value), ports: value.ports ?? [] },
    network: { id: value.network, ...defined({ name: here.get(value.network)?.name }) },
    ...{ host: value.host, ...defined({ container: value.container }), lost, byHand: false },
    itself: isHostItself(value),
  });
  const knownRecord = ({ value, lost }: Held<NameRecord>): KnownName => ({
    ...{ id: value.id, names: [value.name], addresses: value.addresses, ports: value.ports ?? [] },
    ...(value.network !== undefined && {
      network: { id: value.network, ...defined({ name: networks.get(value.network)?.name }) },
    }),
    ...{ host: value.host, itself: false, lost, byHand: true },
  });
  tellHost();
  // A host that starts while the store is away may be on networks that it does not know the names of.
  networks.onPut(({ id, name }) => {
    const now = here.get(id);
    if (now !== undefined && now.name !== name) tellNetwork(id, { ...now, name });
  });

  return {
    sandbox(id, sandbox) {
      const before = sandboxes.get(id);
      const kept = new Set(sandbox?.endpoints);
      for (const endpoint of before?.endpoints ?? []) {
        if (!kept.has(endpoint)) changes.remove({ kind: 'endpoint', id: endpoint.id });
      }
      if (sandbox === undefined) {
        sandboxes.delete(id);
        if (before !== undefined) changes.remove({ kind: 'asker', id });
        return;
      }
      sandboxes.set(id, sandbox);
      const had = new Set(before?.endpoints);
      for (const endpoint of sandbox.endpoints) if (!had.has(endpoint)) tellEndpoint(endpoint, false);
      if (before !== undefined && isSame(before, sandbox)) return;
      const { endpoints, left, exits, resolvers } = sandbox;
      const places = [
        ...[...endpoints, ...left].flatMap((one) =>
          addressesOf(one).map((address) => ({ network: one.network, address })),
        ),
        ...exits.map((address) => ({ network: listeners, address })),
      ];
      const seen = [...endpoints.map(({ network }) => network), everywhere];
      changes.put({ kind: 'asker', id, places, networks: seen, resolvers });
    },
    put(endpoint, lost) {
      const before = others.get(endpoint.id);
      if (before?.value === endpoint && before.lost === lost) return;
      others.set(endpoint.id, { value: endpoint, lost });
      const there = othersOn.get(endpoint.network) ?? new Set();
      othersOn.set(endpoint.network, there.add(endpoint.id));
      tellEndpoint(endpoint, lost);
    },
    remove: forget,
    network(id, subnets) {
      const isNew = !here.has(id);
      tellNetwork(id, { name: networks.get(id)?.name, subnets });
      if (isNew) tellHost();
    },
    leave(network) {
      for (const id of othersOn.get(network) ?? []) forget(id);
      othersOn.delete(network);
      if (!here.delete(network)) return;
      changes.remove({ kind: 'network', id: network });
      tellHost();
    },
    told: () => changes.told(),
    sockets({ put, gone }) {
      for (const id of gone) changes.remove({ kind: 'socket', id });
      for (const { id, network = listeners, transport, family, fd } of put) {
        changes.put({ kind: 'socket', id, network, transport, family, fd });
      }
      changes.flush();
    },
    async lookup({ sandbox, name, type }) {
      if (sandbox !== undefined && !sandboxes.has(sandbox)) {
        throw new Refusal('not-found', `sandbox ${sandbox} asks nobody here for names`);
      }
      await changes.told();
      return await server.lookup({ asker: sandbox ?? host, name, type });
    },
    list: () => [
      ...[...sandboxes.values()].flatMap(({ endpoints }) => endpoints.map((value) => known({ value, lost: false }))),
      ...[...others.values()].map(known),
      ...[...records.values()].map(knownRecord),
    ],
    async status() {
      return { ...(await server.status()), domains, ...defined({ staleSince: staleSince(), unheld: unheld() }) };
    },
    record(record, lost) {
      records.set(record.id, { value: record, lost });
      const { id, name, addresses, network = everywhere, ports } = record;
      changes.put({ kind: 'endpoint', id, network, names: [name], addresses, ...defined({ ports }), lost });
    },
    recordGone(id) {
      if (records.delete(id)) changes.remove({ kind: 'endpoint', id });
    },
  };
}

function namesOf({ name, aliases }: Endpoint): readonly string[] {
  return [name, ...aliases];
}

function addressesOf({ addresses }: Endpoint): readonly string[] {
  return addresses.map(withoutLength);
}

/** Whether it asks from the same places and sees the same. */
function isSame(one: NamedSandbox, other: NamedSandbox): boolean {
  const places = (endpoints: readonly Endpoint[]) => endpoints.map(({ network, addresses }) => [network, addresses]);
  const text = ({ endpoints, left, exits, resolvers }: NamedSandbox) =>
    JSON.stringify([places(endpoints), places(left), exits, resolvers]);
  return text(one) === text(other);
}
