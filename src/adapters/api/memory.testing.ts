import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import {
  CommandFailed,
  type Containers,
  type ExecSpec,
  type OutputOptions,
  type RunSpec,
} from '../../controllers/containers/containers.ts';
import type { Connect, Endpoints, LocalEndpoint, OpenSandbox, Sandbox } from '../../controllers/endpoints/endpoints.ts';
import type { HostState } from '../../controllers/hosts/hosts.ts';
import { defined } from '../../lib/defined.ts';
import { messageOf, Refusal } from '../../lib/errors.ts';
import { formatAddress, formatPrefix, parsePrefix } from '../../lib/prefix.ts';
import type { Container } from '../../model/container.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { frame } from '../../model/frame.ts';
import { defaultNetwork, type Network } from '../../model/network.ts';
import { version } from '../../model/version.ts';
import type { ApiNeeds } from './handlers.ts';
import { memoryNames } from './memory-names.testing.ts';

/**
 * The controllers in memory, for tests of the API and the command line: one host, no kernel, no store. Containers are
 * plain processes of this machine, so that output, input and exit codes are real.
 */

type ContainerChange = Pick<Container, 'state'>;
const newId = () => randomBytes(32).toString('hex');
const now = () => new Date().toISOString();

function findIn<T extends { readonly id: string; readonly name: string }>(
  what: string,
  text: string,
  all: readonly T[],
): T {
  const thing = all.find(({ id, name }) => id === text || name === text) ?? all.find(({ id }) => id.startsWith(text));
  if (thing === undefined) throw new Refusal('not-found', `${what} ${text} not found`);
  return thing;
}

export function memoryControllers(options: { readonly stop: () => void }): ApiNeeds {
  const self: HostState = {
    host: {
      id: '0'.repeat(31).concat('1'),
      name: 'h1',
      key: `${'A'.repeat(43)}=`,
      advertise: '192.0.2.1:2376',
      data: '192.0.2.1',
      mtu: 1500,
      routes: [],
      version,
      featureLevel: 1,
      epoch: 1,
      bootId: 'boot',
      started: now(),
    },
    state: 'alive',
    lastSeen: now(),
  };
  const lost: HostState = {
    ...self,
    host: { ...self.host, id: '2'.repeat(32), name: 'h2', data: '192.0.2.2' },
    state: 'lost',
  };
  const networks = memoryNetworks(self.host.id);
  const endpoints = memoryEndpoints(self.host.id, networks);
  return {
    hosts: {
      self: self.host,
      cluster: { id: 'c'.repeat(64), generation: 1, featureLevel: 1, created: now(), dataPort: 4789, underlay: 4 },
      list: () => [self, lost],
    },
    paths: { problems: () => [] },
    networks,
    endpoints,
    containers: memoryContainers(endpoints),
    ...memoryNames(self.host.id, networks, endpoints),
    store: { status: () => ({ url: 'memory:', members: [{ url: 'memory:', healthy: true }], lastAnswer: now() }) },
    skipped: () => [{ place: '/skein/networks/x', reason: 'is not JSON' }],
    gateway: () => (endpoints.sandboxes().some(({ exit }) => exit) ? { addresses: ['172.18.0.1/16'] } : undefined),
    stop: options.stop,
    started: now(),
  };
}

function memoryNetworks(host: string): ApiNeeds['networks'] {
  const all = new Map<string, Network>();
  const networks: ApiNeeds['networks'] = {
    create: async ({ name, subnets, ipv6, internal, attachable, options, labels, driver }) => {
      if (driver !== undefined && driver !== 'overlay')
        throw new Refusal('unsupported', `there is no driver ${driver}`);
      if ([...all.values()].some((network) => network.name === name)) {
        throw new Refusal('conflict', `network with name ${name} already exists`);
      }
      const wanted = subnets.length > 0 ? subnets : [{ subnet: `10.0.${all.size}.0/24` }];
      const network: Network = {
        id: newId(),
        name,
        created: now(),
        driver: 'overlay',
        subnets: wanted.map(({ subnet, gateway, ipRange, auxAddresses }) => {
          const prefix = parsePrefix(subnet.toLowerCase());
          const first = formatAddress({ ...prefix.address, value: prefix.address.value + 1n });
          const rest = { ...(ipRange && { ipRange }), ...(auxAddresses && { auxAddresses: { ...auxAddresses } }) };
          return { subnet: formatPrefix(prefix), gateway: gateway ?? first, ...rest };
        }),
        vni: 256 + all.size,
        mtu: 1450,
        ipv6,
        internal,
        attachable,
        options: { ...options },
        labels: { ...labels },
        owner: host,
        featureLevel: 1,
      };
      all.set(network.id, network);
      return network;
    },
    list: () => [...all.values()],
    find: (nameOrId) => findIn('network', nameOrId, [...all.values()]),
    use: async (nameOrId) => {
      const isThere = nameOrId !== defaultNetwork || [...all.values()].some(({ name }) => name === defaultNetwork);
      if (isThere) return networks.find(nameOrId);
      const plain = { ipv6: false, internal: false, attachable: true, options: {}, labels: {} };
      return await networks.create({ name: defaultNetwork, subnets: [{ subnet: '10.32.0.0/12' }], ...plain });
    },
    remove: async (nameOrId) => {
      const network = findIn('network', nameOrId, [...all.values()]);
      all.delete(network.id);
      return network;
    },
  };
  return networks;
}

