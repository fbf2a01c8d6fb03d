import { createHash } from 'node:crypto';
import type { Exposed, LocalEndpoint, Sandbox } from '../../controllers/endpoints/endpoints.ts';
import type { HostState } from '../../controllers/hosts/hosts.ts';
import { Refusal } from '../../lib/errors.ts';
import { formatPrefix, networkOf, parseInterfaceAddress } from '../../lib/prefix.ts';
import type { Container } from '../../model/container.ts';
import { type Endpoint, isHostItself } from '../../model/endpoint.ts';
import { gatewayBridge } from '../../model/interfaces.ts';
import type { Network } from '../../model/network.ts';
import type { AttachedView, ContainerView, ExposedView, HostView, NetworkView } from './schema.ts';

/** Our records as Docker's `inspect` shows them. Pure. */

export const gatewayName = gatewayBridge;

/** What is done with networks of the cluster cannot be done with the way out of a host. @throws Refusal 'forbidden' */
export function refuseGateway(network: string | undefined): void {
  if (network !== gatewayName) return;
  throw new Refusal('forbidden', `${gatewayName} is this host's own bridge: containers join it by themselves`);
}

/** The way out of this host, once it exists: addresses of the bridge, `172.18.0.1/16`. */
export interface Gateway {
  readonly addresses: readonly string[];
}

export function viewHost({ host, state, lastSeen }: HostState, self: string): HostView {
  const { id, name, advertise, data, mtu, version } = host;
  const seen = lastSeen === undefined ? {} : { lastSeen };
  return { id, name, advertise, data, mtu, version, state, ...seen, self: id === self };
}

/** `endpoints` are those of every host; those of another host stand under `ep-` and their id, as in Docker. */
export function viewNetwork(network: Network, endpoints: readonly Endpoint[], self: string): NetworkView {
  const containers = endpoints.map(
    (endpoint) => [keyOf(endpoint, self), viewPlace(endpoint, isHostItself(endpoint))] as const,
  );
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: 'global',
    Driver: network.driver,
    EnableIPv6: network.ipv6,
    IPAM: {
      Driver: 'default',
      Options: {},
      Config: network.subnets.map(({ subnet, ipRange, gateway, auxAddresses }) => ({
        Subnet: subnet,
        ...(ipRange === undefined ? {} : { IPRange: ipRange }),
        ...(gateway === undefined ? {} : { Gateway: gateway }),
        ...(auxAddresses === undefined ? {} : { AuxiliaryAddresses: auxAddresses }),
      })),
    },
    Internal: network.internal,
    Attachable: network.attachable,
    ...(network.names === 'shared' && { Names: network.names }),
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(containers),
    Options: network.options,
    Labels: network.labels,
  };
}

function keyOf(endpoint: Endpoint, self: string): string {
  const local = endpoint.host === self ? endpoint.container?.id : undefined;
  return local ?? `ep-${endpoint.id}`;
}

function viewPlace({ id, name, mac, addresses }: Pick<Endpoint, 'id' | 'name' | 'mac' | 'addresses'>, isHost = false) {
  return {
    Name: name,
    EndpointID: id,
    MacAddress: mac,
    IPv4Address: addresses.find(isIpv4) ?? '',
    IPv6Address: addresses.find(isIpv6) ?? '',
    ...(isHost && { Kind: 'host' as const }),
  };
}

