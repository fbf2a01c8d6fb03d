import { parseArgs } from 'node:util';
import { ParseError } from '../lib/errors.ts';
import { defaultMeshPort, parseMeshPlace } from './mesh-place.ts';
import {
  choice,
  parseAllocationRange,
  parseDirectory,
  parseDomain,
  parseHostName,
  parseIpText,
  parseListener,
  parseNamesPlace,
  parsePlace,
  parsePool,
  parsePort,
  parseStoreOption,
  parseStoreText,
  parseSwitch,
  shorten,
} from './setting-values.ts';
import { parseTokenSource } from './token-source.ts';

/**
 * Every setting of the daemon, once. The type, the flags of `skein launch`, the `SKEIN_*` variables, the keys of
 * `/etc/skein/daemon.json`, the help and `docs/settings.md` come from this table.
 *
 * A flag beats the environment, which beats the file, which beats the default. In the file and the environment a setting
 * that may be given several times has its plural name, as in Docker's file.
 */
export const settings = {
  clusterStore: one(parseStoreText, undefined, {
    value: 'url',
    sentence:
      'where the state of the cluster lives: mesh: in the hosts themselves, etcd://HOST:PORT,…/PREFIX (etcds:// for TLS) in a store, or local: for a cluster of one host for good',
    unset: 'where it was, for a new host mesh:',
  }),
  clusterStoreOpt: many(parseStoreOption, [], {
    value: 'key=value',
    sentence:
      'how the store is spoken to: kv.cacertfile, kv.certfile, kv.keyfile (any of them means TLS), kv.user, kv.passwordfile, kv.password',
    unset: 'cleartext, no login',
    pairs: true,
  }),
  token: one(parseTokenSource, undefined, {
    value: 'token',
    sentence:
      'what lets this host into a cluster without a store, as skein token show prints it: @FILE, - for the standard input, or the token itself',
    unset: 'none',
  }),
  peer: many(parseMeshPlace, [], {
    value: 'place',
    sentence: 'another host of a cluster without a store: HOST[:PORT]; skein launch takes them as arguments, too',
    unset: 'none',
  }),
  meshPort: one(parsePort, String(defaultMeshPort), {
    value: 'port',
    sentence: 'port, of TCP and of UDP, at which other hosts of a cluster without a store speak to this one',
  }),
  discovery: one(parseSwitch, 'true', {
    value: 'true|false',
    sentence: 'dial only the hosts that were given by hand, none that those know of (discovery: false)',
    negated: true,
  }),
  clusterAdvertise: one(parsePlace, undefined, {
    value: 'place',
    sentence: 'address at which other hosts reach this one: INTERFACE[:PORT] or ADDRESS[:PORT]',
    unset: 'the one address that this host has beside loopback, port 2376',
  }),
  dataAddress: one(parseIpText, undefined, {
    value: 'address',
    sentence: 'address from which and to which the packets of the overlay networks go',
    unset: 'the advertised address',
  }),
  dataPort: one(parsePort, undefined, {
    value: 'port',
    sentence: 'UDP port of VXLAN; the first host of a cluster settles it for all',
    unset: "the cluster's, 4789 for a new one",
  }),
  hostName: one(parseHostName, undefined, {
    value: 'name',
    sentence: 'what this host is called in the cluster',
    unset: "the machine's host name",
  }),
  stateDir: one(parseDirectory, '/var/lib/skein', {
    value: 'directory',
    sentence: 'what has to outlive a reboot: identity, desired state, last snapshot, output of containers',
  }),
  runDir: one(parseDirectory, '/run/skein', {
    value: 'directory',
    sentence: 'what ends with a reboot: namespaces, socket, pid file',
  }),
  host: many(parseListener, [], {
    value: 'url',
    short: 'H',
    sentence: 'where the API listens: unix:///PATH, or fd:// for the sockets that systemd hands over',
    unset: 'unix:// and the run directory, /skein.sock',
  }),
  defaultAddressPool: many(parsePool, ['10.0.0.0/8,size=24'], {
    value: 'pool',
    sentence: 'where the subnets of networks are taken from, and their prefix length: PREFIX,size=LENGTH',
  }),
  ipallocRange: one(parseAllocationRange, '10.32.0.0/12', {
    value: 'prefix',
    sentence: 'where the addresses of the default network come from; the first host that needs it settles it for all',
  }),
  gatewayAddressPool: many(
    parsePool,
    [...Array.from({ length: 14 }, (_, i) => `172.${18 + i}.0.0/16,size=16`), '192.168.0.0/16,size=20'],
    { value: 'pool', sentence: 'where the subnet of the gateway bridge is taken from: the first that is free' },
  ),
  dnsDomain: many(parseDomain, ['skein.local'], {
    value: 'domain',
    sentence: 'what names of containers may end in; what is not known in it is nowhere',
  }),
  dnsListen: many(parseNamesPlace, [], {
    value: 'place',
    sentence:
      'where names are answered besides the networks, to the host itself and who is on a subnet of one of its interfaces: gateway (the gateway bridge, for containers of Docker and the host) or ADDRESS, each with :PORT if it is not 53',
    unset: 'nowhere',
  }),
  logLevel: one(choice('debug', 'info', 'warn', 'error'), 'info', {
    value: 'level',
    sentence: 'which lines are logged: debug, info, warn or error',
  }),
  logFormat: one(choice('auto', 'text', 'json'), 'auto', {
    value: 'format',
    sentence: 'how they are written: text, json, or auto (text on a terminal, else json)',
  }),
} as const;

