import type { NetworkPiece, RemotePiece } from '../dataplane.ts';
import { type KernelObject, object } from '../objects.ts';
import { BRIDGE, bridgeMac, VXLAN } from './network.ts';

/** An endpoint elsewhere: behind which port and host its MAC is, and which MAC its addresses have. Pure. */
export function remoteObjects({ mac, via, addresses }: RemotePiece, network: NetworkPiece): KernelObject[] {
  const { namespace } = network;
  if (mac === bridgeMac(network)) return [];
  return [
    object.vxlanFdb(namespace, VXLAN, mac, via),
    object.bridgeFdb(namespace, BRIDGE, mac, VXLAN),
    ...addresses.map((address) => object.neighbour(namespace, VXLAN, address.replace(/\/.*/, ''), mac)),
  ];
}