type MemoryEndpoints = ApiNeeds['endpoints'] & Pick<Endpoints, 'closeSandbox'>;

function memoryEndpoints(host: string, networks: ApiNeeds['networks']): MemoryEndpoints {
  const sandboxes = new Map<
    string,
    Sandbox & { readonly endpoints: Map<string, LocalEndpoint>; readonly from?: string }
  >();
  const found = (id: string) => {
    const sandbox = sandboxes.get(id);
    if (sandbox === undefined) throw new Refusal('not-found', `sandbox ${id} not found`);
    return sandbox;
  };

  async function connect({
    sandbox: id,
    network: reference,
    name,
    aliases,
    ip,
    addresses = [],
    mac,
  }: Connect): Promise<Endpoint> {
    const sandbox = found(id);
    const network = await networks.use(reference);
    const others = [...sandboxes.values()].flatMap(({ endpoints }) => endpoints.get(network.id) ?? []);
    if (others.some(({ endpoint }) => endpoint.name === name)) {
      throw new Refusal('conflict', `service endpoint with name ${name} already exists`);
    }
    const address = ip ?? addresses[0]?.split('/')[0] ?? `10.0.0.${2 + others.length}`;
    const endpoint: Endpoint = {
      id: newId(),
      network: network.id,
      name,
      aliases: [...aliases],
      mac: mac ?? `02:42:0a:00:00:0${2 + others.length}`,
      addresses: addresses.length > 1 ? [...addresses] : [`${address}/24`],
      host,
      epoch: 1,
      sandbox: { id, key: sandbox.key },
      created: now(),
      ...(sandbox.container === undefined ? {} : { container: { ...sandbox.container } }),
    };
    sandbox.endpoints.set(network.id, { endpoint, interface: `eth${sandbox.endpoints.size}`, port: 'veth0' });
    return endpoint;
  }

  async function openSandbox({ adopt, exit, container, connect: places = [] }: OpenSandbox): Promise<Sandbox> {
    const from = adopt === undefined ? newId() : JSON.stringify(adopt);
    const known = [...sandboxes.values()].find((sandbox) => sandbox.from === from);
    const id = known?.id ?? randomBytes(6).toString('hex');
    const way = { interface: 'eth1', mac: '02:42:ac:12:00:02', addresses: ['172.18.0.2/16'] };
    if (known === undefined) {
      const sandbox = { id, from, key: `/run/skein/netns/${id}`, endpoints: new Map<string, LocalEndpoint>() };
      sandboxes.set(id, {
        ...sandbox,
        ...(exit ? { exit: way } : {}),
        ...(container === undefined ? {} : { container }),
      });
    }
    try {
      for (const place of places) await connect({ ...place, sandbox: id });
    } catch (error) {
      if (known === undefined) sandboxes.delete(id);
      throw error;
    }
    return found(id);
  }

  return {
    openSandbox,
    connect,
    disconnect: async (id, network) => {
      if (!found(id).endpoints.delete(network)) throw new Refusal('not-found', `sandbox ${id} is not on that network`);
    },
    expel: async ({ name }, reference) => {
      throw new Refusal('not-found', `${reference} is not connected to network ${name}`);
    },
    detach: async (source, network) => {
      const sandbox = [...sandboxes.values()].find(({ from }) => from === JSON.stringify(source));
      if (!sandbox?.endpoints.delete(network)) throw new Refusal('not-found', 'the namespace is not attached');
      if (sandbox.endpoints.size === 0) sandboxes.delete(sandbox.id);
    },
    expose: async ({ network, name = 'h1', masquerade = true, ...wishes }) => {
      const { id, internal } = await networks.use(network);
      if (internal && !masquerade) throw new Refusal('invalid', `network ${network} is internal`);
      const known = [...sandboxes.values()].find((sandbox) => sandbox.host);
      const sandbox = known ?? {
        ...{ id: randomBytes(6).toString('hex'), host: true as const, key: '/proc/1/ns/net' },
        endpoints: new Map<string, LocalEndpoint>(),
      };
      sandboxes.set(sandbox.id, sandbox);
      const aliases = name === 'h1' ? [] : ['h1'];
      const local = sandbox.endpoints.get(id);
      const endpoint =
        local?.endpoint ?? (await connect({ ...wishes, sandbox: sandbox.id, network: id, name, aliases }));
      const device = `skein-${id.slice(0, 9)}`;
      sandbox.endpoints.set(id, { endpoint, interface: device, port: 'veth0', masquerade });
      return { endpoint, interface: device, masquerade };
    },
    hide: async (network, address) => {
      const { id } = networks.find(network);
      const host = [...sandboxes.values()].find((sandbox) => sandbox.host);
      const local = host?.endpoints.get(id);
      if (host === undefined || local === undefined) return undefined;
      if (address !== undefined && !local.endpoint.addresses.includes(`${address}/24`)) {
        throw new Refusal('conflict', `this host does not have ${address}`);
      }
      host.endpoints.delete(id);
      return { ...local, masquerade: local.masquerade ?? true };
    },
    closeSandbox: async (id) => {
      sandboxes.delete(id);
    },
    sandbox: (id) => sandboxes.get(id),
    sandboxes: () => [...sandboxes.values()],
    list: async (network) =>
      [...sandboxes.values()].flatMap(({ endpoints }) => {
        const local = endpoints.get(network);
        return local === undefined ? [] : [{ endpoint: local.endpoint, lost: false }];
      }),
  };
}

