import { parseInterfaceAddress } from '../../lib/prefix.ts';
import { exposedPrefix } from '../../model/interfaces.ts';
import { nameServerAddresses } from '../../model/name-server.ts';
import type { PortPiece } from '../dataplane.ts';
import { GATEWAY_BRIDGE } from '../gateway/gateway.ts';
import { nft } from '../nft.ts';
import { HOST, type KernelObject, type ObjectId, object } from '../objects.ts';

/** How the interfaces begin that the host itself has on networks, in the words of nft. */
export const EXPOSED = `${exposedPrefix}*`;

/**
 * The networks that packets from elsewhere are forwarded onto, and those where they and the host's own have its address
 * there.
 */
const FORWARDED = 'exposed-forwarded';
const MASQUERADED = 'exposed-masqueraded';

/**
 * The host's own interface on a network. Containers reach the host at its address there and at no other: what is not
 * an answer, and not for that address (or for all), goes no further, before anybody translates addresses. So nothing is
 * forwarded from them either, to the outside or to another network, unless someone of the host has translated its
 * destination, as for a published port. Onto the network goes what the host forwards from elsewhere, if that is wanted,
 * and never from a container's way out or from another network: networks do not reach each other. Pure.
 */
export function exposedObjects({ interface: device, addresses, forwards }: PortPiece, link: ObjectId): KernelObject[] {
  const families = new Set(
    addresses.map((text) => (parseInterfaceAddress(text).address.family === 4 ? ('ip' as const) : ('ip6' as const))),
  );
  const setting = (name: string, value: string) => object.sysctl(HOST, `net/ipv4/conf/${device}/${name}`, value, link);
  return [
    // It speaks of its address on the network alone: of others the port lets nothing through, answers or questions.
    setting('arp_ignore', '1'),
    setting('arp_announce', '2'),
    // A packet that is for this host may else say where to send it next.
    setting('accept_source_route', '0'),
    ...[...families].flatMap((family) => [
      ...rules(family),
      ...(forwards === undefined ? [] : [nft.element(HOST, family, FORWARDED, device)]),
      ...(forwards !== 'as-it-came' ? [nft.element(HOST, family, MASQUERADED, device)] : []),
    ]),
  ];
}

/** The same for all networks. */
function rules(family: 'ip' | 'ip6'): KernelObject[] {
  const chain = (name: string, words: readonly string[], hook: { type: string; hook: string; priority: number }) =>
    nft.chain(HOST, family, name, words, { ...hook, policy: 'accept' });
  return [
    nft.table(HOST, family),
    nft.set(HOST, family, FORWARDED, 'type ifname;'),
    nft.set(HOST, family, MASQUERADED, 'type ifname;'),
    chain(
      'exposed-in',
      [
        `iifname != "${EXPOSED}" accept`,
        'ct state established,related accept',
        'fib daddr . iif type { local, broadcast, multicast } accept',
        'drop',
      ],
      // After connection tracking, before the translation of destinations.
      { type: 'filter', hook: 'prerouting', priority: -150 },
    ),
    chain(
      'exposed-forward',
      [
        `iifname != "${EXPOSED}" oifname != "${EXPOSED}" accept`,
        // Masqueraded it would ask as this host.
        `${family} daddr ${nameServerAddresses[family === 'ip' ? 4 : 6]} drop`,
        'ct state established,related accept',
        'ct status dnat accept',
        `iifname "${EXPOSED}" drop`,
        `iifname "${GATEWAY_BRIDGE}" drop`,
        `oifname != @${FORWARDED} drop`,
      ],
      { type: 'filter', hook: 'forward', priority: 0 },
    ),
    chain('exposed-masquerade', [`oifname @${MASQUERADED} ${family === 'ip' ? FOR_ONE : FOR_ONE6} masquerade`], {
      type: 'nat',
      hook: 'postrouting',
      priority: 100,
    }),
  ];
}

const FOR_ONE = 'ip daddr != 224.0.0.0/4';
/** What is said on the link has an address of the link. */
const FOR_ONE6 = 'ip6 saddr != fe80::/10 ip6 daddr != ff00::/8';
