import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { ParseError } from '../lib/errors.ts';

/**
 * What lets a new host in: `skein1.<fingerprint>.<secret>`. The fingerprint is the first 16 bytes of the cluster's id, by
 * which the new host knows the right cluster; it is empty in a token made before there was one. Two bytes of checksum find
 * a slip of the pen before anybody is asked.
 *
 *     | fingerprint:128 | . | secret:128 | checksum:16 |     both parts base64url
 *
 * Whatever logs or shows a token does so without the secret; `reveal` gives the text to who asked for it.
 */
export class JoinToken {
  /** 32 hexadecimal digits; undefined in a token that is older than its cluster. */
  readonly fingerprint: string | undefined;
  readonly #secret: Uint8Array;

  /** `chance` are 16 bytes that nobody can guess. */
  constructor(chance: Uint8Array, cluster?: string) {
    this.fingerprint = cluster?.slice(0, 32);
    this.#secret = Uint8Array.from(chance);
  }

  /** The 16 bytes that make it. */
  secret(): Uint8Array {
    return Uint8Array.from(this.#secret);
  }

  reveal(): string {
    const head = headOf(this.fingerprint);
    const secret = Buffer.concat([this.#secret, checksum(head, this.#secret)]);
    return `${head}${secret.toString('base64url')}`;
  }

  toString(): string {
    return `${headOf(this.fingerprint)}…`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** @throws ParseError, which does not quote the text */
export function parseTokenText(text: string): JoinToken {
  const parts = /^skein1\.([\w-]{22}|)\.([\w-]{24})$/.exec(text.length > 100 ? '' : text.trim());
  if (!parts)
    throw new ParseError('the token is not one: it begins with skein1. and has two parts behind it; copy it whole');
  const [, fingerprint = '', secret = ''] = parts;
  const cluster = fingerprint === '' ? undefined : Buffer.from(fingerprint, 'base64url').toString('hex');
  const bytes = Buffer.from(secret, 'base64url');
  const token = new JoinToken(bytes.subarray(0, 16), cluster);
  if (token.reveal() !== text.trim())
    throw new ParseError('the token was not copied as it is: its checksum is wrong; copy it again');
  return token;
}

/** With it another host joins the one at this place. */
export function joinCommand({ token, place }: { readonly token: string; readonly place: string }): string {
  return `skein launch --token ${token} ${place}`;
}

function headOf(fingerprint: string | undefined): string {
  return `skein1.${Buffer.from(fingerprint ?? '', 'hex').toString('base64url')}.`;
}

function checksum(head: string, secret: Uint8Array): Uint8Array {
  return createHash('sha256').update(head).update(secret).digest().subarray(0, 2);
}
