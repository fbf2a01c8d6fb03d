import * as v from 'valibot';
import { contains, covers, overlaps, parseAddress, parsePrefix } from '../lib/prefix.ts';
import { exposedPrefix } from './interfaces.ts';
import { parseRecord } from './record.ts';
import {
  AddressText,
  HexId,
  HostId,
  isUnicast,
  Labels,
  Mtu,
  most,
  Name,
  PrefixText,
  Signature,
  Text,
  Time,
} from './text.ts';

export const Subnet = v.pipe(
  v.looseObject({
    subnet: PrefixText,
    /** None where the network's subnets are apart. */
    gateway: v.optional(AddressText),
    ipRange: v.optional(PrefixText),
    auxAddresses: v.optional(
      v.pipe(
        v.record(Text, AddressText),
        v.check(
          (addresses) => Object.keys(addresses).length <= most.auxAddresses,
          `are more than ${most.auxAddresses}`,
        ),
      ),
    ),
  }),
  v.check(({ subnet, gateway }) => gateway === undefined || isIn(subnet, gateway), 'has a gateway that is not in it'),
  v.check(
    ({ gateway }) => gateway === undefined || isUnicast(parseAddress(gateway)),
    'has a gateway that no machine can have',
  ),
  v.check(
    ({ subnet, ipRange = subnet }) => covers(parsePrefix(subnet), parsePrefix(ipRange)),
    'has a range that is not in it',
  ),
  v.check(
    ({ subnet, auxAddresses = {} }) => Object.values(auxAddresses).every((address) => isIn(subnet, address)),
    'has an auxiliary address that is not in it',
  ),
);
export type Subnet = v.InferOutput<typeof Subnet>;

export const vniRange = { first: 256, last: 2 ** 24 - 1 } as const;

function isIn(subnet: string, address: string): boolean {
  return contains(parsePrefix(subnet), parseAddress(address));
}

function areApart(subnets: readonly Subnet[]): boolean {
  const prefixes = subnets.map(({ subnet }) => parsePrefix(subnet));
  return prefixes.every((one, i) => !prefixes.slice(i + 1).some((other) => overlaps(one, other)));
}

/** An overlay: subnets, one VNI, one MTU. */
export const Network = v.pipe(
  v.looseObject({
    id: HexId,
    name: Name,
    created: Time,
    driver: v.literal('overlay'),
    subnets: v.pipe(
      v.array(Subnet),
      v.minLength(1),
      v.maxLength(most.subnets),
      v.check((list) => areApart(list), 'overlap each other'),
    ),
    vni: v.pipe(v.number(), v.integer(), v.minValue(vniRange.first), v.maxValue(vniRange.last)),
    /** Of the containers' interfaces, in bytes; one figure for all hosts. */
    mtu: Mtu,
    ipv6: v.boolean(),
    internal: v.boolean(),
    attachable: v.boolean(),
    /** Whether each host has names of its own on it, so that several hosts can have one name. */
    names: v.optional(v.picklist(['unique', 'shared'])),
    /**
     * Whether its subnets, of IPv4 and without gateways, do not reach each other. The first is where addresses come from when
     * none is asked for; others come with the first address that is asked for in them, and stay as long as the network.
     */
    apart: v.optional(v.boolean()),
    options: Labels,
    labels: Labels,
    /** The host that made it. */
    owner: HostId,
    /** Set first when it is being removed; an endpoint made meanwhile wins. */
    removing: v.optional(v.looseObject({ host: HostId, since: Time, mark: Text })),
    signature: Signature,
  }),
  v.check(
    ({ subnets, mtu }) => mtu >= 1280 || subnets.every(({ subnet }) => !subnet.includes(':')),
    'has IPv6 and an MTU of less than 1280',
  ),
  v.check(
    ({ subnets, apart = false }) => subnets.every(({ gateway }) => (gateway === undefined) === apart),
    'has gateways, or lacks them, as its subnets are apart or not',
  ),
);
export type Network = v.InferOutput<typeof Network>;

/** @throws ParseError */
export function parseNetwork(json: unknown, place: string): Network {
  return parseRecord(Network, json, place);
}

/** The network of who names none. */
export const defaultNetwork = 'skein';

/** Name of the interface that a host has on a network itself. */
export function hostInterface(id: string): string {
  return `${exposedPrefix}${id.slice(0, 9)}`;
}

/** Whether an interface of a host has such a name. */
export function isHostInterface(name: string): boolean {
  return /^skein-[0-9a-f]{9}$/.test(name);
}

/** Name of the network's namespace, the same on every host: `<n>-<first 10 of the id>`, n counting from 1 with the VNI. */
export function namespaceName({ vni, id }: Pick<Network, 'vni' | 'id'>): string {
  return `${vni - vniRange.first + 1}-${id.slice(0, 10)}`;
}
