import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { messageOf, Refusal } from '../../../lib/errors.ts';
import type { StoreOption } from '../../../model/setting-values.ts';
import type { StoreUrl } from '../url.ts';

/** How etcd knows us and we know it. */
export interface Credentials {
  /** Without a `ca` the authorities that Node trusts are asked. Undefined: cleartext. */
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  readonly login?: { readonly name: string; readonly password: string };
}

/**
 * Of the URL (`etcds://`, `USER:PASSWORD@`) and the options, which win. Any file of TLS makes it TLS.
 * @throws Refusal 'invalid' naming the option, and never a password
 */
export function readCredentials(
  url: Extract<StoreUrl, { kind: 'etcd' }>,
  options: readonly StoreOption[],
): Credentials {
  const given = new Map(options.map(({ key, value }) => [key, value]));
  const read = (key: StoreOption['key']) => {
    const path = given.get(key);
    return path === undefined ? undefined : readFile(key, path);
  };
  const [ca, cert, key] = [read('kv.cacertfile'), read('kv.certfile'), read('kv.keyfile')];
  if ((cert === undefined) !== (key === undefined)) {
    throw new Refusal('invalid', '--cluster-store-opt: kv.certfile and kv.keyfile belong together: give both');
  }
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  requireUsable(tls, given);
  const name = given.get('kv.user') ?? url.user;
  const password =
    read('kv.passwordfile')
      ?.toString('utf8')
      .replace(/\r?\n$/, '') ??
    given.get('kv.password') ??
    url.password;
  if ((name === undefined) !== (password === undefined)) {
    throw new Refusal(
      'invalid',
      `--cluster-store-opt: a user and a password belong together: give ${name === undefined ? 'kv.user' : 'kv.passwordfile or kv.password'} too`,
    );
  }
  return {
    ...(url.tls || Object.keys(tls).length > 0 ? { tls } : {}),
    ...(name !== undefined && password !== undefined ? { login: { name, password } } : {}),
  };
}

function readFile(key: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Refusal('invalid', `--cluster-store-opt ${key}: cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

function requireUsable(tls: NonNullable<Credentials['tls']>, given: ReadonlyMap<string, string>): void {
  try {
    createSecureContext(tls);
  } catch (cause) {
    const files = ['kv.cacertfile', 'kv.certfile', 'kv.keyfile'].filter((key) => given.has(key));
    const named = files.map((key) => `${key}=${given.get(key)}`).join(', ');
    throw new Refusal('invalid', `--cluster-store-opt: ${named} cannot be used for TLS: ${messageOf(cause)}`, {
      cause,
    });
  }
}
