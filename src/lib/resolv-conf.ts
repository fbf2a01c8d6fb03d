import { isIP } from 'node:net';

/** What resolv.conf(5) says. */
export interface ResolvConf {
  /** Addresses, in order; IPv6 with a zone as it is written there. */
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** More than resolvers look at; the file is not ours. */
const most = { servers: 16, words: 64, bytes: 64 * 1024 } as const;

/**
 * As glibc reads it: keywords begin their lines, the last `search` or `domain` counts, `options` add up, what it does not know
 * is passed over, also lines that begin with `#` or `;`. Behind them these end only an address.
 */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  const options: string[] = [];
  let search: readonly string[] = [];
  for (const line of text.slice(0, most.bytes).split('\n')) {
    const [key, ...words] = line.trimEnd().split(/\s+/);
    const [first] = words;
    if (first === undefined) continue;
    if (key === 'nameserver') {
      const [address = ''] = first.split(/[#;]/);
      if (isIP(address) !== 0) nameservers.push(address);
    }
    if (key === 'search') search = words;
    if (key === 'domain') search = [first];
    if (key === 'options') options.push(...words);
  }
  return {
    nameservers: [...new Set(nameservers)].slice(0, most.servers),
    search: search.slice(0, most.words),
    options: options.slice(0, most.words),
  };
}

/** What `parseResolvConf` reads. */
export function formatResolvConf({ nameservers, search, options }: ResolvConf): string {
  const lines = [
    ...nameservers.map((address) => `nameserver ${address}\n`),
    ...(search.length === 0 ? [] : [`search ${search.join(' ')}\n`]),
    ...(options.length === 0 ? [] : [`options ${options.join(' ')}\n`]),
  ];
  return lines.join('');
}
