import type { ExitPiece, NetworkPiece, PortPiece, RemotePiece, SandboxPiece } from '../../dataplane/dataplane.ts';
import { parsePrefix } from '../../lib/prefix.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { type Network, namespaceName } from '../../model/network.ts';
import type { Exit, SandboxRecord } from './sandbox-record.ts';

/** From our nouns to the pieces of the data plane. Pure. */

export function sandboxPiece({ id, adopted }: Pick<SandboxRecord, 'id' | 'adopted'>): SandboxPiece {
  return { kind: 'sandbox', id, ...(adopted === undefined ? {} : { adopted }) };
}

export function networkPiece(network: Network): NetworkPiece {
  return {
    kind: 'network',
    id: network.id,
    namespace: namespaceName(network),
    vni: network.vni,
    mtu: network.mtu,
    gateways: network.subnets.map(({ subnet, gateway }) => `${gateway}/${parsePrefix(subnet).length}`),
  };
}

export function portPiece(endpoint: Endpoint, place: { readonly port: string; readonly interface: string }): PortPiece {
  return {
    kind: 'port',
    network: endpoint.network,
    endpoint: endpoint.id,
    sandbox: endpoint.sandbox.id,
    port: place.port,
    interface: place.interface,
    mac: endpoint.mac,
    addresses: endpoint.addresses,
  };
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
    addresses: endpoint.addresses.map((text) => text.split('/')[0] ?? text),
    via,
  };
}
