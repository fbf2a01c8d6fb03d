import type {
  ExitPiece,
  GatewayPiece,
  ListenerPiece,
  NetworkPiece,
  Piece,
  PortPiece,
  RemotePiece,
  SandboxPiece,
} from '../../dataplane/dataplane.ts';
import { parsePrefix, withoutLength } from '../../lib/prefix.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { nameServerAddresses } from '../../model/name-server.ts';
import { type Network, namespaceName } from '../../model/network.ts';
import type { NamesPlace } from '../../model/setting-values.ts';
import { connectedPlaces, type Exit, type Place, type SandboxRecord } from './sandbox-record.ts';

/** From our nouns to the pieces of the data plane. Pure. */

export function sandboxPiece({ id, host, adopted }: Pick<SandboxRecord, 'id' | 'host' | 'adopted'>): SandboxPiece {
  return { kind: 'sandbox', id, ...(host && { host }), ...(adopted === undefined ? {} : { adopted }) };
}

/** What of a network's record the kernel is told. */
export function overlayOf(network: Network): NonNullable<Place['overlay']> {
  return {
    namespace: namespaceName(network),
    vni: network.vni,
    mtu: network.mtu,
    gateways: network.subnets.flatMap(({ subnet, gateway }) =>
      gateway === undefined ? [] : [`${gateway}/${parsePrefix(subnet).length}`],
    ),
    ...(network.apart && { apart: network.subnets.map(({ subnet }) => subnet) }),
    internal: network.internal,
    ...(network.names === 'shared' && { sharedNames: true }),
  };
}

export function networkPiece(
  id: string,
  { namespace, vni, mtu, gateways, apart }: NonNullable<Place['overlay']>,
): NetworkPiece {
  const families = new Set([...gateways, ...(apart ?? [])].map((text) => (text.includes(':') ? 6 : 4)));
  const answers = [...families].map((family) => nameServerAddresses[family]);
  return { kind: 'network', id, namespace, vni, mtu, gateways, answers, ...(apart && { apart }) };
}

/** Where names are answered besides the networks, the addresses of the gateway bridge in place of its word. */
export function listenerPieces(
  places: readonly NamesPlace[],
  gateway: GatewayPiece | undefined,
): readonly ListenerPiece[] {
  const own = (gateway?.addresses ?? []).map(withoutLength);
  return places.flatMap(({ address, port }) =>
    (address === 'gateway' ? own : [address]).map((at) => ({ kind: 'listener' as const, address: at, port })),
  );
}

/** All of a sandbox but the networks. */
export function sandboxPieces(record: SandboxRecord): readonly Piece[] {
  return [
    sandboxPiece(record),
    ...connectedPlaces(record).map((place) => portPiece(place.endpoint, place)),
    ...(record.exit === undefined ? [] : [exitPiece(record.id, record.exit)]),
  ];
}

export function portPiece(
  endpoint: Endpoint,
  place: Pick<Place, 'port' | 'interface' | 'masquerade' | 'overlay'>,
): PortPiece {
  return {
    kind: 'port',
    network: endpoint.network,
    endpoint: endpoint.id,
    sandbox: endpoint.sandbox.id,
    port: place.port,
    interface: place.interface,
    mac: endpoint.mac,
    addresses: endpoint.addresses,
    ...forwardsOf(place),
  };
}

/** Of the host's own: nothing is forwarded onto a network that is internal. */
function forwardsOf({ masquerade, overlay }: Pick<Place, 'masquerade' | 'overlay'>): Pick<PortPiece, 'forwards'> {
  if (masquerade === undefined || overlay?.internal === true) return {};
  return { forwards: masquerade ? 'masqueraded' : 'as-it-came' };
}

export function exitPiece(sandbox: string, exit: Exit): ExitPiece {
  return {
    kind: 'exit',
    sandbox,
    port: exit.port,
    interface: exit.interface,
    mac: exit.mac,
    addresses: exit.addresses,
  };
}

export function remotePiece(endpoint: Endpoint, via: string): RemotePiece {
  return {
    kind: 'remote',
    network: endpoint.network,
    endpoint: endpoint.id,
    mac: endpoint.mac,
    addresses: endpoint.addresses.map(withoutLength),
    via,
  };
}
