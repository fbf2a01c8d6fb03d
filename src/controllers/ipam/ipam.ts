import { createHash } from 'node:crypto';
import { ParseError, Refusal } from '../../lib/errors.ts';
import {
  contains,
  type Family,
  formatAddress,
  overlaps,
  parseAddress,
  parsePrefix,
  withoutLength,
} from '../../lib/prefix.ts';
import { type AddressWish, parseAddressWish } from '../../model/address-wish.ts';
import type { Network, Subnet } from '../../model/network.ts';
import type { Pool } from '../../state/allocator.ts';
import { isEdge } from './plan.ts';

/** Decisions about addresses, without any state: what a network may get, and what belongs to an address. */

/** Bytes that VXLAN puts around a frame: outer IP (20 or 40), UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348). */
export function encapsulation(underlay: Family): number {
  return underlay === 4 ? 50 : 70;
}

/** A host and the largest packet that its way to the others carries. */
export interface Path {
  readonly name: string;
  readonly mtu: number;
}

/**
 * MTU of a network: what the smallest path among the hosts leaves for it, or what was asked for, if the path carries that.
 * @throws Refusal 'conflict' when IPv6 would have less than the 1280 bytes that it needs (RFC 8200 §5), or the paths carry
 *   less than what was asked for, naming the host; 'invalid' when what was asked for is too small
 */
export function networkMtu(
  paths: readonly Path[],
  { underlay, ipv6, wish }: { underlay: Family; ipv6: boolean; wish?: number | undefined },
): number {
  const smallest = paths.reduce((a, b) => (b.mtu < a.mtu ? b : a));
  const mtu = smallest.mtu - encapsulation(underlay);
  const least = ipv6 ? 1280 : 576;
  const carries = `the path of host ${smallest.name} carries ${smallest.mtu} bytes, which leaves ${mtu} for the network`;
  const needs = `${ipv6 ? 'IPv6' : 'IPv4'} needs ${least}`;
  if (mtu < least) throw new Refusal('conflict', `${carries}; ${needs}`);
  if (wish === undefined) return mtu;
  if (wish < least) throw new Refusal('invalid', `an MTU of ${wish} bytes is too small: ${needs}`);
  if (wish > mtu) throw new Refusal('conflict', `an MTU of ${wish} bytes is too large: ${carries}`);
  return wish;
}

/** Routes of hosts that share addresses with the subnet: containers on it cannot reach what lies behind them. */
export function routesInTheWay<R extends { readonly prefix: string }>(
  subnet: string,
  routes: readonly R[],
): readonly R[] {
  return routes.filter(({ prefix }) => overlaps(parsePrefix(prefix), parsePrefix(subnet)));
}

/** The pool that the addresses of one subnet come from. */
export function addressPool(network: Pick<Network, 'id'>, subnet: Subnet): Pool {
  return {
    kind: 'addresses',
    network: network.id,
    range: subnet.ipRange ?? subnet.subnet,
    subnet: subnet.subnet,
    reserved: [...(subnet.gateway === undefined ? [] : [subnet.gateway]), ...Object.values(subnet.auxAddresses ?? {})],
  };
}

/** Where an endpoint gets an address of one family. */
export interface Choice {
  readonly family: Family;
  /** The first that has one; with a wish it is the one that holds it. */
  readonly subnets: readonly Subnet[];
  readonly wish?: string;
}

export interface AddressWishes {
  readonly ip?: string;
  readonly ip6?: string;
  /** See `model/address-wish.ts`. */
  readonly addresses?: readonly string[];
}

type OfNetwork = Pick<Network, 'name' | 'subnets' | 'apart'>;

/**
 * Where an endpoint gets its addresses: all that are asked for, and one of each other family that the network has; where
 * subnets are apart only what is asked for, or one of the first.
 * @throws Refusal 'invalid' when an address that is asked for is in no subnet, 'conflict' when it is kept for another use
 */
export function choicesFor(network: OfNetwork, { ip, ip6, addresses = [] }: AddressWishes): readonly Choice[] {
  const asked = [
    ...([4, 6] as const).flatMap((family) => {
      const wish = family === 4 ? ip : ip6;
      return wish === undefined ? [] : [wished(network, { family, wish })];
    }),
    ...addresses.map((text) => choiceFor(network, parse(text, parseAddressWish))),
  ];
  const [first] = network.subnets;
  if (network.apart && first) return asked.length > 0 ? asked : [{ family: familyOf(first), subnets: [first] }];
  const others = ([4, 6] as const).flatMap((family) => {
    const subnets = network.subnets.filter((subnet) => familyOf(subnet) === family);
    return subnets.length === 0 || asked.some((choice) => choice.family === family) ? [] : [{ family, subnets }];
  });
  return [...asked, ...others].toSorted((a, b) => a.family - b.family);
}

function choiceFor(network: OfNetwork, wish: AddressWish): Choice {
  const [first] = network.subnets;
  if (wish.kind === 'any' && first !== undefined) {
    const family = familyOf(first);
    return { family, subnets: network.apart ? [first] : network.subnets.filter((each) => familyOf(each) === family) };
  }
  const named = 'subnet' in wish ? network.subnets.find(({ subnet }) => subnet === wish.subnet) : undefined;
  if (wish.kind !== 'address') {
    if (named === undefined) throw noSubnet(network, 'subnet' in wish ? wish.subnet : 'net:default');
    return { family: familyOf(named), subnets: [named] };
  }
  if (wish.subnet !== undefined && named === undefined) throw noSubnet(network, wish.subnet);
  return wished(network, { family: parseAddress(wish.address).family, wish: wish.address });
}

function noSubnet({ name, subnets }: OfNetwork, wish: string): Refusal {
  const list = subnets.map(({ subnet }) => subnet).join(', ');
  return new Refusal('invalid', `${wish} is no subnet of network ${name} (${list})`);
}

function familyOf({ subnet }: Pick<Subnet, 'subnet'>): Family {
  return parsePrefix(subnet).address.family;
}

function wished(network: OfNetwork, { family, wish }: { family: Family; wish: string }): Choice {
  const address = parse(wish, parseAddress);
  if (address.family !== family) throw new Refusal('invalid', `${wish} is not an IPv${family} address`);
  const subnet = network.subnets.find((candidate) => contains(parsePrefix(candidate.subnet), address));
  if (subnet === undefined) {
    const list = network.subnets.map((candidate) => candidate.subnet).join(', ');
    throw new Refusal('invalid', `address ${wish} is in no subnet of network ${network.name} (${list})`);
  }
  const text = formatAddress(address);
  if (isEdge(parsePrefix(subnet.subnet), address)) {
    throw new Refusal('invalid', `address ${text} is the network's or broadcast address of ${subnet.subnet}`);
  }
  if (text === subnet.gateway)
    throw new Refusal('conflict', `address ${text} is the gateway of network ${network.name}`);
  const aux = Object.entries(subnet.auxAddresses ?? {}).find(([, kept]) => kept === text);
  if (aux !== undefined) {
    throw new Refusal('conflict', `address ${text} is kept for ${aux[0]}, an auxiliary address of ${network.name}`);
  }
  return { family, subnets: [subnet], wish: text };
}

/** 02:42 and the IPv4 address; where there is none, 02:42 and the start of the IPv6 address's SHA-256. */
export function macOf(addresses: readonly string[]): string {
  const parsed = addresses.map((text) => parseAddress(withoutLength(text)));
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
