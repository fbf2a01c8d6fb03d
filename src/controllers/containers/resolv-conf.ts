import { ParseError } from '../../lib/errors.ts';
import { parseAddress } from '../../lib/prefix.ts';
import { formatResolvConf, parseResolvConf } from '../../lib/resolv-conf.ts';
import type { ContainerDns } from '../../model/container.ts';
import { isLoopback } from '../../model/text.ts';

export interface Resolving {
  /** The host's `resolv.conf`, and what it may stand for. */
  readonly candidates: readonly string[];
  readonly dns?: ContainerDns | undefined;
  /** Where our names are answered to a container on a network; nobody answers one that is on none. */
  readonly server?: string | undefined;
}

/**
 * A container's `resolv.conf`: search and options of the host's, or, as Docker's flags do, all of them replaced by those given.
 * With our server, which asks the others itself, a name is first asked for as it is written, unless an option given says
 * otherwise: the name of a container must not become one of the house because that has a wildcard.
 */
export function formResolvConf({ candidates, dns, server }: Resolving): string {
  const { servers = [], search = [], options = [] } = dns ?? {};
  const isPlain = servers.length + search.length + options.length === 0;
  if (server === undefined && isPlain) return chooseResolvConf(candidates);
  const host = parseResolvConf(server === undefined ? chooseResolvConf(candidates) : hostsOwn(candidates));
  const inherited = server === undefined ? host.options : host.options.filter((option) => !isNdots(option));
  const wanted = options.length > 0 ? options : inherited;
  return formatResolvConf({
    nameservers: server === undefined ? (servers.length > 0 ? servers : host.nameservers) : [server],
    search: search.length > 0 ? search.filter((domain) => domain !== '.') : host.search,
    options: server === undefined || wanted.some(isNdots) ? wanted : [...wanted, 'ndots:0'],
  });
}

function isNdots(option: string): boolean {
  return option.startsWith('ndots:');
}

function hostsOwn(candidates: readonly string[]): string {
  return candidates.find((text) => text !== '') ?? '';
}

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
    return isLoopback(parseAddress(text));
  } catch (error) {
    if (error instanceof ParseError) return true;
    throw error;
  }
}