/** A process and all that it wrote. */
class Recorded extends EventEmitter {
  readonly process: ChildProcessWithoutNullStreams;
  readonly frames: Uint8Array[] = [];
  exitCode: number | undefined;

  private constructor(child: ChildProcessWithoutNullStreams) {
    super({ captureRejections: true });
    this.setMaxListeners(0);
    this.process = child;
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].on('data', (bytes: Buffer) => {
        this.frames.push(frame.encode({ stream, time: 0n, bytes }));
        this.emit('change');
      });
    }
    child.once('close', (code, signal) => {
      this.exitCode = code ?? (signal === 'SIGKILL' ? 137 : 143);
      this.emit('change');
    });
  }

  static async start({
    command,
    env,
    interactive,
  }: Pick<ExecSpec, 'command' | 'env' | 'interactive'>): Promise<Recorded> {
    const [program = '', ...args] = command;
    const variables = Object.fromEntries(
      env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
    const child = spawn(program, args, {
      env: { PATH: process.env['PATH'], ...variables },
      stdio: 'pipe',
      detached: true,
    });
    child.stdin.on('error', () => undefined);
    try {
      const recorded = new Recorded(child);
      await once(child, 'spawn');
      if (!interactive) child.stdin.end();
      return recorded;
    } catch (cause) {
      throw new CommandFailed(127, `cannot run ${program}: not found: ${messageOf(cause)}`);
    }
  }

  output({ follow, tail, offset, signal }: OutputOptions): Readable {
    const skipped =
      tail === undefined ? (offset ?? 0) : Buffer.concat(this.frames).length - lastLines(this.frames, tail);
    return Readable.from(this.#read(skipped, follow, signal), { objectMode: false });
  }

  async *#read(offset: number, follow: boolean, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let sent = offset;
    for (;;) {
      const all = Buffer.concat(this.frames);
      const ended = this.exitCode !== undefined;
      if (all.length > sent) yield all.subarray(sent);
      sent = Math.max(sent, all.length);
      if (ended || !follow || signal.aborted) return;
      await once(this, 'change', { signal }).catch(() => undefined);
    }
  }

  /** The whole group, as the end of a container's first process ends the others. */
  kill(signal: NodeJS.Signals): void {
    if (this.process.pid !== undefined) process.kill(-this.process.pid, signal);
  }

  async ended(signal: AbortSignal): Promise<number> {
    while (this.exitCode === undefined) await once(this, 'change', { signal });
    return this.exitCode;
  }
}

/** Bytes of the last frames; a frame is taken for a line. */
function lastLines(frames: readonly Uint8Array[], count: number): number {
  return count === 0 ? 0 : frames.slice(-count).reduce((sum, bytes) => sum + bytes.length, 0);
}

