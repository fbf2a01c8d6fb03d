import type { NetworkPiece, UnderlayPiece } from '../dataplane.ts';
import { sending } from '../endpoint/antispoof.ts';
import { quiet } from '../endpoint/sandbox.ts';
import { familyOf, VNIS } from '../guard/guard.ts';
import { macFor } from '../mac.ts';
import { nft } from '../nft.ts';
import { HOST, type KernelObject, object, type SocketObject, type SocketPlace } from '../objects.ts';

export const BRIDGE = 'br0';
export const VXLAN = 'vxlan0';

const DNS_PORT = 53;

/** An address as the whole of its subnet. */
export function alone(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

/** Sockets of both kinds at each place. Pure. */
export function answering(namespace: string, places: readonly Omit<SocketPlace, 'transport'>[]): SocketObject[] {
  return places.flatMap(({ address, port, network }) =>
    (['udp', 'tcp'] as const).map((transport) =>
      object.socket(namespace, { transport, address, port, ...(network !== undefined && { network }) }),
    ),
  );
}

/** The same on every host, and nobody else's. */
export function bridgeMac({ id }: Pick<NetworkPiece, 'id'>): string {
  return macFor(`bridge ${id}`);
}

/**
 * A network on this host: `br0` with the gateways' addresses, `vxlan0` that answers ARP and ND from static entries.
 * `br0` has one MAC on every host, so a container that moves keeps its neighbour entry; each host's `vxlan0` has its own,
 * because a vxlan device drops what comes from its own MAC.
 *
 * What comes in by `vxlan0` for a container here is redirected to its port at once, past the bridge: the way that it would
 * take there too, without two lookups and three hooks. TCP that a container sends from its own MAC and addresses to MACs of
 * containers goes from its port to `vxlan0` at once, and from there to the port of a container here, or to the host that
 * has it. All else (ARP, ND, gateway, other MACs) is the bridge's. See docs/decisions/0003. Pure.
 */
export function networkObjects(piece: NetworkPiece, underlay: UnderlayPiece): KernelObject[] {
  const { namespace, mtu, vni } = piece;
  const bridge = object.bridge(namespace, BRIDGE, { mac: bridgeMac(piece), mtu });
  const link = `${namespace} ${bridge.key}`;
  return [
    object.netns(namespace),
    ...quiet(namespace),
    // No link-local addresses: what is in here is an infrastructure that speaks only when asked.
    object.sysctl(namespace, 'net/ipv6/conf/default/addr_gen_mode', '1'),
    object.up(namespace, 'lo'),
    bridge,
    // Before any port: one that comes up with ports takes no multicast for a second, and with it no question for its MAC.
    object.up(namespace, BRIDGE, link),
    ...[...piece.gateways, ...piece.answers.map(alone)].map((address) =>
      object.address(namespace, BRIDGE, address, link),
    ),
    ...answering(
      namespace,
      piece.answers.map((address) => ({ address, port: DNS_PORT, network: piece.id })),
    ),
    object.vxlan(namespace, VXLAN, {
      id: vni,
      local: underlay.data,
      port: underlay.port,
      mac: macFor(`vxlan ${piece.id} ${underlay.data}`),
      mtu,
      master: BRIDGE,
      flags: { learning: false, unicastFlood: false, isolated: false, locked: false },
      // A network card puts packets together, where there is one; here it would cost each packet a second queue.
      gro: false,
    }),
    object.ingress(namespace, VXLAN),
    object.up(namespace, VXLAN, `${namespace} link ${VXLAN}`),
    nft.table(namespace, 'netdev'),
    ...sending(namespace),
    nft.element(HOST, familyOf(underlay.data), VNIS, String(vni)),
  ];
}
