import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import {
  type Address,
  contains,
  covers,
  firstOf,
  formatAddress,
  formatPrefix,
  lastOf,
  networkOf,
  overlaps,
  type Prefix,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
} from '../../lib/prefix.ts';
import { nameServerAddresses, nameServerSubnets } from '../../model/name-server.ts';
import type { Subnet } from '../../model/network.ts';
import { most } from '../../model/text.ts';

/** What is said of one subnet, as texts. */
export interface SubnetRequest {
  readonly subnet: string;
  readonly gateway?: string | undefined;
  readonly ipRange?: string | undefined;
  readonly auxAddresses?: Readonly<Record<string, string>> | undefined;
}

/**
 * The subnets of one network, made whole: the gateway is the first address unless another was named. Everything that is
 * wrong is said at once, in Docker's words where it has some. @throws Refusal 'invalid'
 */
export function planSubnets(requests: readonly SubnetRequest[]): readonly Subnet[] {
  const planned = requests.map(planSubnet);
  const wrong = planned.flatMap((plan) => plan.wrong);
  if (wrong.length > 0) {
    const more = wrong.length > 8 ? `; and ${wrong.length - 8} more` : '';
    throw new Refusal('invalid', `invalid network config: ${wrong.slice(0, 8).join('; ')}${more}`);
  }
  const subnets = planned.flatMap(({ subnet }) => subnet ?? []);
  assertApart(subnets.map(({ subnet }) => subnet));
  return subnets;
}

/** Those of a network whose subnets are apart: of IPv4, without gateways. @throws Refusal 'invalid' */
export function planApart(subnets: readonly string[]): readonly Subnet[] {
  return planSubnets(subnets.map((subnet) => ({ subnet }))).map(({ subnet }) => {
    if (parsePrefix(subnet).address.family === 4) return { subnet };
    throw new Refusal('invalid', `${subnet} cannot be had here: the subnets of this network are of IPv4`);
  });
}

interface Plan {
  readonly subnet?: Subnet;
  /** Sentences. */
  readonly wrong: readonly string[];
}

function planSubnet(request: SubnetRequest): Plan {
  const wrong: string[] = [];
  /** What it gives, or what it says of why not. */
  const judge = <T>(what: string, text: string, decide: () => T): T | undefined => {
    try {
      return decide();
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      wrong.push(`invalid ${what} ${text.slice(0, 80)}: ${messageOf(error)}`);
      return undefined;
    }
  };
  const subnet = judge('subnet', request.subnet, () => usable(parseMasked(request.subnet)));
  if (subnet === undefined) return { wrong };
  if (Object.keys(request.auxAddresses ?? {}).length > most.auxAddresses) {
    return { wrong: [`subnet ${formatPrefix(subnet)} has more than ${most.auxAddresses} auxiliary addresses`] };
  }
  const family = subnet.address.family;
  const first: Address = { family, value: firstOf(subnet) + 1n };
  const { gateway: named, ipRange: range, auxAddresses = {} } = request;
  const gateway = named === undefined ? first : judge('gateway', named, () => addressIn(subnet, named));
  const ipRange = range === undefined ? undefined : judge('ip-range', range, () => rangeIn(subnet, range));
  const taken = new Map(gateway === undefined ? [] : [[formatAddress(gateway), 'the gateway']]);
  const aux: [string, string][] = Object.entries(auxAddresses).flatMap(([name, text]) => {
    const address = judge('auxiliary address', text, () => apart(addressIn(subnet, text), taken));
    if (address === undefined) return [];
    taken.set(formatAddress(address), `the auxiliary address ${name}`);
    return [[name, formatAddress(address)] as [string, string]];
  });
  if (wrong.length > 0 || gateway === undefined) return { wrong };
  const whole: Subnet = {
    subnet: formatPrefix(subnet),
    gateway: formatAddress(gateway),
    ...(ipRange === undefined ? {} : { ipRange: formatPrefix(ipRange) }),
    ...(aux.length === 0 ? {} : { auxAddresses: Object.fromEntries(aux) }),
  };
  return { subnet: whole, wrong };
}

/** Each way of saying no is a ParseError: the reason that stands behind what was asked for. */
function parseMasked(text: string): Prefix {
  const written = parseInterfaceAddress(text);
  const masked = networkOf(written);
  if (masked.address.value !== written.address.value) throw new ParseError(`it should be ${formatPrefix(masked)}`);
  return masked;
}

const special = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/8', 'fe80::/10', 'ff00::/8'].map(
  parsePrefix,
);
/** That of IPv4 is in link-local space. */
const nameServer = parsePrefix(nameServerSubnets[1]);

function usable(subnet: Prefix): Prefix {
  if (lastOf(subnet) - firstOf(subnet) < 3n) {
    const least = subnet.address.family === 4 ? 30 : 126;
    throw new ParseError(`it is too small, a gateway and a container need at least a /${least}`);
  }
  if (special.some((other) => overlaps(other, subnet))) {
    throw new ParseError('it is loopback, link-local, multicast or unspecified space');
  }
  if (overlaps(nameServer, subnet)) {
    throw new ParseError(
      `it overlaps ${formatPrefix(nameServer)}, where containers find the name server (${nameServerAddresses[6]})`,
    );
  }
  return subnet;
}

function rangeIn(subnet: Prefix, text: string): Prefix {
  const range = parseMasked(text);
  assertFamily(subnet, range.address);
  if (range.length < subnet.length) {
    throw new ParseError(`CIDR block is bigger than its parent subnet ${formatPrefix(subnet)}`);
  }
  if (!covers(subnet, range)) throw new ParseError(`parent subnet ${formatPrefix(subnet)} doesn't contain ip-range`);
  return range;
}

function addressIn(subnet: Prefix, text: string): Address {
  const address = parseAddress(text);
  assertFamily(subnet, address);
  if (!contains(subnet, address)) {
    throw new ParseError(`parent subnet ${formatPrefix(subnet)} doesn't contain this address`);
  }
  if (isEdge(subnet, address)) {
    throw new ParseError(`it is the network's or broadcast address of ${formatPrefix(subnet)}`);
  }
  return address;
}

function assertFamily({ address: { family } }: Prefix, address: Address): void {
  if (address.family !== family) throw new ParseError(`parent subnet is an IPv${family} block`);
}

function apart(address: Address, taken: ReadonlyMap<string, string>): Address {
  const other = taken.get(formatAddress(address));
  if (other !== undefined) throw new ParseError(`it is ${other} too`);
  return address;
}

/** An address that no machine of the subnet has: the network's own, and IPv4's broadcast. */
export function isEdge(subnet: Prefix, { family, value }: Address): boolean {
  return value === firstOf(subnet) || (family === 4 && value === lastOf(subnet));
}

/** Among the subnets of one request none may overlap another. @throws Refusal 'invalid' naming both */
function assertApart(subnets: readonly string[]): void {
  subnets.forEach((one, i) => {
    const other = subnets.slice(i + 1).find((candidate) => overlaps(parsePrefix(one), parsePrefix(candidate)));
    if (other !== undefined) {
      const reason = 'multiple overlapping subnet configuration is not supported';
      throw new Refusal('invalid', `${reason}: the subnets ${one} and ${other} overlap each other`);
    }
  });
}
