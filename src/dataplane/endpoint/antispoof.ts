import { formatAddress, parseInterfaceAddress } from '../../lib/prefix.ts';
import { linkLocalOf } from '../mac.ts';
import { nft } from '../nft.ts';
import type { NftChain } from '../objects.ts';

/**
 * What a sandbox may send into a bridge: frames from its own MAC and addresses, ARP and neighbour advertisements for them,
 * and nothing that only a router or a DHCP server says; IPv6 only if it has an IPv6 address. The MAC itself is checked by
 * the bridge (port `locked`, static FDB entry), which costs less than a rule; the rules stand at the port's ingress hook,
 * because bridge hooks lack `meta` in some kernels. They are ordered by what passes most often: TCP, then UDP. What is not
 * accepted is dropped.
 */
export function antispoof(namespace: string, port: string, mac: string, addresses: readonly string[]): NftChain {
  const parsed = addresses.map((text) => parseInterfaceAddress(text).address);
  const own4 = parsed.filter(({ family }) => family === 4).map(formatAddress);
  const own6 = parsed.filter(({ family }) => family === 6).map(formatAddress);
  const rules = [
    ...(own4.length > 0 ? ipv4Rules(anyOf(own4)) : []),
    ...(own6.length > 0 ? ipv6Rules([...own6, linkLocalOf(mac)]) : []),
    ...(own4.length > 0 ? [`arp saddr ether ${mac} arp saddr ip ${anyOf(own4)} accept`] : []),
  ];
  const hook = { type: 'filter', hook: 'ingress', priority: 0, policy: 'drop', device: port };
  return nft.chain(namespace, 'netdev', port, rules, hook);
}

function ipv4Rules(own: string): string[] {
  return [
    `ip saddr ${own} meta l4proto != udp accept`,
    // DHCP server answers
    `ip saddr ${own} udp sport != 67 accept`,
    // later fragments, which have no ports; without their first one they are nothing
    `ip saddr ${own} ip frag-off & 0x1fff != 0 accept`,
  ];
}

function ipv6Rules(own: readonly string[]): string[] {
  const target = '@th,64,128';
  return [
    `ip6 saddr ${anyOf(own)} meta l4proto tcp accept`,
    'icmpv6 type { nd-router-advert, nd-redirect } drop',
    `icmpv6 type nd-neighbor-advert ${target} != ${anyOf(own.map(hexOf))} drop`,
    // DHCPv6 server answers
    'meta protocol ip6 udp sport 547 drop',
    `ip6 saddr ${anyOf(own)} accept`,
  ];
}

function anyOf(values: readonly string[]): string {
  return values.length === 1 ? String(values[0]) : `{ ${values.join(', ')} }`;
}

/** An IPv6 address as nft wants it where it does not know that it is one. */
function hexOf(address: string): string {
  return `0x${parseInterfaceAddress(`${address}/128`).address.value.toString(16)}`;
}
