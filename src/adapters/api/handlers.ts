import { randomBytes } from 'node:crypto';
import { release } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import type { Containers } from '../../controllers/containers/containers.ts';
import type { Endpoints } from '../../controllers/endpoints/endpoints.ts';
import type { Hosts, Paths } from '../../controllers/hosts/hosts.ts';
import { encapsulation } from '../../controllers/ipam/ipam.ts';
import type { Networks } from '../../controllers/networks/networks.ts';
import { Refusal } from '../../lib/errors.ts';
import { aliasesOf, type Container } from '../../model/container.ts';
import type { Membership } from '../../state/mesh/membership.ts';
import { describeApi } from './description.ts';
import { openMeshHandlers, refuseMeshHandlers, reportMesh, viewMesh, type WayTo } from './mesh.ts';
import { type NamesApiNeeds, openNameHandlers, viewDns } from './names.ts';
import type { AnswerOf, JsonRouteKey, RequestOf } from './routes.ts';
import type { ContainerView, ExposedView, HostView, NetworkView, StatusView } from './schema.ts';
import {
  type Gateway,
  gatewayName,
  refuseGateway,
  viewAttached,
  viewContainer,
  viewExposed,
  viewGateway,
  viewHost,
  viewNetwork,
} from './view.ts';

export interface StoreHealth {
  readonly url: string;
  readonly members: readonly { readonly url: string; readonly healthy: boolean }[];
  readonly lastAnswer?: string;
  readonly failingSince?: string;
  readonly lastError?: string;
}

/** What the API answers from. */
export interface ApiNeeds extends Pick<NamesApiNeeds, 'names' | 'records'> {
  readonly hosts: Pick<Hosts, 'self' | 'cluster' | 'list'>;
  readonly paths: Pick<Paths, 'problems'>;
  readonly networks: Pick<Networks, 'create' | 'list' | 'find' | 'use' | 'remove'>;
  readonly endpoints: Pick<
    Endpoints,
    'openSandbox' | 'connect' | 'disconnect' | 'expel' | 'detach' | 'expose' | 'hide' | 'sandbox' | 'sandboxes' | 'list'
  >;
  readonly containers: Containers;
  readonly store: { status(): StoreHealth };
  /** Of a cluster without a store. */
  readonly membership?: Membership | undefined;
  /** Records of the store that are nonsense. */
  readonly skipped: () => readonly { readonly place: string; readonly reason: string }[];
  /** The gateway bridge, once it exists. */
  readonly gateway: () => Gateway | undefined;
  /** Begins to end the daemon; returns at once. Called when its asker has been answered. */
  readonly stop: () => void;
  readonly started: string;
}

export interface Answering {
  /** Aborts when the asker goes away. */
  readonly signal: AbortSignal;
  /** Does it when the asker has been answered, or has gone. */
  readonly afterwards: (task: () => void) => void;
}

export type JsonHandlers = {
  readonly [K in JsonRouteKey]: (request: RequestOf<K>, options: Answering) => AnswerOf<K> | Promise<AnswerOf<K>>;
};

export interface Handlers extends JsonHandlers {
  readonly readOutput: (request: RequestOf<'readOutput'>, options: { readonly signal: AbortSignal }) => Readable;
  readonly writeInput: (request: RequestOf<'writeInput'>) => Writable;
}

export const apiVersion = '1';

