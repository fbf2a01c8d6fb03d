import { createHash } from 'node:crypto';

/**
 * Makes two dumps comparable: what is the same state is the same text. What is left out or made alike is listed here, and
 * nothing else is.
 */
export function normal(dump: readonly string[]): readonly string[] {
  const networks = new Set(dump.flatMap((line) => /^store\t\/skein\/networks\/(\w+)/.exec(line)?.[1] ?? []));
  const lines = joinChains(dump)
    // What was last heard of the endpoints of a network that is there may be of any time: it is for when the store is away.
    .filter((line) => !networks.has(/^journal\tendpoint (\w+)/.exec(line)?.[1] ?? ''))
    .map(cleaned)
    .filter((line) => line !== undefined);
  return renamed(lines);
}

/** What comes and goes by itself, or says nothing of what is held. */
const passing: readonly RegExp[] = [
  // An address, number or subnet that was given back rests: it is free.
  /^store\t\S+\t\{"released":/,
  // How often a subnet was taken.
  /^store\t\/skein\/subnets\t/,
  // Learnt by traffic underneath, and of connections.
  /^\S+ ip\t.*\b(REACHABLE|STALE|DELAY|PROBE|INCOMPLETE|FAILED)\b/,
  /^\S+ sysctl\t\/proc\/sys\/net\/(netfilter\/nf_conntrack_count|ipv4\/route\/|ipv4\/tcp_fastopen_key|ipv6\/conf\/[^/]+\/stable_secret)/,
  // The kernel gives links their own addresses in a second or two, and takes part in their groups.
  /^\S+ (ip|fdb)\t.*\b(fe80::|ff02::|ff00::|33:33:)/,
  // The daemon's own log, and the write-ahead log of its journal.
  /^files\tf \d+ \/var\/lib\/skein\/(daemon\.log|journal\.db-wal)/,
];

const alike: readonly (readonly [pattern: RegExp, by: string])[] = [
  // Times, and counters of lives.
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME'],
  [/"(epoch|pid|position|instance)":("\w+"|\d+)/g, '"$1":…'],
  // A fresh host's own key, and the file of its journal.
  [/"key":"[\w+/]{43}="/g, '"key":…'],
  [/"privateKey":"[^"]*"/g, '"privateKey":…'],
  [/, file \d+:\d+"/g, ', file …"'],
  // Indexes of links are never used again; each end of a veth is known by its name, too.
  [/(?<=^\S+ ip\t)\d+: /g, ''],
  [/@if\d+/g, '@if'],
  [/ link-netns(id)? \S+/g, ' link-netns …'],
  // The MACs of ports are drawn. That a link has a carrier is told up to a second later; that it is up stays.
  [/\b5e(:[0-9a-f]{2}){5}/g, 'MAC'],
  [/(\bNO-CARRIER,|,LOWER_UP\b|,M-DOWN\b| linkdown\b| state (UNKNOWN|UP|DOWN|LOWERLAYERDOWN)\b)/g, ''],
  [/ (bridge_id|designated_root|designated_bridge|port_no|port_id|designated_port) \S+/g, ''],
  [/ \w+_timer +[\d.]+/g, ''],
  // A comment of a rule is made of its text; the number of a filter is the kernel's choice.
  [/ comment "[0-9a-f]{16}"/g, ''],
  [/\s(handle|index) \w+/g, ''],
  [/ installed \d+ sec used \d+ sec.*/g, ''],
  // Of a pin.
  [/\tnet:\[\d+\]/g, '\tnet'],
  [/ shared:\d+/g, ' shared'],
];

/** Most lines of a dump were in the one before. */
function remembering<T>(of: (line: string) => T): (line: string) => T {
  const known = new Map<string, { readonly value: T }>();
  return (line) => {
    const before = known.get(line) ?? { value: of(line) };
    if (known.size > 50_000) known.clear();
    known.set(line, before);
    return before.value;
  };
}

const cleaned = remembering((line) => {
  if (passing.some((pattern) => pattern.test(line))) return undefined;
  return alike.reduce((text, [pattern, by]) => text.replaceAll(pattern, by), ordered(line));
});

const namesIn = remembering((line): ReadonlySet<string> => {
  return new Set(Array.from(line.matchAll(drawn), ([name]) => keyOf(name)));
});

/** A record's fields have no order. */
function ordered(line: string): string {
  const [, before, json] = /^((?:journal|store)\t[^{]*)(\{.*)$/.exec(line) ?? [];
  if (before === undefined || json === undefined) return line;
  const sorted = JSON.stringify(JSON.parse(json), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return before + sorted;
}

/** A chain, a set, a filter is one thing; the order of rules in it counts, that of chains and filters does not. */
function joinChains(dump: readonly string[]): readonly string[] {
  const joined: string[] = [];
  let table = '';
  let block: string | undefined;
  for (const line of dump) {
    const [, section = '', text = ''] = /^(\S+ nft)\t(.*)$/.exec(line) ?? [];
    if (/^\S+ tc\t\s/.test(line)) joined.push(`${joined.pop() ?? ''} |${line.replace(/^[^\t]*\t/, '')}`);
    else if (section === '') joined.push(line);
    else if (/^table /.test(text)) table = text.replace(' {', '');
    else if (text === '\t}') {
      joined.push(`${section}\t${table} ${block ?? ''}`);
      block = undefined;
    } else if (text === '}') joined.push(`${section}\t${table}`);
    else block = block === undefined ? text.trim() : `${block} | ${text.trim()}`;
  }
  return joined;
}

/** Names that are drawn anew each time. */
const drawn =
  /\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b|\b[0-9a-f]{12}\b|\b\d+-[0-9a-f]{10}\b|\bveth[0-9a-f]{7}\b|(?<=vxlan id |"vni":|vnis\/)\d+|\b0x[0-9a-f]{3}\b/g;
const masked = '#';

/** Each becomes what is said of it: where it stands, whatever it is called. So what belongs together stays together. */
function renamed(lines: readonly string[]): readonly string[] {
  const said = new Map<string, string[]>();
  for (const line of lines) {
    for (const name of namesIn(line)) {
      const about = line.replaceAll(drawn, (other) => (keyOf(other) === name ? '@' : masked));
      said.set(name, [...(said.get(name) ?? []), about]);
    }
  }
  const digests = new Map<string, string>();
  for (const [name, about] of said) {
    const text = about.toSorted().join('\n');
    digests.set(name, createHash('sha256').update(text).digest('base64url').slice(0, 8));
  }
  const digestOf = (name: string) => `${masked}${digests.get(keyOf(name)) ?? ''}`;
  return lines.map((line) => (namesIn(line).size === 0 ? line : line.replaceAll(drawn, digestOf)));
}

/** The guard's set has VNIs in hexadecimal. */
function keyOf(name: string): string {
  return name.startsWith('0x') ? String(Number(name)) : name;
}

/** Lines that only one of two has, whatever drawn names are called; if that is none, those with other names. */
export function difference(expected: readonly string[], found: readonly string[]): readonly string[] {
  const mask = (line: string) => line.replaceAll(/#[\w-]{8}/g, masked);
  const things = compare(expected.map(mask), found.map(mask));
  return things.length > 0 ? things : compare(expected, found);
}

function compare(expected: readonly string[], found: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const line of expected) counts.set(line, (counts.get(line) ?? 0) - 1);
  for (const line of found) counts.set(line, (counts.get(line) ?? 0) + 1);
  const unequal = [...counts].filter(([, count]) => count !== 0);
  return unequal.map(([line, count]) => `  ${count < 0 ? 'missing' : 'too much'}: ${line}`);
}
