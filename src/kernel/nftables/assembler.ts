import { parseAddress } from '../../lib/prefix.ts';
import { type Expression, NFT_CMP, NFT_META, NFT_PAYLOAD, VERDICT } from './expression.ts';

/**
 * Turns a rule of family netdev, in nft's language, into the expressions that libnftables makes of it, so that the two cannot
 * be told apart in the kernel. libnftables lists the chains of a namespace before each command, which takes up to a
 * millisecond; these few words are what the rules of a port are written in, and ports come and go with containers.
 * @returns undefined for a rule with other words in it: that one is for libnftables
 */
export function assemble(rule: string): readonly Expression[] | undefined {
  const tests: Test[] = [];
  const known = new Set<Protocol>();
  let rest = rule;
  for (let match = firstOf(rest); match !== undefined; match = firstOf(rest)) {
    const { keyword, of, load } = match;
    const [, not, word = '', after = ''] = /^(!= )?(\S+) ?(.*)$/.exec(rest.slice(keyword.length + 1)) ?? [];
    const data = match.parse(word);
    if (data === undefined || (of !== undefined && !assume(of, known, tests))) return undefined;
    tests.push({ load, op: not ? NFT_CMP.NEQ : NFT_CMP.EQ, data });
    rest = after;
  }
  const verdict = verdictOf(rest);
  return (
    verdict && [...merge(tests).flatMap(({ load, op, data }) => [load, { kind: 'cmp', op, data } as const]), verdict]
  );
}

type Load = Extract<Expression, { kind: 'meta' | 'payload' }>;
interface Test {
  readonly load: Load;
  readonly op: number;
  readonly data: Buffer;
}

type Protocol = 'ether' | 'ip' | 'ip6' | 'arp' | 'icmpv6';

interface Match {
  readonly keyword: string;
  /** What a packet has to be for this to mean anything. */
  readonly of?: Protocol;
  readonly load: Load;
  parse(word: string): Buffer | undefined;
}

const { LL_HEADER, NETWORK_HEADER, TRANSPORT_HEADER } = NFT_PAYLOAD;

const matches: readonly Match[] = [
  { keyword: 'ether saddr', of: 'ether', load: payload(LL_HEADER, 6, 6), parse: parseMac },
  { keyword: 'ip saddr', of: 'ip', load: payload(NETWORK_HEADER, 12, 4), parse: parseIp(4) },
  { keyword: 'ip6 saddr', of: 'ip6', load: payload(NETWORK_HEADER, 8, 16), parse: parseIp(6) },
  { keyword: 'arp saddr ether', of: 'arp', load: payload(NETWORK_HEADER, 8, 6), parse: parseMac },
  { keyword: 'arp saddr ip', of: 'arp', load: payload(NETWORK_HEADER, 14, 4), parse: parseIp(4) },
  {
    keyword: 'icmpv6 type',
    of: 'icmpv6',
    load: payload(TRANSPORT_HEADER, 0, 1),
    parse: numberIn({ 'nd-neighbor-advert': 136 }),
  },
  { keyword: 'meta l4proto', load: meta(NFT_META.L4PROTO), parse: numberIn({ tcp: 6, udp: 17 }) },
  { keyword: '@th,64,128', load: payload(TRANSPORT_HEADER, 8, 16), parse: parseHex },
];

function firstOf(rest: string): Match | undefined {
  return matches.find(({ keyword }) => rest.startsWith(`${keyword} `));
}

/** Tests that the packet is of this protocol, unless that is known. @returns whether it can be */
function assume(protocol: Protocol, known: Set<Protocol>, tests: Test[]): boolean {
  if (known.has(protocol)) return true;
  if (protocol === 'icmpv6') {
    if (!assume('ip6', known, tests)) return false;
    tests.push({ load: meta(NFT_META.L4PROTO), op: NFT_CMP.EQ, data: Buffer.of(58) });
  } else if (protocol === 'ether') {
    // Behind what it would have to stand before.
    if (known.size > 0) return false;
    tests.push({ load: meta(NFT_META.IIFTYPE), op: NFT_CMP.EQ, data: Buffer.of(1, 0) });
  } else {
    if ([...known].some((other) => other !== 'ether')) return false;
    const load = known.has('ether') ? payload(LL_HEADER, 12, 2) : meta(NFT_META.PROTOCOL);
    tests.push({ load, op: NFT_CMP.EQ, data: Buffer.from(ETHERTYPE[protocol], 'hex') });
  }
  known.add(protocol);
  return true;
}

const ETHERTYPE = { ip: '0800', ip6: '86dd', arp: '0806' } as const;
/** Of a register. */
const MAX_LENGTH = 16;

/** What lies side by side in a packet is compared at once. */
function merge(tests: readonly Test[]): readonly Test[] {
  const merged: Test[] = [];
  for (const test of tests) {
    const last = merged.at(-1);
    const joint = last && join(last, test);
    if (joint) merged.splice(-1, 1, joint);
    else merged.push(test);
  }
  return merged;
}

function join(a: Test, b: Test): Test | undefined {
  if (a.load.kind !== 'payload' || b.load.kind !== 'payload' || a.op !== NFT_CMP.EQ || b.op !== NFT_CMP.EQ)
    return undefined;
  const { base, offset, length } = a.load;
  const together = length + b.load.length;
  if (base !== b.load.base || offset + length !== b.load.offset || together > MAX_LENGTH) return undefined;
  return { load: payload(base, offset, together), op: a.op, data: Buffer.concat([a.data, b.data]) };
}

function verdictOf(text: string): Expression | undefined {
  const [, word = '', chain] = /^(accept|drop|return|jump|goto)(?: ([\w-]+))?$/.exec(text) ?? [];
  const code = new Map(Object.entries(VERDICT)).get(word.toUpperCase());
  const toChain = code === VERDICT.JUMP || code === VERDICT.GOTO;
  if (code === undefined || toChain !== (chain !== undefined)) return undefined;
  return { kind: 'verdict', code, ...(chain === undefined ? {} : { chain }) };
}

function payload(base: number, offset: number, length: number): Load {
  return { kind: 'payload', base, offset, length };
}

function meta(key: number): Load {
  return { kind: 'meta', key };
}

function parseMac(word: string): Buffer | undefined {
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(word) ? Buffer.from(word.replaceAll(':', ''), 'hex') : undefined;
}

function parseIp(family: 4 | 6): Match['parse'] {
  return (word) => {
    // A prefix, a set or a range is none.
    if (!/^[0-9a-f.:]+$/.test(word)) return undefined;
    const address = parseAddress(word);
    const digits = address.value.toString(16).padStart(family === 4 ? 8 : 32, '0');
    return address.family === family ? Buffer.from(digits, 'hex') : undefined;
  };
}

function parseHex(word: string): Buffer | undefined {
  return /^0x[0-9a-f]{1,32}$/.test(word) ? Buffer.from(word.slice(2).padStart(32, '0'), 'hex') : undefined;
}

function numberIn(names: Readonly<Record<string, number>>): Match['parse'] {
  const numbers = new Map(Object.entries(names));
  return (word) => {
    const number = numbers.get(word);
    return number === undefined ? undefined : Buffer.of(number);
  };
}
