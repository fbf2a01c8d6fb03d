import { createHash } from 'node:crypto';
import { ParseError, Refusal } from '../../lib/errors.ts';
import {
  type Address,
  contains,
  covers,
  type Family,
  firstOf,
  formatAddress,
  formatPrefix,
  lastOf,
  overlaps,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../lib/prefix.ts';
import type { Network, Subnet } from '../../model/network.ts';
import type { Pool } from '../../state/allocator.ts';

/** Decisions about addresses, without any state: what a network may get, and what belongs to an address. */

/** Bytes that VXLAN puts around a frame: outer IP (20 or 40), UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348). */
export function encapsulation(underlay: Family): number {
  return underlay === 4 ? 50 : 70;
}

/**
 * MTU of a network: what the smallest path among the hosts leaves for it.
 * @throws Refusal when IPv6 would have less than the 1280 bytes that it needs (RFC 8200 §5)
 */
export function networkMtu(
  paths: readonly { readonly name: string; readonly mtu: number }[],
  options: { underlay: Family; ipv6: boolean },
): number {
  const smallest = paths.reduce((a, b) => (b.mtu < a.mtu ? b : a));
  const mtu = smallest.mtu - encapsulation(options.underlay);
  const least = options.ipv6 ? 1280 : 576;
  if (mtu >= least) return mtu;
  throw new Refusal(
    'conflict',
    `the path of host ${smallest.name} carries ${smallest.mtu} bytes, which leaves ${mtu} for the network; ${options.ipv6 ? 'IPv6' : 'IPv4'} needs ${least}`,
  );
}

/** What the user said of one subnet, made whole. The gateway is the first address unless another was named. @throws Refusal 'invalid' */
export function planSubnet(request: { subnet: string; gateway?: string }): Subnet {
  const subnet = parse(request.subnet, parsePrefix);
  if (lastOf(subnet) - firstOf(subnet) < 3n) {
    throw new Refusal(
      'invalid',
      `subnet ${request.subnet} is too small: a gateway and a container need at least a /${subnet.address.family === 4 ? 30 : 126}`,
    );
  }
  if (isSpecial(subnet)) {
    throw new Refusal(
      'invalid',
      `subnet ${request.subnet} cannot be used: it is loopback, link-local, multicast or unspecified space`,
    );
  }
  const gateway =
    request.gateway === undefined
      ? { family: subnet.address.family, value: firstOf(subnet) + 1n }
      : parse(request.gateway, parseAddress);
  assertUsable(gateway, subnet, 'gateway');
  return { subnet: formatPrefix(subnet), gateway: formatAddress(gateway) };
}

const special = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/8', 'fe80::/10', 'ff00::/8'].map(
  parsePrefix,
);

function isSpecial(subnet: Prefix): boolean {
  return special.some((other) => overlaps(other, subnet));
}

function assertUsable(address: Address, subnet: Prefix, what: string): void {
  const text = formatAddress(address);
  if (!contains(subnet, address))
    throw new Refusal('invalid', `${what} ${text} is not in the subnet ${formatPrefix(subnet)}`);
  if (address.value === firstOf(subnet) || (address.family === 4 && address.value === lastOf(subnet))) {
    throw new Refusal('invalid', `${what} ${text} is the network's or broadcast address of ${formatPrefix(subnet)}`);
  }
}

/** Among the subnets of one request none may overlap another. @throws Refusal 'invalid' naming both */
export function assertApart(subnets: readonly string[]): void {
  subnets.forEach((one, i) => {
    const other = subnets.slice(i + 1).find((candidate) => overlaps(parsePrefix(one), parsePrefix(candidate)));
    if (other !== undefined) throw new Refusal('invalid', `the subnets ${one} and ${other} overlap each other`);
  });
}

/** Routes that hold all of the subnet, with the host that has them: the subnet is hidden from that host's own traffic. */
export function broaderRoutes<R extends { readonly prefix: string }>(
  subnet: string,
  routes: readonly R[],
): readonly R[] {
  const inner = parsePrefix(subnet);
  return routes.filter(({ prefix }) => covers(parsePrefix(prefix), inner));
}

/** The pool that the addresses of one subnet come from. */
export function addressPool(network: Pick<Network, 'id'>, subnet: Subnet): Pool {
  return {
    kind: 'addresses',
    network: network.id,
    range: subnet.ipRange ?? subnet.subnet,
    reserved: [subnet.gateway, ...Object.values(subnet.auxAddresses ?? {})],
  };
}

/**
 * The subnets in which an endpoint gets an address: of each family the first, or the one that holds the address asked for.
 * @throws Refusal 'invalid' when an address is in none of them, or is the gateway's
 */
export function subnetsFor(
  network: Pick<Network, 'name' | 'subnets'>,
  wishes: { readonly ip?: string; readonly ip6?: string },
): readonly { readonly subnet: Subnet; readonly wish?: string }[] {
  return ([4, 6] as const).flatMap((family) => {
    const subnets = network.subnets.filter(({ subnet }) => parsePrefix(subnet).address.family === family);
    const wish = family === 4 ? wishes.ip : wishes.ip6;
    if (wish === undefined) return subnets.slice(0, 1).map((subnet) => ({ subnet }));
    return [wished(network, subnets, { family, wish })];
  });
}

function wished(
  network: Pick<Network, 'name' | 'subnets'>,
  subnets: readonly Subnet[],
  { family, wish }: { family: Family; wish: string },
): { readonly subnet: Subnet; readonly wish: string } {
  const address = parse(wish, parseAddress);
  if (address.family !== family) throw new Refusal('invalid', `${wish} is not an IPv${family} address`);
  const subnet = subnets.find((candidate) => contains(parsePrefix(candidate.subnet), address));
  if (subnet === undefined) {
    const list = network.subnets.map((candidate) => candidate.subnet).join(', ');
    throw new Refusal('invalid', `address ${wish} is in no subnet of network ${network.name} (${list})`);
  }
  assertUsable(address, parsePrefix(subnet.subnet), 'address');
  const text = formatAddress(address);
  if (text === subnet.gateway)
    throw new Refusal('conflict', `address ${text} is the gateway of network ${network.name}`);
  return { subnet, wish: text };
}

/** 02:42 and the IPv4 address; where there is none, 02:42 and the start of the IPv6 address's SHA-256. */
export function macOf(addresses: readonly string[]): string {
  const parsed = addresses.map((text) => parseAddress(text.split('/')[0] ?? ''));
  const v4 = parsed.find(({ family }) => family === 4);
  const tail =
    v4 === undefined
      ? createHash('sha256').update(addresses.join(' ')).digest('hex').slice(0, 8)
      : v4.value.toString(16).padStart(8, '0');
  return `02:42${tail.replace(/../g, ':$&')}`;
}

function parse<T>(text: string, parser: (text: string) => T): T {
  try {
    return parser(text);
  } catch (cause) {
    if (cause instanceof ParseError) throw new Refusal('invalid', cause.message, { cause });
    throw cause;
  }
}
