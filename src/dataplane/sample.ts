import { nameServerAddresses } from '../model/name-server.ts';
import type { Piece, PortPiece, RemotePiece } from './dataplane.ts';

/** Pieces for tests: one network with a container on each of two hosts. */
export const network = {
  kind: 'network',
  id: '3d430f3338aa',
  namespace: '1-3d430f3338',
  vni: 256,
  mtu: 1450,
  gateways: ['10.0.0.1/24', 'fd01::1/64'],
  answers: [nameServerAddresses[4], nameServerAddresses[6]],
} as const;

export interface HostSample {
  /** 1, 2, … */
  readonly number: number;
  readonly data: string;
}

export function sandboxOf({ number }: HostSample): string {
  return `a0000000000${number}`;
}

export function portOf(host: HostSample): PortPiece {
  return {
    kind: 'port',
    network: network.id,
    endpoint: `e${host.number}`,
    sandbox: sandboxOf(host),
    port: 'veth0',
    interface: 'eth0',
    mac: `02:42:0a:00:00:1${host.number}`,
    addresses: [`10.0.0.1${host.number}/24`, `fd01::1${host.number}/64`],
  };
}

export function remoteOf(host: HostSample): RemotePiece {
  const { endpoint, mac, addresses } = portOf(host);
  return { kind: 'remote', network: network.id, endpoint, mac, addresses, via: host.data };
}

/** What `host` should hold, when `others` have a container on the network too. */
export function piecesFor(host: HostSample, others: readonly HostSample[]): readonly Piece[] {
  return [
    { kind: 'underlay', data: host.data, port: 4789 },
    { kind: 'gateway', addresses: ['172.18.0.1/16', 'fd18::1/64'], mtu: 1500 },
    { kind: 'sandbox', id: sandboxOf(host) },
    network,
    portOf(host),
    exitOf(host),
    ...others.flatMap((other): Piece[] => [{ kind: 'peer', data: other.data }, remoteOf(other)]),
  ];
}

/** The host itself on the network: a sandbox and its port. */
export function hostOn(forwards?: PortPiece['forwards']): readonly Piece[] {
  const sandbox = 'b00000000001';
  return [
    { kind: 'sandbox', id: sandbox, host: { forwards: forwards ? [4, 6] : [] } },
    {
      ...{ kind: 'port', network: network.id, endpoint: 'x1', sandbox, port: 'veth5', interface: 'skein-3d430f333' },
      ...{ mac: '02:42:0a:00:00:05', addresses: ['10.0.0.5/24', 'fd01::5/64'] },
      ...(forwards && { forwards }),
    },
  ];
}

export function exitOf(host: HostSample, place = 2): Extract<Piece, { kind: 'exit' }> {
  return {
    kind: 'exit',
    sandbox: sandboxOf(host),
    port: `veth000000${place}`,
    interface: 'eth1',
    mac: `02:42:ac:12:00:0${place}`,
    addresses: [`172.18.0.${place}/16`, `fd18::${place}/64`],
  };
}
