import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { promisify } from 'node:util';
import { COMMENT, type ForeignChain, type Guest, type Present, type Program, type Wanted } from './chains.ts';
import { parseIptables, parseNftChains, parseNftTranslators, type Translator, translating } from './listings.ts';

/** Others' chains are read and written with their own programs: beside the data plane's thread, which waits for nobody. */
const execute = promisify(execFile);
const environment = {
  PATH: [process.env['PATH'], '/usr/sbin', '/sbin', '/usr/bin', '/bin'].join(delimiter),
  LC_ALL: 'C',
};
const options = { env: environment, timeout: 10_000, maxBuffer: 64 << 20, encoding: 'utf8' } as const;

async function run(program: string, args: readonly string[], input = ''): Promise<string> {
  const running = execute(program, args, options);
  // One that ends early does not read it: what it says then is told.
  running.child.stdin?.on('error', () => undefined).end(input);
  return (await running).stdout;
}

/** What is of others in this network namespace. @throws Error */
export async function readForeign(): Promise<readonly ForeignChain[]> {
  const { chains, ofIptables } = parseNftChains(await run('nft', ['-j', 'list', 'ruleset']));
  const programs: Program[] = [
    ...ofIptables.map((family): Program => (family === 'ip' ? 'iptables-nft' : 'ip6tables-nft')),
    ...(isListed('ip_tables_names') ? (['iptables-legacy'] as const) : []),
    ...(isListed('ip6_tables_names') ? (['ip6tables-legacy'] as const) : []),
  ];
  const listed = await Promise.all(programs.map(readIptables));
  return [...chains, ...listed.flat()];
}

/** Where others translate addresses in this network namespace. @throws Error */
export async function readTranslators(): Promise<readonly Translator[]> {
  const found = [...parseNftTranslators(await run('nft', ['-j', 'list', 'ruleset']))];
  for (const [file, program, family] of legacy) {
    if (!isListed(file, 'nat')) continue;
    const rules = await run(program, ['-w', '5', '-t', 'nat', '-S']);
    if (translating.some((target) => rules.includes(` -j ${target}`))) found.push({ family, table: 'nat' });
  }
  return found;
}

const legacy = [
  ['ip_tables_names', 'iptables-legacy', 'ip'],
  ['ip6_tables_names', 'ip6tables-legacy', 'ip6'],
] as const;

async function readIptables(program: Program): Promise<readonly ForeignChain[]> {
  if (program === 'nft') return [];
  return parseIptables(await run(program, ['-w', '5', '-S']), program);
}

/** Whether there are tables of iptables' older kind. */
export function hasLegacy(): boolean {
  return isListed('ip_tables_names') || isListed('ip6_tables_names');
}

/** To ask iptables itself would make the table. */
function isListed(file: 'ip_tables_names' | 'ip6_tables_names', table = 'filter'): boolean {
  try {
    return readFileSync(`/proc/self/net/${file}`, 'utf8').split('\n').includes(table);
  } catch {
    return false;
  }
}

/**
 * As late in its chain as it may stand, in the place of those of the same words that stand elsewhere: all at once, so that no
 * packet passes between. `others` are the rest of ours that are there. @throws Error
 */
export async function placeGuest(guest: Wanted, former: readonly Present[], others: readonly Present[]): Promise<void> {
  const { program, family, table, chain, rule, before, most } = guest;
  if (program === 'nft') {
    const [how, position] = before?.handle === undefined ? ['add', ''] : ['insert', ` position ${before.handle}`];
    const adding = `${how} rule ${family} ${table} ${chain}${position} ${rule} comment "${COMMENT}"`;
    await run('nft', [[adding, ...former.flatMap(deletion)].join('; ')]);
    return;
  }
  // iptables counts ours, too.
  const ours = others.filter((each) => isBeside(each, guest) && each.after <= most).length;
  const at = before === undefined ? `-A ${chain}` : `-I ${chain} ${most + ours + 1}`;
  const lines = [`*${table}`, ...former.map(() => `-D ${chain} ${rule}`), `${at} ${rule}`, 'COMMIT', ''];
  await run(`${program}-restore`, ['-w', '5', '--noflush'], lines.join('\n'));
}

function isBeside(a: Guest, b: Guest): boolean {
  return a.program === b.program && a.table === b.table && a.chain === b.chain;
}

/** @throws Error */
export async function removeGuest(guest: Present): Promise<void> {
  const { program, chain, rule } = guest;
  if (program === 'nft') await run('nft', deletion(guest));
  else await run(program, ['-w', '5', '-D', chain, ...rule.split(' ')]);
}

/** In nft's words; none for what the kernel gave no handle. */
function deletion({ family, table, chain, handle }: Present): readonly string[] {
  return handle === undefined ? [] : [`delete rule ${family} ${table} ${chain} handle ${handle}`];
}