export type Settings = { readonly [K in keyof typeof settings]: ReturnType<(typeof settings)[K]['read']> };

export interface Setting<T = unknown> {
  /** The value that these texts give; none of them is the default. @throws ParseError */
  readonly read: (texts: readonly string[]) => T;
  readonly default: readonly string[];
  readonly many: boolean;
  readonly value: string;
  readonly short?: string;
  readonly sentence: string;
  /** What happens where there is neither a value nor a default. */
  readonly unset?: string;
  /** In the file an object says several: `{"a": "1", "b": "2"}` is `a=1` and `b=2`. */
  readonly pairs?: boolean;
  /** It is on; the flag is `--no-NAME`, without a value. */
  readonly negated?: boolean;
}

type About = Pick<Setting, 'value' | 'short' | 'sentence' | 'unset' | 'pairs' | 'negated'>;

export const settingsFile = '/etc/skein/daemon.json';

const longestFile = 256 * 1024;
const longestValue = 4096;
const mostValues = 64;
/** node's parseArgs takes minutes for a million. */
const mostArguments = 1024;

function one<T>(parse: (text: string) => T, initial: string, about: About): Setting<T>;
function one<T>(parse: (text: string) => T, initial: undefined, about: About): Setting<T | undefined>;
function one<T>(parse: (text: string) => T, initial: string | undefined, about: About): Setting<T | undefined> {
  const preset = initial === undefined ? [] : [initial];
  return {
    ...about,
    default: preset,
    many: false,
    read: (texts) => {
      if (texts.length > 1) throw new ParseError('is given more than once');
      const [text = initial] = texts;
      return text === undefined ? undefined : parse(text);
    },
  };
}

function many<T>(parse: (text: string) => T, preset: readonly string[], about: About): Setting<readonly T[]> {
  return {
    ...about,
    default: preset,
    many: true,
    read: (texts) => {
      if (texts.length > mostValues) throw new ParseError(`is given more than ${mostValues} times`);
      return (texts.length === 0 ? preset : texts).map(parse);
    },
  };
}

/** The names of a setting: as a flag, in the environment, in the file. */
export function namesOf(key: keyof Settings): { flag: string; variable: string; fileKey: string } {
  const { many: several, negated = false }: Setting = settings[key];
  const name = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const flag = negated ? `no-${name}` : name;
  const fileKey = several ? `${name}s` : name;
  return { flag, variable: `SKEIN_${fileKey.replaceAll('-', '_').toUpperCase()}`, fileKey };
}

export const settingKeys = Object.keys(settings) as (keyof Settings)[];

export interface Sources {
  /** By flag: what was given on the command line, in that order. */
  readonly flags: Readonly<Record<string, readonly string[]>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The settings file, if there is one. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
}

