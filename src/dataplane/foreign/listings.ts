import { DecodeError } from '../../lib/errors.ts';
import { TABLE } from '../nft.ts';
import { COMMENT, type ForeignChain, type ForeignRule, type Hook, type Program } from './chains.ts';

const hooks: readonly string[] = ['input', 'forward', 'output'] satisfies readonly Hook[];
const families: readonly string[] = ['ip', 'ip6', 'inet'] satisfies readonly ForeignChain['family'][];

type Json = Readonly<Record<string, unknown>>;

/**
 * The filter chains of others in what `nft -j list ruleset` shows. Of iptables' tables only the names: what is in them
 * iptables itself has to say. @throws DecodeError
 */
export function parseNftChains(text: string): {
  readonly chains: readonly ForeignChain[];
  readonly ofIptables: readonly ('ip' | 'ip6')[];
} {
  const list = arrayOf(parse(text), 'nftables');
  const chains = new Map<string, ForeignChain & { readonly rules: ForeignRule[] }>();
  const ofIptables = new Set<'ip' | 'ip6'>();
  for (const item of list) {
    const chain = recordOf(item['chain']);
    const rule = recordOf(item['rule']);
    if (chain) {
      const { family, table, name, hook, policy } = chain;
      if (!isFamily(family) || typeof table !== 'string' || typeof name !== 'string' || table === TABLE) continue;
      if (family !== 'inet' && table === 'filter' && /^(INPUT|FORWARD|OUTPUT)$/.test(name)) ofIptables.add(family);
      const place = { program: 'nft', family, table, name } as const;
      const at = isHook(hook) && chain['type'] === 'filter' ? { hook } : {};
      chains.set(`${family} ${table} ${name}`, { ...place, ...at, drops: policy === 'drop', rules: [] });
    } else if (rule) chains.get([rule['family'], rule['table'], rule['chain']].join(' '))?.rules.push(nftRule(rule));
  }
  const isIptables = ({ family, table }: ForeignChain) =>
    family !== 'inet' && table === 'filter' && ofIptables.has(family);
  return { chains: [...chains.values()].filter((chain) => !isIptables(chain)), ofIptables: [...ofIptables] };
}

/** A table of others in which addresses of packets are translated that the host forwards. */
export interface Translator {
  readonly family: string;
  readonly table: string;
}

/** Those in what `nft -j list ruleset` shows, iptables' among them; each once. @throws DecodeError */
export function parseNftTranslators(text: string): readonly Translator[] {
  const found = new Map<string, Translator>();
  for (const item of arrayOf(parse(text), 'nftables')) {
    const rule = recordOf(item['rule']);
    if (!rule || rule['table'] === TABLE || !arrayOf(rule, 'expr').some(isTranslation)) continue;
    const translator = { family: String(rule['family']), table: String(rule['table']) };
    found.set(`${translator.family} ${translator.table}`, translator);
  }
  return [...found.values()];
}

function isTranslation(expression: Json): boolean {
  const target = recordOf(expression['xt'])?.['name'];
  return (
    ['masquerade', 'snat', 'dnat'].some((kind) => kind in expression) ||
    (typeof target === 'string' && translating.includes(target))
  );
}

/** Targets of iptables. */
export const translating: readonly string[] = ['MASQUERADE', 'SNAT', 'DNAT', 'NETMAP'];

function nftRule(rule: Json): ForeignRule {
  const expressions = arrayOf(rule, 'expr');
  const verdicts = expressions.flatMap(verdictsIn);
  const { handle } = rule;
  return {
    drops: verdicts.includes(DROP),
    jumps: verdicts.filter((verdict) => verdict !== DROP),
    only: Object.assign({}, ...expressions.map(matchOf)),
    chooses: expressions.some(isChoice),
    leaves:
      expressions.every((expression) => ['counter', 'accept', 'return'].some((kind) => kind in expression)) &&
      expressions.some((expression) => 'accept' in expression || 'return' in expression),
    ...(typeof handle === 'number' && { handle }),
    ...(rule['comment'] === COMMENT && { ours: nftText(expressions) }),
  };
}

/** No chain is called so. */
const DROP = ' drop';

/** Also those in verdict maps; a map with a name may hold any. */
function verdictsIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(verdictsIn);
  const record = recordOf(value);
  if (!record) return [];
  return Object.entries(record).flatMap(([key, inner]) => {
    if (key === 'drop' || key === 'reject' || key === 'queue') return [DROP];
    if (key === 'jump' || key === 'goto') return [String(recordOf(inner)?.['target'])];
    if (key === 'xt') return recordOf(inner)?.['type'] === 'match' ? [] : [DROP];
    if (key === 'vmap' && typeof recordOf(inner)?.['data'] === 'string') return [DROP];
    return verdictsIn(inner);
  });
}

