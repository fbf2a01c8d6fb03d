import { isIPv6 } from 'node:net';
import { ParseError } from '../lib/errors.ts';
import { covers, formatAddress, formatPrefix, parseAddress, parsePrefix } from '../lib/prefix.ts';
import { withoutPassword } from '../lib/redact.ts';
import { nameServerSubnets } from './name-server.ts';
import { most } from './text.ts';

/** The values of settings. Each throws a ParseError that quotes the text and says what it should have been. */

/** Subnets of this prefix length are cut out of `range`. */
export interface AddressPool {
  readonly range: string;
  readonly size: number;
}

export function parseStoreText(text: string): string {
  if (!/^[a-z][a-z0-9+]*:\S*$/.test(text)) {
    throw new ParseError(`${shorten(withoutPassword(text))} is not a store, such as etcd://10.0.0.1:2379 or local:`);
  }
  return text;
}

export interface StoreOption {
  readonly key: (typeof storeOptions)[number];
  readonly value: string;
}

const storeOptions = [
  'kv.cacertfile',
  'kv.certfile',
  'kv.keyfile',
  'kv.user',
  'kv.password',
  'kv.passwordfile',
] as const;

/** Docker's keys, and those of a login. What stands behind them may be a password and is never quoted. */
export function parseStoreOption(text: string): StoreOption {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const key = storeOptions.find((known) => known === name);
  if (key === undefined)
    throw new ParseError(`${shorten(name)} is not an option; there are: ${storeOptions.join(', ')}`);
  const value = equals < 0 ? '' : text.slice(equals + 1);
  if (value === '') throw new ParseError(`${key} has no value: give ${key}=VALUE`);
  if (key.endsWith('file') && (!value.startsWith('/') || value.includes('\0'))) {
    throw new ParseError(`${key}: ${shorten(value)} is not an absolute path`);
  }
  return { key, value };
}

export function parsePlace(text: string): string {
  if (isIPv6(text)) return text;
  const place = /^(?:\[([0-9a-fA-F:.]+)\]|[^:[\]\s/]{1,64})(?::(\d{1,5}))?$/.exec(text);
  if (place === null) throw new ParseError(`${shorten(text)} is neither INTERFACE[:PORT] nor ADDRESS[:PORT]`);
  const [, bracketed, port] = place;
  if (bracketed !== undefined) parseIpText(bracketed);
  if (port !== undefined) parsePort(port);
  return text;
}

export function parseIpText(text: string): string {
  return formatAddress(wrap(text, 'an IP address', () => parseAddress(text)));
}

export function parsePort(text: string): number {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new ParseError(`${shorten(text)} is not a port from 1 to 65535`);
  return port;
}

export function parseHostName(text: string): string {
  if (text.length > most.name || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(text)) {
    throw new ParseError(`${shorten(text)} is not a name: letters, digits, _ . and -, at most ${most.name}`);
  }
  return text;
}

/** A socket's path has at most 107 bytes (sun_path), and names are put behind this one. */
const longestDirectory = 80;

export function parseDirectory(text: string): string {
  if (!text.startsWith('/') || text.includes('\0') || text.split('/').includes('..')) {
    throw new ParseError(`${shorten(text)} is not an absolute path`);
  }
  if (Buffer.byteLength(text) > longestDirectory) {
    throw new ParseError(`${shorten(text)} is longer than the ${longestDirectory} bytes that leave room for a socket`);
  }
  return text.length > 1 ? text.replace(/\/+$/, '') : text;
}

/** Names are put before it: two of containers and networks, and their dots, are left room. */
const longestDomain = 120;

/** In lower case, without the dot at its end. */
export function parseDomain(text: string): string {
  const domain = text.toLowerCase().replace(/\.$/, '');
  if (
    domain.length > longestDomain ||
    !domain.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
  ) {
    throw new ParseError(`${shorten(text)} is not a domain such as skein.local`);
  }
  return domain;
}

