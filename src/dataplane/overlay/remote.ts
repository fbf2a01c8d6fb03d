import { withoutLength } from '../../lib/prefix.ts';
import type { NetworkPiece, RemotePiece, UnderlayPiece } from '../dataplane.ts';
import { memberObjects } from '../guard/guard.ts';
import { type KernelObject, object } from '../objects.ts';
import { BRIDGE, bridgeMac, VXLAN } from './network.ts';

/**
 * An endpoint elsewhere: behind which port and host its MAC is, which MAC its addresses have, and that its host may send
 * packets of the network. Pure.
 */
export function remoteObjects(piece: RemotePiece, network: NetworkPiece, underlay: UnderlayPiece): KernelObject[] {
  const { namespace } = network;
  const { mac, via, addresses } = piece;
  if (mac === bridgeMac(network)) return [];
  return [
    object.vxlanFdb(namespace, VXLAN, mac, via),
    object.bridgeFdb(namespace, BRIDGE, mac, VXLAN),
    ...memberObjects(piece, network, underlay),
    ...addresses.map((address) => object.neighbour(namespace, VXLAN, withoutLength(address), mac)),
  ];
}