/** What each route does, said in the controllers' words. */
export function openHandlers(needs: ApiNeeds): Handlers {
  const { hosts, paths, networks, endpoints, containers, store, membership, skipped, gateway, started } = needs;
  const self = hosts.self.id;

  function pathTo(host: string): Pick<HostView, 'path'> {
    const problem = paths.problems().find(({ id }) => id === host);
    return problem ? { path: problem.kind } : {};
  }

  /** All packets go straight from host to host in VXLAN, or not at all. */
  const wayTo: WayTo = (host) => {
    const [here, there] = [self, host].map((id) => hosts.list().find((known) => known.host.id === id)?.host);
    if (here === undefined || there === undefined) return undefined;
    const wrong = paths.problems().filter(({ id, network }) => network === undefined && (id ?? host) === host);
    const isCut = wrong.some(({ kind }) => ['carrier', 'port', 'silent'].includes(kind));
    const mtu = Math.min(here.mtu, there.mtu) - encapsulation(hosts.cluster.underlay);
    const reason = wrong.length > 0 ? { reason: wrong.map(({ sentence }) => sentence).join('; ') } : {};
    return isCut ? { kind: 'none', ...reason } : { kind: 'vxlan', mtu, ...reason };
  };

  function getStatus(): StatusView {
    const { id, generation, featureLevel, dataPort, underlay } = hosts.cluster;
    const known = hosts.list();
    const mine = known.find(({ host }) => host.id === self) ?? { host: hosts.self, state: 'alive' as const };
    const all = containers.list();
    const health = store.status();
    const mesh = membership && viewMesh(membership);
    return {
      state: 'ready',
      version: hosts.self.version,
      pid: process.pid,
      started,
      cluster: { id, generation, featureLevel, dataPort, underlay },
      store: { ...health, members: health.members.map((member) => ({ ...member })) },
      host: viewHost(mine, self),
      hosts: {
        alive: known.filter(({ state }) => state === 'alive').length,
        lost: known.filter(({ state }) => state === 'lost').length,
      },
      networks: networks.list().length,
      containers: { all: all.length, running: all.filter(isRunning).length },
      sandboxes: endpoints.sandboxes().length,
      exposed: listExposed(),
      paths: paths.problems().map((problem) => ({ ...problem })),
      skipped: skipped().map((record) => ({ ...record })),
      ...(mesh && { mesh }),
    };
  }

  function listHosts(): HostView[] {
    return hosts.list().map((state) => ({ ...viewHost(state, self), ...pathTo(state.host.id) }));
  }

  function listExposed(): ExposedView[] {
    const host = endpoints.sandboxes().find((sandbox) => sandbox.host);
    return Array.from(host?.endpoints.values() ?? [], ({ masquerade = true, ...place }) =>
      viewExposed({ ...place, masquerade }, nameOf(place.endpoint.network)),
    );
  }

  /** Or its id, while the catalog cannot show it. */
  function nameOf(network: string): string {
    return networks.list().find(({ id }) => id === network)?.name ?? network;
  }

  function listNetworks(): NetworkView[] {
    return [...networks.list().map((network) => viewNetwork(network, [], self)), ...bridge()];
  }

  function bridge(): NetworkView[] {
    const way = gateway();
    if (way === undefined) return [];
    return [viewGateway(way, { self, since: hosts.self.started, sandboxes: endpoints.sandboxes() })];
  }

  async function getNetwork(name: string): Promise<NetworkView> {
    const local = bridge().find(
      ({ Name, Id }) => name === Name || name === Id || (name.length >= 12 && Id.startsWith(name)),
    );
    if (local !== undefined) return local;
    const network = networks.find(name);
    const states = await endpoints.list(network.id);
    const wrong = paths.problems().filter((problem) => problem.network === network.id);
    return {
      ...viewNetwork(
        network,
        states.map(({ endpoint }) => endpoint),
        self,
      ),
      ...(wrong.length > 0 && { Problems: wrong.map(({ sentence }) => sentence) }),
    };
  }

  function getContainer(nameOrId: string): ContainerView {
    return view(containers.find(nameOrId));
  }

  function view(container: Container): ContainerView {
    return viewContainer(container, {
      sandbox: endpoints.sandbox(container.sandbox),
      networks: new Map(networks.list().map((network) => [network.id, network])),
      gateway: gateway(),
      self,
    });
  }

  async function inspect(name: string): Promise<AnswerOf<'inspect'>> {
    try {
      return { Kind: 'container', Container: getContainer(name) };
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    try {
      return { Kind: 'network', Network: await getNetwork(name) };
    } catch (error) {
      if (!isAbsent(error)) throw error;
      throw new Refusal('not-found', `no such object: ${name}`);
    }
  }

  async function connect(name: string, body: RequestOf<'connectContainer'>['body']) {
    refuseGateway(name);
    const { container: reference, ...wishes } = body;
    const container = containers.find(reference);
    if (!isRunning(container)) throw new Refusal('conflict', `container ${container.name} is not running`);
    const network = await networks.use(name);
    const { name: own, ports } = container;
    const request = { ...wishes, network: network.id, name: own, ...(ports && { ports }) };
    const endpoint = await named(container, network, () =>
      endpoints.connect({
        ...request,
        sandbox: container.sandbox,
        aliases: aliasesOf(container, wishes.aliases),
      }),
    );
    await containers.refresh(container.id);
    return attached(container.sandbox, endpoint.network, { container: container.name, network: name });
  }

  /** A container's sandbox goes when it ends: nobody knows that by its id. */
  async function named<T>(
    { name, sandbox }: Pick<Container, 'name' | 'sandbox'>,
    network: { readonly name: string },
    act: () => Promise<T>,
  ): Promise<T> {
    try {
      return await act();
    } catch (cause) {
      if (!isAbsent(cause) || endpoints.sandbox(sandbox) !== undefined) throw cause;
      const reason = `container ${name} is on no network any more: it ended`;
      throw new Refusal('not-found', `${reason}, and cannot be put on or taken off network ${network.name}`, { cause });
    }
  }

  async function disconnect(name: string, { container: reference, force }: RequestOf<'disconnectContainer'>['body']) {
    const network = networks.find(name);
    try {
      const container = containers.find(reference);
      await named(container, network, () => endpoints.disconnect(container.sandbox, network.id));
      await containers.refresh(container.id);
    } catch (error) {
      if (!force || !isAbsent(error)) throw error;
      await endpoints.expel(network, reference);
    }
  }

  function attached(id: string, network: string, names: { readonly container: string; readonly network: string }) {
    const sandbox = endpoints.sandbox(id);
    const local = sandbox?.endpoints.get(network);
    if (sandbox === undefined || local === undefined) {
      throw new Refusal(
        'conflict',
        `${names.container} was disconnected from network ${names.network} again meanwhile`,
      );
    }
    return viewAttached(sandbox, local);
  }

  async function expose(name: string, wishes: RequestOf<'exposeHost'>['body']) {
    refuseGateway(name);
    const exposed = await endpoints.expose({ ...wishes, network: name });
    return viewExposed(exposed, nameOf(exposed.endpoint.network));
  }

  async function attach({ path, pid, exit, name, network, ...wishes }: RequestOf<'attach'>['body']) {
    refuseGateway(network);
    const { id } = await networks.use(network);
    const place = { ...wishes, network: id, name: name ?? randomBytes(6).toString('hex') };
    const sandbox = await endpoints.openSandbox({ adopt: namespaceOf({ path, pid }), exit, connect: [place] });
    return attached(sandbox.id, id, { container: place.name, network });
  }

  async function detach({ network, path, pid, sandbox }: RequestOf<'detach'>['body']) {
    const { id } = networks.find(network);
    if (sandbox === undefined) await endpoints.detach(namespaceOf({ path, pid }), id);
    else await endpoints.disconnect(sandbox, id);
    return {};
  }

  return {
    getVersion: () => ({
      Version: hosts.self.version,
      ApiVersion: apiVersion,
      FeatureLevel: hosts.self.featureLevel,
      NodeVersion: process.versions.node,
      KernelVersion: release(),
      Os: process.platform,
      Arch: process.arch,
    }),
    getStatus,
    getDescription: () => ({ ...describeApi(hosts.self.version) }),
    stopDaemon: (_, { afterwards }) => {
      afterwards(needs.stop);
      return {};
    },
    getReport: async () => ({
      status: getStatus(),
      ...{ hosts: listHosts(), networks: listNetworks(), containers: containers.list().map(view) },
      dns: await viewDns(needs.names),
      ...(membership && { mesh: reportMesh(membership, wayTo) }),
    }),
    listHosts,
    listNetworks,
    createNetwork: async ({ body }) => {
      const warnings: string[] = [];
      const { id } = await networks.create(body, (sentence) => warnings.push(sentence));
      return { Id: id, Warning: warnings.join('\n') };
    },
    getNetwork: ({ params }) => getNetwork(params.name),
    removeNetwork: async ({ params }) => {
      refuseGateway(params.name);
      const { id, name } = await networks.remove(params.name);
      return { Id: id, Name: name };
    },
    connectContainer: ({ params, body }) => connect(params.name, body),
    disconnectContainer: async ({ params, body }) => {
      refuseGateway(params.name);
      await disconnect(params.name, body);
      return {};
    },
    exposeHost: ({ params, body }) => expose(params.name, body),
    hideHost: async ({ params, body }) => {
      const hidden = await endpoints.hide(params.name, body.address);
      return { addresses: [...(hidden?.endpoint.addresses ?? [])] };
    },
    inspect: ({ params }) => inspect(params.name),
    listContainers: ({ query }) =>
      containers
        .list()
        .filter((container) => query.all || isRunning(container) || container.state.status === 'restarting')
        .map(view),
    runContainer: async ({ body: { network, ...spec } }) => {
      // Docker's way to say that it is to be on no other: that bridge it has by itself.
      const on = network === undefined || network === gatewayName ? {} : { network };
      return { Id: (await containers.run({ ...spec, ...on })).id };
    },
    getContainer: ({ params }) => getContainer(params.name),
    removeContainer: async ({ params, query }) => {
      const { id, name } = await containers.remove(params.name, query);
      return { Id: id, Name: name };
    },
    killContainer: async ({ params, body }) => {
      await containers.kill(params.name, body.signal);
      return {};
    },
    startContainer: async ({ params }) => {
      await containers.start(params.name);
      return {};
    },
    stopContainer: async ({ params, body }) => {
      await containers.stop(params.name, body);
      return {};
    },
    restartContainer: async ({ params, body }) => {
      await containers.restart(params.name, body);
      return {};
    },
    execContainer: async ({ params, body }) => ({ Id: await containers.streams.exec(params.name, body) }),
    readOutput: ({ params, query }, options) => {
      if (query.tail !== undefined && query.offset !== undefined) {
        throw new Refusal('invalid', 'the query: tail and offset exclude each other');
      }
      return containers.streams.output(params.id, { ...query, ...options });
    },
    writeInput: ({ params }) => containers.streams.input(params.id),
    resizeTerminal: async ({ params, body }) => {
      await containers.streams.resize(params.id, body);
      return {};
    },
    waitForExit: async ({ params }, options) => ({ StatusCode: await containers.streams.wait(params.id, options) }),
    attach: ({ body }) => attach(body),
    detach: ({ body }) => detach(body),
    ...openNameHandlers(needs),
    ...(membership ? openMeshHandlers(membership, wayTo) : refuseMeshHandlers(() => store.status().url)),
  };
}

function namespaceOf({ path, pid }: { path?: string | undefined; pid?: number | undefined }) {
  if (path !== undefined && pid === undefined) return { path };
  if (pid !== undefined && path === undefined) return { pid };
  throw new Refusal('invalid', 'the body: give either the path or the pid of a network namespace');
}

function isRunning({ state }: Container): boolean {
  return state.status === 'running';
}

function isAbsent(error: unknown): boolean {
  return error instanceof Refusal && error.kind === 'not-found';
}
