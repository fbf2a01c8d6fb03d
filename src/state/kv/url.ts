import { isIPv6 } from 'node:net';
import { ParseError } from '../../lib/errors.ts';
import { withoutPassword } from '../../lib/redact.ts';

/** Where the shared state lives. */
export type StoreUrl =
  | {
      readonly kind: 'etcd';
      readonly members: readonly string[];
      readonly root: string;
      readonly tls: boolean;
      readonly user?: string;
      readonly password?: string;
    }
  | { readonly kind: 'local'; readonly path?: string; readonly root: string };

const most = { text: 4096, members: 16, root: 128 } as const;
const defaultRoot = '/skein';
/** Stores to come: named apart, so that nobody takes them for a slip of the pen. */
const later = ['consul', 'zk'];
const known =
  'there are etcd://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…][/PREFIX], etcds:// for TLS, local:[PATH], and mesh: for none';

/** @throws ParseError naming the schemes that exist */
export function parseStoreUrl(text: string): StoreUrl {
  if (text.length > most.text) throw new ParseError(`the store's URL has more than ${most.text} characters`);
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) throw new ParseError(`${quote(text)} is not the URL of a store; ${known}`);
  const rest = text.slice(scheme.length + 1);
  if (scheme === 'etcd' || scheme === 'etcds') return parseEtcd(rest, text, scheme === 'etcds');
  if (scheme === 'local') return parseLocal(rest, text);
  if (scheme === 'mesh') throw new ParseError(`${quote(text)}: nothing stands behind mesh:, it has no server to name`);
  const reason = later.includes(scheme) ? `${scheme} stores do not work yet` : `there is no store ${quote(scheme)}`;
  throw new ParseError(`${quote(text)}: ${reason}; ${known}`);
}

function parseEtcd(whole: string, text: string, tls: boolean): StoreUrl {
  const [, login, behind = ''] = /^\/\/([^/@]*)@(.*)$/s.exec(whole) ?? [];
  const rest = login === undefined ? whole : `//${behind}`;
  const [, list, prefix = ''] = /^\/\/([^/]*)(\/.*)?$/.exec(rest) ?? [];
  if (list === undefined || list === '') throw new ParseError(`${quote(text)} names no member; ${known}`);
  const members = [...new Set(list.split(',').map((member) => parseMember(member, text)))];
  if (members.length > most.members) throw new ParseError(`${quote(text)} names more than ${most.members} members`);
  const root = prefix.replace(/\/+$/, '') || defaultRoot;
  if (root.length > most.root || !/^(\/[A-Za-z0-9._-]+)+$/.test(root)) {
    throw new ParseError(
      `${quote(text)}: ${quote(root)} is not a prefix such as /skein: letters, digits, . _ - and / are allowed`,
    );
  }
  return { kind: 'etcd', members, root, tls, ...(login === undefined ? {} : parseLogin(login, text)) };
}

/** `USER:PASSWORD`, percent-encoded as in any URL. */
function parseLogin(login: string, text: string): { user: string; password: string } {
  const colon = login.indexOf(':');
  try {
    const user = decodeURIComponent(login.slice(0, colon));
    const password = decodeURIComponent(login.slice(colon + 1));
    if (colon > 0 && password !== '') return { user, password };
  } catch {
    // Said below, without what it was.
  }
  throw new ParseError(`${quote(text)}: what stands before @ is not USER:PASSWORD, percent-encoded`);
}

/** `10.0.0.1:2379`, `[2001:db8::1]:2379`, `etcd1`; without a port etcd's own. */
function parseMember(member: string, text: string): string {
  const [, host = '', digits = '2379'] = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(member) ?? [];
  const port = Number(digits);
  const named = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$/.test(host);
  if ((!named && !isIPv6(host.slice(1, -1))) || port < 1 || port > 65535) {
    throw new ParseError(`${quote(text)}: ${quote(member)} is not HOST:PORT`);
  }
  return `${host}:${port}`;
}

function parseLocal(rest: string, text: string): StoreUrl {
  if (rest === '') return { kind: 'local', root: defaultRoot };
  const path = rest.startsWith('///') ? rest.slice(2) : rest;
  if (!path.startsWith('/') || path.startsWith('//') || path.includes('\0')) {
    throw new ParseError(
      `${quote(text)}: the path of a local store begins with /, such as local:/var/lib/skein/store.db`,
    );
  }
  return { kind: 'local', path, root: defaultRoot };
}

/** The canonical text, as `status` and the sentences name it: without user and password. */
export function formatStoreUrl(url: StoreUrl): string {
  if (url.kind === 'local') return `local:${url.path ?? ''}`;
  return `etcd${url.tls ? 's' : ''}://${url.members.join(',')}${url.root === defaultRoot ? '' : url.root}`;
}

function quote(secret: string): string {
  const text = withoutPassword(secret);
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
