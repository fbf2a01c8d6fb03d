import { ParseError, Refusal } from '../../lib/errors.ts';
import {
  type Address,
  contains,
  covers,
  networkOf,
  overlaps,
  type Prefix,
  parseAddress,
  parseInterfaceAddress,
} from '../../lib/prefix.ts';

export interface IpamFlags {
  readonly subnet: readonly string[];
  readonly gateway: readonly string[];
  readonly ipRange: readonly string[];
  /** `name=address` */
  readonly auxAddress: readonly string[];
}

interface Subnet {
  readonly subnet: string;
  gateway?: string;
  ipRange?: string;
  auxAddresses?: Record<string, string>;
}

/**
 * Each gateway, range and auxiliary address goes to the subnet that holds it, wherever it stands on the command line. In
 * Docker's words where it does not work out. @throws Refusal 'invalid'
 */
export function pairSubnets({ subnet, gateway, ipRange, auxAddress }: IpamFlags): readonly Subnet[] {
  if (subnet.length < Math.max(ipRange.length, gateway.length)) {
    throw new Refusal('invalid', 'every ip-range or gateway must have a corresponding subnet');
  }
  const paired = subnet.map((text): { prefix: Prefix; result: Subnet } => {
    return { prefix: parse(text, parseNetwork), result: { subnet: text } };
  });
  if (paired.some(({ prefix }, i) => paired.slice(i + 1).some((other) => overlaps(prefix, other.prefix)))) {
    throw new Refusal('invalid', 'multiple overlapping subnet configuration is not supported');
  }
  const holderOf = (what: string, text: string, holds: (prefix: Prefix) => boolean): Subnet => {
    const found = paired.find(({ prefix }) => holds(prefix));
    if (found === undefined) throw new Refusal('invalid', `no matching subnet for ${what} ${text}`);
    return found.result;
  };
  for (const text of ipRange) {
    const range = parse(text, parseNetwork);
    const holder = holderOf('range', text, (prefix) => covers(prefix, range));
    if (holder.ipRange !== undefined) {
      const both = `${text}, ${holder.ipRange}`;
      throw new Refusal('invalid', `cannot configure multiple ranges (${both}) on the same subnet (${holder.subnet})`);
    }
    holder.ipRange = text;
  }
  for (const text of gateway) {
    const holder = holderOf('gateway', text, holding(text));
    if (holder.gateway !== undefined) {
      const both = `${text}, ${holder.gateway}`;
      throw new Refusal(
        'invalid',
        `cannot configure multiple gateways (${both}) for the same subnet (${holder.subnet})`,
      );
    }
    holder.gateway = text;
  }
  for (const pair of auxAddress) {
    const [, name = '', text = ''] = /^([^=]+)=(.+)$/.exec(pair) ?? [];
    if (name === '') throw new Refusal('invalid', `auxiliary address ${JSON.stringify(pair)} is not NAME=ADDRESS`);
    const holder = holderOf('aux-address', text, holding(text));
    holder.auxAddresses = { ...holder.auxAddresses, [name]: text };
  }
  return paired.map(({ result }) => result);
}

function holding(text: string): (prefix: Prefix) => boolean {
  const address: Address = parse(text, parseAddress);
  return (prefix) => contains(prefix, address);
}

/** Bits behind the prefix are the daemon's to refuse, in Docker's words. */
function parseNetwork(text: string): Prefix {
  return networkOf(parseInterfaceAddress(text));
}

function parse<T>(text: string, parser: (text: string) => T): T {
  try {
    return parser(text);
  } catch (cause) {
    if (cause instanceof ParseError) throw new Refusal('invalid', cause.message, { cause });
    throw cause;
  }
}
