import {
  formatAddress,
  formatPrefix,
  networkOf,
  overlaps,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
} from '../../lib/prefix.ts';
import type { NetworkPiece, PortPiece, SandboxPiece } from '../dataplane.ts';
import { EXPOSED_PRIORITY } from '../guard/guard.ts';
import { CONTAINER_MACS, macFor } from '../mac.ts';
import { HOST, type KernelObject, linkId, type ObjectId, object } from '../objects.ts';
import { alone, BRIDGE, VXLAN } from '../overlay/network.ts';
import { antispoof, sendingApart } from './antispoof.ts';
import { exposedObjects } from './exposed.ts';
import { inside } from './inside.ts';
import { namespaceOf } from './sandbox.ts';

/** A whole number of ticks at every rate that kernels are built with: it is read as it was written. */
const ASK_AGAIN_MS = '40';

/** An endpoint of this host: the veth between `br0` and the sandbox, and what the port lets through and on. Pure. */
export function portObjects(piece: PortPiece, network: NetworkPiece, sandbox: SandboxPiece): KernelObject[] {
  const { port, mac } = piece;
  const { namespace, mtu } = network;
  const link = linkId(namespace, port);
  const into = namespaceOf(sandbox);
  const isHost = sandbox.host !== undefined;
  const spoof = antispoof(namespace, port, mac, piece.addresses, {
    ...(isHost && { priority: EXPOSED_PRIORITY }),
    ...(piece.forwards === 'as-it-came' && { except: subnetsOf(network) }),
    isApart: network.apart !== undefined,
  });
  return [
    object.veth(namespace, port, {
      mac: macFor(`port ${piece.endpoint}`),
      mtu,
      master: BRIDGE,
      flags: { learning: false, unicastFlood: false, isolated: false, locked: true },
      peer: { namespace: into, name: piece.interface, mac, mtu },
    }),
    object.bridgeFdb(namespace, BRIDGE, mac, port),
    // See overlay/network.ts.
    object.redirect(namespace, VXLAN, mac, port),
    // Past the port's rules nothing would tell the guard what it is.
    ...(isHost ? [] : shortcut(piece, network)),
    ...(network.apart ? apartObjects(piece, network, into, network.apart) : []),
    { ...spoof, parent: link },
    object.up(namespace, port, link),
    ...inside(sandbox, piece, link),
    ...(isHost ? exposedObjects(piece, link) : []),
    ...askingAgain(piece, link, into),
    ...[...otherSubnets(piece, network), ...answersFor(piece, network)].map((dst) =>
      object.route(into, dst, { device: piece.interface }, link),
    ),
  ];
}

/**
 * A container that speaks to one on another host before this host has heard of it gets no answer to its first ARP request or
 * neighbour solicitation; by default it would ask again after a second. See arp(7), retrans_time_ms.
 */
function askingAgain({ interface: device, addresses }: PortPiece, link: ObjectId, sandbox: string): KernelObject[] {
  const families = new Set(addresses.map((address) => (address.includes(':') ? 'ipv6' : 'ipv4')));
  return [...families].map((family) =>
    object.sysctl(sandbox, `net/${family}/neigh/${device}/retrans_time_ms`, ASK_AGAIN_MS, link),
  );
}

/** Those of the network that the endpoint has no address in, but one of the family: they are on the same link. */
function otherSubnets({ addresses }: PortPiece, network: NetworkPiece): string[] {
  if (network.apart) return [];
  const own = addresses.map((text) => networkOf(parseInterfaceAddress(text)));
  return subnetsOf(network)
    .filter((subnet) => {
      const family = own.filter(({ address }) => address.family === subnet.address.family);
      return family.length > 0 && !family.some((other) => overlaps(other, subnet));
    })
    .map(formatPrefix);
}

/** The name server, on the link: by no router, whatever routes the sandbox has. */
function answersFor({ addresses }: PortPiece, { answers }: NetworkPiece): string[] {
  return answers.filter((answer) => addresses.some((own) => own.includes(':') === answer.includes(':'))).map(alone);
}

function subnetsOf({ gateways, apart = [] }: NetworkPiece): Prefix[] {
  return [...gateways.map((text) => networkOf(parseInterfaceAddress(text))), ...apart.map(parsePrefix)];
}

/**
 * Where subnets do not reach each other. The bridge has no address in them, and a route for the answers of the name server. What
 * all of a network are told, in multicast and broadcast, is only heard from the own subnet: the host itself hears all.
 */
function apartObjects(
  piece: PortPiece,
  { namespace }: NetworkPiece,
  into: string,
  apart: readonly string[],
): KernelObject[] {
  const own = piece.addresses.map((text) => networkOf(parseInterfaceAddress(text)));
  return [
    ...own.flatMap((subnet) => [
      sendingApart(namespace, subnet, apart),
      object.route(namespace, formatPrefix(subnet), { device: BRIDGE }, linkId(namespace, BRIDGE)),
    ]),
    ...(into === HOST
      ? []
      : [object.sysctl(into, `net/ipv4/conf/${piece.interface}/rp_filter`, '1', linkId(namespace, piece.port))]),
  ];
}

function shortcut({ port, mac, addresses }: PortPiece, { namespace, apart }: NetworkPiece): KernelObject[] {
  if (addresses.length === 0) return [];
  const own = addresses.map((text) => (apart ? text : formatAddress(parseInterfaceAddress(text).address)));
  return [object.shortcut(namespace, port, { mac, addresses: own, prefix: CONTAINER_MACS, to: VXLAN })];
}
