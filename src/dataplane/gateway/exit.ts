import { withoutLength } from '../../lib/prefix.ts';
import type { ExitPiece, GatewayPiece, SandboxPiece } from '../dataplane.ts';
import { antispoof } from '../endpoint/antispoof.ts';
import { inside } from '../endpoint/inside.ts';
import { macFor } from '../mac.ts';
import { HOST, type KernelObject, linkId, object } from '../objects.ts';
import { GATEWAY_BRIDGE } from './gateway.ts';

/** Whether an interface of the host has a name as ours to sandboxes have. */
export function isExitName(name: string): boolean {
  return /^veth[0-9a-f]{7}$/.test(name);
}

/** A sandbox's place on the gateway bridge, and its default routes. Pure. */
export function exitObjects(piece: ExitPiece, gateway: GatewayPiece, sandbox: SandboxPiece): KernelObject[] {
  const { port, mac, interface: device } = piece;
  const { mtu } = gateway;
  const link = linkId(HOST, port);
  return [
    object.veth(HOST, port, {
      mac: macFor(`exit ${port}`),
      mtu,
      master: GATEWAY_BRIDGE,
      flags: { learning: false, unicastFlood: false, isolated: true, locked: true },
      peer: { namespace: sandbox.id, name: device, mac, mtu },
    }),
    object.bridgeFdb(HOST, GATEWAY_BRIDGE, mac, port),
    { ...antispoof(HOST, port, mac, piece.addresses), parent: link },
    object.up(HOST, port, link),
    ...inside(sandbox, piece, link),
    ...gateway.addresses
      .filter((via) => piece.addresses.some((own) => own.includes(':') === via.includes(':')))
      .map((via) => {
        const dst = via.includes(':') ? '::/0' : '0.0.0.0/0';
        return object.route(sandbox.id, dst, { via: withoutLength(via), device }, link);
      }),
  ];
}
