import { createHash } from 'node:crypto';
import * as v from 'valibot';

/** An Ed25519 public key: raw, base64, in the one way that these bytes are written. */
export const PublicKey = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9+/]{43}=$/, 'is not a public key of 32 bytes in base64'),
  v.check((text) => Buffer.from(text, 'base64').toString('base64') === text, 'is not how these bytes are written'),
);

/** The id of the host with this key: nobody can have another's, and who has the id can check the key. */
export function hostIdOf(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex').slice(0, 32);
}
