import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  type KeyObject,
} from 'node:crypto';
import type { Seal } from './environment.ts';

/**
 * Who signs, and how others check it: Ed25519, or in simulations something cheaper. Keys are raw, signatures 64 bytes,
 * both base64.
 */
export interface Signer {
  readonly key: string;
  sign(text: string): string;
}

export type Verify = (key: string, text: string, signature: string) => boolean;

export function signerOf(privateKey: KeyObject): Signer {
  return {
    key: rawOf(createPublicKey(privateKey)),
    sign: (text) => cryptoSign(null, Buffer.from(text), privateKey).toString('base64'),
  };
}

/** What the mesh signs and hashes with. */
export function sealOf(signer: Signer): Seal {
  return {
    key: signer.key,
    hash: (text) => createHash('sha256').update(text).digest('hex'),
    sign: (text) => signer.sign(text),
    verify,
  };
}

/** RFC 8410: an Ed25519 private key is 32 bytes of chance behind a constant head. */
export function privateKeyOf(seed: Uint8Array): KeyObject {
  const head = Buffer.from('302e020100300506032b657004220420', 'hex');
  return createPrivateKey({ key: Buffer.concat([head, seed]), format: 'der', type: 'pkcs8' });
}

/** The raw bytes of an Ed25519 public key, base64. */
export function rawOf(publicKey: KeyObject): string {
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64');
}

export const verify: Verify = (key, text, signature) => {
  try {
    return cryptoVerify(null, Buffer.from(text), publicKeyOf(key), Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
};

/** Reading a key takes half as long as checking a signature with it, and the keys are those of the cluster's hosts. */
const keys = new Map<string, KeyObject>();
const mostKeys = 4096;

function publicKeyOf(raw: string): KeyObject {
  const known = keys.get(raw);
  if (known !== undefined) return known;
  const head = Buffer.from('302a300506032b6570032100', 'hex');
  const key = createPublicKey({ key: Buffer.concat([head, Buffer.from(raw, 'base64')]), format: 'der', type: 'spki' });
  const [oldest] = keys.keys();
  if (keys.size >= mostKeys && oldest !== undefined) keys.delete(oldest);
  keys.set(raw, key);
  return key;
}

export function privateKeyText(privateKey: KeyObject): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}
