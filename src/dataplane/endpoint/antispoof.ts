import { linkLocalOf } from '../../lib/link-local.ts';
import { formatAddress, formatPrefix, networkOf, type Prefix, parseInterfaceAddress } from '../../lib/prefix.ts';
import { nft } from '../nft.ts';
import { HOST, type NftChain } from '../objects.ts';

/**
 * What a sandbox may send into a bridge: frames from its own MAC and addresses, ARP and neighbour advertisements for them,
 * and nothing that only a router says or that a DHCP client hears; IPv6 only if it has an IPv6 address. The MAC itself
 * is checked by the bridge (port `locked`, static FDB entry), which costs less than a rule; the rules stand at the
 * port's ingress hook, because bridge hooks lack `meta` in some kernels. They are ordered by what passes most often:
 * TCP, then UDP. What is not accepted is dropped. The port's shortcut stands before them: what it takes must be what
 * they would accept.
 *
 * A port's own chain has only what names its addresses, in words that are quick to set (see port-rules.ts), and leads to
 * what `sending` makes once for all ports of a namespace. With `except` it is that of who routes for others: their
 * addresses are let out too, of the families that it has itself, but none in these subnets. With `priority` packets are
 * marked by it. Where subnets are apart, each address leads to the chain of its own (`sendingApart`).
 */
export function antispoof(
  namespace: string,
  port: string,
  mac: string,
  addresses: readonly string[],
  {
    priority,
    except,
    isApart = false,
  }: { readonly priority?: string; readonly except?: readonly Prefix[]; readonly isApart?: boolean } = {},
): NftChain {
  const parsed = addresses.map((text) => parseInterfaceAddress(text).address);
  const inside4 = addresses.map(parseInterfaceAddress).filter(({ address }) => address.family === 4);
  const own4 = inside4.map(({ address }) => formatAddress(address));
  const own6 = parsed.filter(({ family }) => family === 6).map(formatAddress);
  if (own6.length > 0) own6.push(linkLocalOf(mac));
  const rules = [
    ...(priority === undefined ? [] : [`meta priority set ${priority}`]),
    ...inside4.map((own) => `ip saddr ${formatAddress(own.address)} goto ${isApart ? chainOf(networkOf(own)) : SEND4}`),
    ...(own6.length > 0 ? [`icmpv6 type nd-neighbor-advert ${own6.map(isNotTarget).join(' ')} drop`] : []),
    ...own6.map((own) => `ip6 saddr ${own} goto ${SEND6}`),
    ...own4.map((own) => `arp saddr ether ${mac} arp saddr ip ${own} accept`),
    ...(except && own4.length > 0 ? [`ip saddr != ${besides(NOBODY4, except, 4)} goto ${SEND4}`] : []),
    ...(except && own6.length > 0 ? [`ip6 saddr != ${besides(NOBODY6, except, 6)} goto ${SEND6}`] : []),
  ];
  const hook = { type: 'filter', hook: 'ingress', priority: 0, policy: 'drop', device: port };
  return nft.chain(namespace, 'netdev', port, rules, hook);
}

/** What no packet comes from that was forwarded. */
const NOBODY4 = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3'];
const NOBODY6 = ['::/8', 'fe80::/10', 'ff00::/8'];

function besides(nobody: readonly string[], except: readonly Prefix[], family: 4 | 6): string {
  const own = except.filter(({ address }) => address.family === family).map(formatPrefix);
  return `{ ${[...nobody, ...own].join(', ')} }`;
}

const SEND4 = 'send4';
const SEND6 = 'send6';

/**
 * What a packet with the right source may be, the same for all ports of a namespace. Each rule accepts what it can see: a
 * first fragment whose headers are in a later one shows no protocol's header, and is dropped.
 */
export function sending(namespace: string): NftChain[] {
  // Where a setting of the host lets addresses of `lo` in from outside, as some do for published ports.
  const loopback = namespace === HOST ? ['ip daddr 127.0.0.0/8 drop'] : [];
  return [
    nft.chain(namespace, 'netdev', SEND4, [
      ...loopback,
      'meta l4proto tcp accept',
      // DHCP clients listen there, to answers from any port.
      'udp dport != 68 accept',
      LATER_FRAGMENT4,
      'igmp type membership-query drop',
      'meta l4proto != udp accept',
    ]),
    nft.chain(namespace, 'netdev', SEND6, [
      'meta l4proto tcp accept',
      'icmpv6 type != { mld-listener-query, 133-137 } accept',
      // What hosts say of neighbour discovery, never in fragments (RFC 6980).
      'icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } exthdr frag missing accept',
      'udp dport != 546 accept',
      LATER_FRAGMENT6,
      'meta l4proto != { icmpv6, udp } accept',
    ]),
  ];
}

/**
 * Where the subnets of a network are apart: what goes to another of them is dropped, whatever routes the sandbox has. One chain
 * for all ports of a namespace with an address in the subnet, so that a port's own is set as quickly as before. Only the
 * sender's side can tell: what comes in by the tunnel goes past the receiver's rules.
 */
export function sendingApart(namespace: string, subnet: Prefix, apart: readonly string[]): NftChain {
  const others = apart.filter((text) => text !== formatPrefix(subnet));
  return nft.chain(namespace, 'netdev', chainOf(subnet), [
    `ip daddr ${formatPrefix(subnet)} goto ${SEND4}`,
    ...(others.length === 0 ? [] : [`ip daddr { ${others.join(', ')} } drop`]),
    `goto ${SEND4}`,
  ]);
}

/** `send4-10-32-0-0-12` */
function chainOf(subnet: Prefix): string {
  return `${SEND4}-${formatPrefix(subnet).replace(/[./]/g, '-')}`;
}

/** They have no ports; without their first one they are nothing. */
const LATER_FRAGMENT4 = 'ip frag-off & 0x1fff != 0 accept';
const LATER_FRAGMENT6 = 'frag frag-off != 0 accept';

/** The target of a neighbour advertisement; nft wants it as a number there, where it does not know that it is an address. */
function isNotTarget(address: string): string {
  return `@th,64,128 != 0x${parseInterfaceAddress(`${address}/128`).address.value.toString(16)}`;
}
