import { formatPrefix, networkOf, parseInterfaceAddress } from '../../lib/prefix.ts';
import { gatewayBridge } from '../../model/interfaces.ts';
import type { GatewayPiece } from '../dataplane.ts';
import { sending } from '../endpoint/antispoof.ts';
import { FORWARDING } from '../host-settings.ts';
import { macFor } from '../mac.ts';
import { nft } from '../nft.ts';
import { HOST, type KernelObject, linkId, object } from '../objects.ts';

export const GATEWAY_BRIDGE = gatewayBridge;

/**
 * The way out of this host. Sandboxes reach the outside and nobody reaches them: not one another, neither over the bridge
 * (isolated ports) nor by way of the host, and nobody who routes packets to their addresses through this host. Pure.
 */
export function gatewayObjects({ addresses, mtu }: GatewayPiece): KernelObject[] {
  const link = linkId(HOST, GATEWAY_BRIDGE);
  return [
    object.bridge(HOST, GATEWAY_BRIDGE, { mac: macFor('gateway bridge'), mtu }),
    object.sysctl(HOST, `net/ipv6/conf/${GATEWAY_BRIDGE}/accept_ra`, '0', link),
    object.up(HOST, GATEWAY_BRIDGE, link),
    ...addresses.map((address) => object.address(HOST, GATEWAY_BRIDGE, address, link)),
    nft.table(HOST, 'netdev'),
    ...sending(HOST),
    ...addresses.flatMap((address) => forwarding(address)),
  ];
}

function forwarding(text: string): KernelObject[] {
  const address = parseInterfaceAddress(text);
  const family = address.address.family === 4 ? 'ip' : 'ip6';
  const prefix = formatPrefix(networkOf(address));
  return [
    object.sysctl(HOST, FORWARDING[family], '1'),
    nft.table(HOST, family),
    nft.chain(
      HOST,
      family,
      'gateway-forward',
      [
        `iifname "${GATEWAY_BRIDGE}" oifname "${GATEWAY_BRIDGE}" drop`,
        `oifname "${GATEWAY_BRIDGE}" ct state established,related accept`,
        `oifname "${GATEWAY_BRIDGE}" drop`,
      ],
      { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' },
    ),
    nft.chain(
      HOST,
      family,
      'gateway-masquerade',
      [`${family} saddr ${prefix} oifname != "${GATEWAY_BRIDGE}" masquerade`],
      { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' },
    ),
  ];
}
