import { createHash } from 'node:crypto';
import type { Seal } from '../../src/state/mesh/environment.ts';
import { privateKeyOf, sealOf, signerOf } from '../../src/state/mesh/signing.ts';

/** Makes the seal of one host; what was signed with it is noted. */
export type MakeSeal = (host: string, signed: (text: string) => void) => Seal;

/** As on hosts: SHA-256 and Ed25519, the key derived from the host's name so that runs repeat. */
export const realSeal: MakeSeal = (host, signed) => {
  const seal = sealOf(signerOf(privateKeyOf(createHash('sha256').update(host).digest())));
  return {
    ...seal,
    sign: (text) => {
      signed(text);
      return seal.sign(text);
    },
  };
};

/** As good as real ones where nobody tries to break them, and some hundred times as fast. */
export const quickSeal: MakeSeal = (host, signed) => {
  const key = createHash('sha256').update(host).digest('base64');
  return {
    key,
    hash: quickHash,
    sign: (text) => {
      signed(text);
      return quickSignature(key, text);
    },
    verify: (other, text, signature) => quickSignature(other, text) === signature,
  };
};

/** Has the form of a real one. */
function quickSignature(key: string, text: string): string {
  return `${quickHash(`${key} ${text}`).repeat(3).slice(0, 85)}A==`;
}

/** Takes every signature for good: for seeing that it is noticed. */
export const believingSeal: MakeSeal = (host, signed) => ({ ...quickSeal(host, signed), verify: () => true });

/** 106 bits in hex (two of cyrb53's lanes). */
function quickHash(text: string): string {
  let one = 0xdeadbeef;
  let two = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    one = Math.imul(one ^ code, 2654435761);
    two = Math.imul(two ^ code, 1597334677);
  }
  const three = Math.imul(one ^ (one >>> 16), 2246822507) ^ Math.imul(two ^ (two >>> 13), 3266489909);
  const four = Math.imul(two ^ (two >>> 16), 2246822507) ^ Math.imul(one ^ (one >>> 13), 3266489909);
  return [one, two, three, four].map((part) => (part >>> 0).toString(16).padStart(8, '0')).join('');
}