function matchOf(expression: Json): ForeignRule['only'] {
  const match = recordOf(expression['match']);
  const left = recordOf(match?.['left']);
  const right = match?.['right'];
  if (match === undefined || left === undefined || (match['op'] !== '==' && match['op'] !== 'in')) return {};
  const key = recordOf(left['meta'])?.['key'];
  const protocol = recordOf(left['payload'])?.['protocol'];
  if (recordOf(left['ct'])?.['key'] === 'state') return { states: [right].flat().map(String) };
  if (key === 'l4proto' && typeof right === 'string') return { protocol: right };
  if (protocol === 'tcp' || protocol === 'icmp' || protocol === 'icmpv6') return { protocol };
  if (typeof right !== 'string') return {};
  return key === 'iifname' ? { iif: right } : key === 'oifname' ? { oif: right } : {};
}

/** Whether it picks addresses or ports, and does not leave some out. */
function isChoice(expression: Json): boolean {
  const match = recordOf(expression['match']);
  const field = recordOf(recordOf(match?.['left'])?.['payload'])?.['field'];
  return match?.['op'] !== '!=' && typeof field === 'string' && /^[sd](addr|port)$/.test(field);
}

/** Our own rules, in the words in which they were set. */
function nftText(expressions: readonly Json[]): string {
  const words = expressions.map((expression) => {
    if ('accept' in expression) return 'accept';
    const match = recordOf(expression['match']);
    const left = recordOf(match?.['left']);
    const [right, not] = [match?.['right'], match?.['op'] === '!=' ? '!= ' : ''];
    const key = recordOf(left?.['meta'])?.['key'];
    if (left?.['payload']) return `udp dport ${String(right)}`;
    if (left?.['ct']) return `ct state ${[right].flat().map(String).sort().join(',')}`;
    return `${String(key)} ${not}"${String(right)}"`;
  });
  return words.join(' ');
}

/** What `iptables -S` shows, of one table. @throws DecodeError */
export function parseIptables(text: string, program: Exclude<Program, 'nft'>): readonly ForeignChain[] {
  const family = program.startsWith('ip6') ? 'ip6' : 'ip';
  const chains = new Map<string, ForeignChain & { readonly rules: ForeignRule[] }>();
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^-([PNA]) (\S+) ?(.*)$/.exec(line) ?? [];
    const hook = name.toLowerCase();
    if (kind === 'A') {
      const chain = chains.get(name);
      if (!chain)
        throw new DecodeError(`a listing of ${program} has a rule of chain ${name.slice(0, 80)} before the chain`);
      chain.rules.push(iptablesRule(rest));
    } else if (kind !== undefined) {
      const at = kind === 'P' && isHook(hook) ? { hook } : {};
      chains.set(name, { program, family, table: 'filter', name, ...at, drops: rest === 'DROP', rules: [] });
    }
  }
  return [...chains.values()];
}

/** Targets that let a packet go on. */
const passing: readonly string[] = [
  'ACCEPT',
  'RETURN',
  'LOG',
  'NFLOG',
  'MARK',
  'CONNMARK',
  'TRACE',
  'CT',
  'SET',
  'AUDIT',
];
const dropping: readonly string[] = ['DROP', 'REJECT', 'QUEUE', 'NFQUEUE', 'TARPIT'];

function iptablesRule(text: string): ForeignRule {
  const word = (flag: string) => new RegExp(`(?<!! )(?<=^| )${flag} (\\S+)`).exec(text)?.[1];
  const target = word('-j') ?? word('-g');
  const [iif, oif, protocol, states] = [word('-i'), word('-o'), word('-p'), word('--ctstate')];
  const choices = ['-s', '-d', '--sport', '--dport', '--sports', '--dports', '--match-set'];
  return {
    drops: target !== undefined && dropping.includes(target),
    jumps: target === undefined || dropping.includes(target) || passing.includes(target) ? [] : [target],
    only: {
      ...(iif !== undefined && { iif }),
      ...(oif !== undefined && { oif }),
      ...(protocol !== undefined && protocol !== 'all' && { protocol }),
      ...(states !== undefined && { states: states.toLowerCase().split(',') }),
    },
    chooses: choices.some((flag) => word(flag) !== undefined),
    leaves: /^-j (ACCEPT|RETURN)$/.test(text),
    ...(text.includes(`--comment ${COMMENT} `) && { ours: text }),
  };
}

function parse(text: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DecodeError('a listing of nft is not JSON', { cause });
  }
  return recordOf(value) ?? {};
}

function arrayOf(of: Json, field: string): readonly Json[] {
  const value = of[field];
  if (!Array.isArray(value)) throw new DecodeError(`a listing of nft has no array "${field}"`);
  return value.map((item) => recordOf(item) ?? {});
}

function recordOf(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function isFamily(value: unknown): value is ForeignChain['family'] {
  return typeof value === 'string' && families.includes(value);
}

function isHook(value: unknown): value is Hook {
  return typeof value === 'string' && hooks.includes(value);
}