/** @throws ParseError naming the flag, the variable or the file and key */
export function parseSettings({ flags, env, file }: Sources): Settings {
  const inFile = file === undefined ? new Map<string, readonly string[]>() : parseSettingsFile(file.text, file.path);
  const read = (key: keyof Settings) => {
    const { flag, variable, fileKey } = namesOf(key);
    const given: { place: string; texts: readonly string[] }[] = [
      { place: `--${flag}`, texts: flags[flag] ?? [] },
      { place: variable, texts: textsOf(env[variable], settings[key].many) },
      { place: `${file?.path}: ${fileKey}`, texts: inFile.get(fileKey) ?? [] },
    ];
    const source = given.find(({ texts }) => texts.length > 0);
    return at(source?.place ?? `--${flag}`, () => settings[key].read((source?.texts ?? []).map(capped)));
  };
  return Object.fromEntries(settingKeys.map((key) => [key, read(key)])) as Settings;
}

function capped(text: string): string {
  if (text.length > longestValue) throw new ParseError(`is longer than ${longestValue} characters`);
  return text;
}

/** An empty variable is one that is not set. Several values are separated by spaces. */
function textsOf(value: string | undefined, several: boolean): readonly string[] {
  if (value === undefined || value === '') return [];
  return several ? value.split(/\s+/).filter((part) => part !== '') : [value];
}

/** The texts under each key of the file. @throws ParseError naming the file and the key */
export function parseSettingsFile(text: string, path: string): ReadonlyMap<string, readonly string[]> {
  if (text.length > longestFile) throw new ParseError(`${path}: is longer than ${longestFile} characters`);
  const json = at(path, () => readJson(text));
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ParseError(`${path}: is not a JSON object`);
  }
  const known = new Map(settingKeys.map((key) => [namesOf(key).fileKey, settings[key]]));
  const texts = new Map<string, readonly string[]>();
  for (const [key, value] of Object.entries(json)) {
    const place = `${path}: ${shorten(key)}`;
    const setting = known.get(key);
    if (setting === undefined) {
      throw new ParseError(`${place} is not a setting; there are: ${[...known.keys()].join(', ')}`);
    }
    texts.set(
      key,
      at(place, () => fileTexts(value, setting)),
    );
  }
  return texts;
}

function fileTexts(value: unknown, { many: several, pairs = false, negated = false }: Setting): readonly string[] {
  if (negated && typeof value === 'boolean') return [String(value)];
  if (pairs && typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value).map(([key, part]) => `${key}=${fileText(part)}`);
  }
  if (!Array.isArray(value)) return [fileText(value)];
  if (!several) throw new ParseError('takes one value, not a list');
  return value.map((item) => fileText(item));
}

/** Docker writes a pool as `{"base": "10.0.0.0/8", "size": 24}`, which says the same as `base=10.0.0.0/8,size=24`. */
function fileText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const parts = Object.entries(value);
    if (parts.every(([, part]) => typeof part === 'string' || typeof part === 'number')) {
      return parts.map(([name, part]) => `${name}=${part}`).join(',');
    }
  }
  throw new ParseError('is neither a text nor a number');
}

/** The flags of the daemon's own command line; words without one are peers. @throws ParseError naming the flag */
export function parseFlags(args: readonly string[]): Readonly<Record<string, readonly string[]>> {
  if (args.length > mostArguments) throw new ParseError(`the command line: has more than ${mostArguments} words`);
  const options = Object.fromEntries(
    settingKeys.map((key) => {
      const { short, negated }: Setting = settings[key];
      const option = { type: negated ? 'boolean' : 'string', multiple: true } as const;
      return [namesOf(key).flag, short === undefined ? option : { ...option, short }];
    }),
  );
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
    const { peer = [], ...flags } = Object.fromEntries(
      Object.entries(values).flatMap(([flag, given]) =>
        Array.isArray(given) ? [[flag, given.map((one) => (one === true ? 'false' : String(one)))]] : [],
      ),
    );
    const peers = [...peer, ...positionals];
    return { ...flags, ...(peers.length > 0 && { peer: peers }) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ParseError(`the command line: ${reason.slice(0, 200)}`, { cause });
  }
}

function at<T>(place: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof ParseError)) throw cause;
    throw new ParseError(`${place}: ${cause.message}`, { cause });
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ParseError('is not JSON', { cause });
  }
}
