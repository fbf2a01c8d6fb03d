import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ParseError } from '../../lib/errors.ts';
import { contains, parseAddress, parsePrefix } from '../../lib/prefix.ts';

/** The container's own files in `/etc`, and the environment of its command. */

export interface Etc {
  readonly hostname: string;
  /** Without prefix length. */
  readonly addresses: readonly string[];
  /** Paths of the host's; what is not there counts as empty. */
  readonly resolvConfs: readonly string[];
}

/** Writes the files that the supervisor binds over the container's. */
export async function writeEtc(directory: string, { hostname, addresses, resolvConfs }: Etc): Promise<void> {
  const candidates = await Promise.all(resolvConfs.map((path) => readFile(path, 'utf8').catch(() => '')));
  await writeFile(join(directory, 'hosts'), formatHosts(hostname, addresses), { mode: 0o644 });
  await writeFile(join(directory, 'hostname'), `${hostname}\n`, { mode: 0o644 });
  await writeFile(join(directory, 'resolv.conf'), chooseResolvConf(candidates), { mode: 0o644 });
}

/** As Docker's. `addresses` without prefix length. */
export function formatHosts(hostname: string, addresses: readonly string[]): string {
  const [name] = hostname.split('.');
  const names = name === hostname ? hostname : `${hostname} ${name}`;
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'ff00::0\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...addresses.map((address) => `${address}\t${names}`),
    '',
  ].join('\n');
}

const loopback = [parsePrefix('127.0.0.0/8'), parsePrefix('::1/128')];

/**
 * The host's `resolv.conf` without the name servers that a container cannot reach: loopback ones, and those of one link.
 * Of several candidates (systemd-resolved's stub and what is behind it) the first that has others is taken.
 */
export function chooseResolvConf(candidates: readonly string[]): string {
  const usable = candidates.map((text) => text.split('\n').filter((line) => !namesUnreachable(line)));
  const best = usable.find((lines) => lines.some((line) => nameserver(line) !== undefined)) ?? usable[0] ?? [];
  return `${best.join('\n').trimEnd()}\n`;
}

function nameserver(line: string): string | undefined {
  return /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
}

function namesUnreachable(line: string): boolean {
  const text = nameserver(line);
  if (text === undefined) return false;
  try {
    const address = parseAddress(text);
    return loopback.some((prefix) => contains(prefix, address));
  } catch (error) {
    if (error instanceof ParseError) return true;
    throw error;
  }
}

/** Docker's defaults, then what was asked for. */
export function formEnvironment(
  asked: readonly string[],
  { hostname, tty }: { hostname: string; tty: boolean },
): readonly string[] {
  const env = new Map([
    ['PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ['HOSTNAME', hostname],
    ...(tty ? [['TERM', 'xterm'] as const] : []),
    ['HOME', '/root'],
  ]);
  for (const word of asked) {
    const equals = word.indexOf('=');
    env.set(word.slice(0, equals), word.slice(equals + 1));
  }
  return Array.from(env, ([name, value]) => `${name}=${value}`);
}