function memoryContainers(endpoints: MemoryEndpoints): Containers {
  const all = new Map<string, Container>();
  const streams = new Map<string, Recorded>();
  const found = (nameOrId: string) => findIn('container', nameOrId, [...all.values()]);
  const stream = (id: string) => {
    const recorded = streams.get(id);
    if (recorded === undefined) throw new Refusal('not-found', `there is no container or exec ${id}`);
    return recorded;
  };
  const change = (id: string, to: ContainerChange) => {
    const container = all.get(id);
    if (container !== undefined) all.set(id, { ...container, ...to });
  };

  const containers: Containers = {
    refresh: async () => undefined,
    run: async (spec) => {
      const id = newId();
      const name = spec.name ?? `quiet_${id.slice(0, 6)}`;
      if ([...all.values()].some((container) => container.name === name)) {
        throw new Refusal('conflict', `the container name ${name} is in use`);
      }
      const { network, ip, addresses, mac, aliases } = spec;
      const place = { name, aliases, ...defined<Pick<RunSpec, 'ip' | 'addresses' | 'mac'>>({ ip, addresses, mac }) };
      const connect = network === undefined ? {} : { connect: [{ ...place, network }] };
      const sandbox = await endpoints.openSandbox({ exit: true, container: { id, name }, ...connect });
      const recorded = await Recorded.start(spec).catch(async (error: unknown) => {
        await endpoints.closeSandbox(sandbox.id);
        throw error;
      });
      const started = now();
      const container: Container = {
        id,
        name,
        created: started,
        command: [...spec.command],
        env: [...spec.env],
        hostname: spec.hostname ?? id.slice(0, 12),
        interactive: spec.interactive,
        tty: spec.tty,
        remove: spec.remove,
        restart: spec.restart ?? { name: 'no', most: 0 },
        restarts: 0,
        ...(spec.dns && { dns: spec.dns }),
        ...(spec.ports && { ports: [...spec.ports] }),
        stopped: false,
        places: [],
        sandbox: sandbox.id,
        state: { status: 'running', pid: recorded.process.pid ?? 0, started },
      };
      all.set(id, container);
      streams.set(id, recorded);
      recorded.process.once('close', () => {
        change(id, { state: { status: 'exited', exitCode: recorded.exitCode ?? 0, started, finished: now() } });
        if (spec.remove) all.delete(id);
      });
      return container;
    },
    list: () => [...all.values()].toReversed(),
    find: found,
    kill: async (nameOrId, signal) => {
      const { id, name, state } = found(nameOrId);
      if (state.status !== 'running') throw new Refusal('conflict', `container ${name} is not running`);
      const word = signal.startsWith('SIG') ? signal : `SIG${signal}`;
      if (!/^SIG(KILL|TERM|INT|HUP)$/.test(word)) throw new Refusal('invalid', `there is no signal ${signal}`);
      stream(id).kill(word as NodeJS.Signals);
    },
    start: async (nameOrId) => {
      const { id, command, env, interactive, state } = found(nameOrId);
      if (state.status === 'running') return;
      const recorded = await Recorded.start({ command, env, interactive });
      streams.set(id, recorded);
      change(id, { state: { status: 'running', pid: recorded.process.pid ?? 0, started: now() } });
    },
    stop: async (nameOrId) => {
      const { id, state } = found(nameOrId);
      if (state.status !== 'running') return;
      stream(id).kill('SIGTERM');
      await stream(id).ended(new AbortController().signal);
    },
    restart: async (nameOrId, options) => {
      await containers.stop(nameOrId, options);
      await containers.start(nameOrId);
    },
    remove: async (nameOrId, { force }) => {
      const container = found(nameOrId);
      if (container.state.status === 'running') {
        if (!force) throw new Refusal('conflict', `container ${container.name} is running: kill it first or use force`);
        stream(container.id).kill('SIGKILL');
      }
      await endpoints.closeSandbox(container.sandbox);
      all.delete(container.id);
      return container;
    },
    streams: {
      exec: async (nameOrId, spec) => {
        found(nameOrId);
        const id = newId();
        streams.set(id, await Recorded.start(spec));
        return id;
      },
      output: (id, options) => stream(id).output(options),
      input: (id) => {
        const { exitCode, process: child } = stream(id);
        if (exitCode !== undefined) throw new Refusal('conflict', `cannot write to container: ${id} is not running`);
        const { stdin } = child;
        const pass = new PassThrough();
        pass.pipe(stdin);
        return pass;
      },
      resize: async (id) => {
        stream(id);
      },
      wait: (id, { signal }) => stream(id).ended(signal),
    },
  };
  return containers;
}