/** The gateway bridge as a network of this host only. It has no record: its ids are made from the host's and the sandboxes'. */
export function viewGateway(
  { addresses }: Gateway,
  { self, since, sandboxes }: { self: string; since: string; sandboxes: readonly Sandbox[] },
): NetworkView {
  const places = sandboxes.flatMap(({ id, container, exit }) => {
    if (exit === undefined) return [];
    const owner = container?.id ?? id;
    const place = { id: idOf('exit', id), name: `gateway_${owner.slice(0, 12)}`, mac: exit.mac };
    return [[owner, viewPlace({ ...place, addresses: [...exit.addresses] })] as const];
  });
  return {
    Name: gatewayName,
    Id: idOf(gatewayName, self),
    Created: since,
    Scope: 'local',
    Driver: 'bridge',
    EnableIPv6: addresses.some(isIpv6),
    IPAM: {
      Driver: 'default',
      Options: {},
      Config: addresses.map((text) => ({
        Subnet: formatPrefix(networkOf(parseInterfaceAddress(text))),
        Gateway: bare(text),
      })),
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(places),
    Options: {
      'com.docker.network.bridge.enable_icc': 'false',
      'com.docker.network.bridge.enable_ip_masquerade': 'true',
      'com.docker.network.bridge.name': gatewayName,
    },
    Labels: {},
  };
}

const never = '0001-01-01T00:00:00Z';

export function viewContainer(
  container: Container,
  {
    sandbox,
    networks,
    gateway,
    self,
  }: {
    sandbox: Sandbox | undefined;
    /** By id. */
    networks: ReadonlyMap<string, Network>;
    gateway: Gateway | undefined;
    self: string;
  },
): ContainerView {
  const {
    id,
    created,
    command,
    state,
    name,
    hostname,
    tty,
    interactive,
    env,
    remove,
    restart,
    restarts,
    dns,
    ports = [],
  } = container;
  const ended = state.status === 'exited' || state.status === 'restarting';
  const [path = '', ...args] = command;
  const places = [...(sandbox?.endpoints.values() ?? [])].map(({ endpoint }) => viewMembership(endpoint, networks));
  return {
    Id: id,
    Created: created,
    Path: path,
    Args: args,
    State: {
      Status: state.status,
      // As Docker has it: one that is about to live again counts as running.
      Running: state.status === 'running' || state.status === 'restarting',
      Restarting: state.status === 'restarting',
      Pid: state.status === 'running' ? state.pid : 0,
      ExitCode: ended ? state.exitCode : 0,
      StartedAt: state.status === 'created' ? never : state.started,
      FinishedAt: ended ? state.finished : never,
    },
    // With the slash of Docker's.
    Name: `/${name}`,
    RestartCount: restarts,
    HostConfig: {
      AutoRemove: remove,
      RestartPolicy: { Name: restart.name, MaximumRetryCount: restart.most },
      Dns: dns?.servers ?? [],
      DnsOptions: dns?.options ?? [],
      DnsSearch: dns?.search ?? [],
    },
    Config: {
      Hostname: hostname,
      Tty: tty,
      OpenStdin: interactive,
      Env: env,
      Cmd: command,
      Rootfs: container.rootfs ?? '',
      ExposedPorts: Object.fromEntries(ports.map(({ port, protocol }) => [`${port}/${protocol}`, {}])),
    },
    NetworkSettings: {
      SandboxID: container.sandbox,
      SandboxKey: sandbox?.key ?? '',
      Networks: Object.fromEntries(places.length > 0 ? places : viewExit(sandbox, gateway, self)),
    },
  };
}

function viewMembership(endpoint: Endpoint, networks: ReadonlyMap<string, Network>) {
  const network = networks.get(endpoint.network);
  const gateways = network?.subnets.flatMap(({ gateway }) => gateway ?? []) ?? [];
  return [network?.name ?? endpoint.network, viewAddresses(endpoint, gateways)] as const;
}

/** A container on no overlay shows the bridge, as Docker shows its default one. */
function viewExit(sandbox: Sandbox | undefined, gateway: Gateway | undefined, self: string) {
  if (sandbox?.exit === undefined) return [];
  const { mac, addresses } = sandbox.exit;
  const endpoint = { id: idOf('exit', sandbox.id), network: idOf(gatewayName, self), mac, addresses, aliases: [] };
  return [[gatewayName, viewAddresses(endpoint, gateway?.addresses.map(bare) ?? [])] as const];
}

function viewAddresses(
  {
    id,
    network,
    mac,
    addresses,
    aliases,
  }: Readonly<Pick<Endpoint, 'id' | 'network' | 'mac'>> & {
    readonly addresses: readonly string[];
    readonly aliases: readonly string[];
  },
  gateways: readonly string[],
) {
  const [ip = '', length = '0'] = (addresses.find(isIpv4) ?? '').split('/');
  const [ip6 = '', length6 = '0'] = (addresses.find(isIpv6) ?? '').split('/');
  return {
    Aliases: [...aliases],
    NetworkID: network,
    EndpointID: id,
    Gateway: ip === '' ? '' : (gateways.find(isIpv4) ?? ''),
    IPAddress: ip,
    IPPrefixLen: Number(length),
    IPv6Gateway: ip6 === '' ? '' : (gateways.find(isIpv6) ?? ''),
    GlobalIPv6Address: ip6,
    GlobalIPv6PrefixLen: Number(length6),
    MacAddress: mac,
    // Docker has at most one of each family.
    ...(addresses.length > [ip, ip6].filter((text) => text !== '').length && { Addresses: [...addresses] }),
  };
}

export function viewAttached(
  { key }: Pick<Sandbox, 'key'>,
  { endpoint, interface: device }: Pick<LocalEndpoint, 'endpoint' | 'interface'>,
): AttachedView {
  const { id, network, name, mac, addresses, sandbox } = endpoint;
  return { endpoint: id, network, name, sandbox: sandbox.id, key, interface: device, mac, addresses };
}

export function viewExposed({ endpoint, interface: device, masquerade }: Exposed, network: string): ExposedView {
  const { network: id, name, addresses, mac } = endpoint;
  return { id, network, name, interface: device, addresses, mac, masquerade };
}

function idOf(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join(' ')).digest('hex');
}

function bare(text: string): string {
  return text.replace(/\/.*/, '');
}

function isIpv6(text: string): boolean {
  return text.includes(':');
}

function isIpv4(text: string): boolean {
  return !isIpv6(text);
}