/** Where names are answered: `gateway` stands for the addresses of the gateway bridge. */
export interface NamesPlace {
  readonly address: string;
  readonly port: number;
}

/** `gateway`, `10.0.0.1`, `10.0.0.1:5353`, `fd00::1`, `[fd00::1]:5353`. */
export function parseNamesPlace(text: string): NamesPlace {
  const [, bracketed, plain, port = '53'] = isIPv6(text)
    ? [text, text]
    : (/^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]{1,64}))(?::(\d{1,5}))?$/.exec(text) ?? []);
  const address = bracketed ?? plain;
  if (address === undefined) throw new ParseError(`${shorten(text)} is neither gateway nor ADDRESS[:PORT]`);
  if (address === 'gateway') return { address, port: parsePort(port) };
  const parsed = wrap(text, 'gateway or ADDRESS[:PORT]', () => parseAddress(address));
  if (parsed.value === 0n) throw new ParseError(`${shorten(text)} is every address of this host; name one`);
  return { address: formatAddress(parsed), port: parsePort(port) };
}

/** What a listener is called that takes the sockets which systemd hands over. */
export const handedOver = 'fd://';

/** @returns the path of the socket, or `handedOver` */
export function parseListener(text: string): string {
  const scheme = text.split('://', 1)[0];
  if (scheme === 'tcp') {
    throw new ParseError(`${shorten(text)} would need client certificates, which do not exist yet; use unix://`);
  }
  if (text === handedOver) return handedOver;
  if (scheme === 'fd')
    throw new ParseError(`${shorten(text)}: single sockets of systemd have no names here; use fd://`);
  const path = /^unix:\/\/(\/.+)$/.exec(text)?.[1];
  if (path === undefined || path.includes('\0')) throw new ParseError(`${shorten(text)} is not unix:///PATH`);
  if (Buffer.byteLength(path) > 107) throw new ParseError(`${shorten(text)}: a socket's path has at most 107 bytes`);
  return path;
}

/** `10.0.0.0/8,size=24`, also as Docker writes it: `base=10.0.0.0/8,size=24`. */
export function parsePool(text: string): AddressPool {
  const parts = /^(?:base=)?([^,=]+),size=(\d{1,3})$/.exec(text);
  if (parts === null) throw new ParseError(`${shorten(text)} is not a pool such as 10.0.0.0/8,size=24`);
  const [, base = '', size = ''] = parts;
  const range = wrap(base, 'a network such as 10.0.0.0/8', () => parsePrefix(base));
  const longest = range.address.family === 4 ? 30 : 126;
  if (Number(size) < range.length || Number(size) > longest) {
    throw new ParseError(`${shorten(text)}: the size is not between ${range.length} and ${longest}`);
  }
  const reserved = nameServerSubnets.find((subnet) => covers(parsePrefix(subnet), range));
  if (reserved !== undefined) {
    throw new ParseError(`${shorten(text)} is in ${reserved}, where containers find the name server`);
  }
  return { range: formatPrefix(range), size: Number(size) };
}

export function parseSwitch(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new ParseError(`${shorten(text)} is neither true nor false`);
  return text === 'true';
}

/** Of IPv4, with room for more than a container: `10.32.0.0/12`. */
export function parseAllocationRange(text: string): string {
  const range = wrap(text, 'a network such as 10.32.0.0/12', () => parsePrefix(text));
  if (range.address.family !== 4) throw new ParseError(`${shorten(text)}: the default network is of IPv4`);
  if (range.length > 29) throw new ParseError(`${shorten(text)} is smaller than a /29`);
  return formatPrefix(range);
}

export function choice<const T extends string>(...values: readonly T[]): (text: string) => T {
  return (text) => {
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) throw new ParseError(`${shorten(text)} is none of ${values.join(', ')}`);
    return value;
  };
}

function wrap<T>(text: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new ParseError(`${shorten(text)} is not ${what}`, { cause });
  }
}

export function shorten(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
