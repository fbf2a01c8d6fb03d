import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import * as v from 'valibot';
import { Refusal } from '../../lib/errors.ts';
import { RecordName, withoutDomain } from '../../model/name-record.ts';

export interface Surroundings {
  /** In lower case, without the dot at the end. */
  readonly domains: readonly string[];
  /** What the cluster's networks are called. */
  readonly networks: readonly string[];
}

const reverse = ['in-addr.arpa', 'ip6.arpa'];

/**
 * The name to keep for what people typed. One that would stand before what others are found by, or that no resolver asks
 * for, is refused. @throws Refusal 'invalid'
 */
export function givenName(typed: string, { domains, networks }: Surroundings): string {
  const name = withoutDomain(typed, domains);
  const fault = faultOf(name) ?? clashOf(name, { domains, networks });
  if (fault === undefined) return name;
  throw new Refusal('invalid', `cannot give the name ${JSON.stringify(typed.slice(0, 80))}: ${fault}`);
}

function faultOf(name: string): string | undefined {
  if (isIP(name) !== 0) return 'it is an address, and needs none';
  const parsed = v.safeParse(RecordName, name, { abortEarly: true });
  if (!parsed.success) {
    const ascii = domainToASCII(name);
    const hint = ascii !== '' && ascii !== name && v.is(RecordName, ascii) ? `; resolvers ask for ${ascii}` : '';
    return `it ${parsed.issues[0].message}${hint}`;
  }
  if (/(^|\.)[-_]/.test(name)) return 'its labels must begin with a letter or digit; services are told by --port';
  return undefined;
}

function clashOf(name: string, { domains, networks }: Surroundings): string | undefined {
  const isIn = (zone: string) => name === zone || name.endsWith(`.${zone}`);
  const zone = reverse.find(isIn);
  if (zone !== undefined) return `names in ${zone} are those of addresses, which follow from what has them`;
  const domain = domains.find((one) => one === name || one.endsWith(`.${name}`));
  if (domain !== undefined) return `the domain of names is ${domain}: give one in it`;
  const network = networks.find((one) => name.endsWith(`.${one.toLowerCase()}`));
  if (network === undefined) return undefined;
  const rest = name.slice(0, -network.length - 1);
  return `names that end so are those of network ${network}: give ${rest} with --network ${network}`;
}
