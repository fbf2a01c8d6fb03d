import { createHash } from 'node:crypto';
import { hostIdOf } from '../../../model/host-key.ts';
import { type Signer, type Verify, verify } from '../signing.ts';
import type { Change } from './changes.ts';
import { clusterIdOf, found } from './genesis.ts';
import type { TrustSheet } from './statements.ts';
import { Token } from './token.ts';

/** A host with a signature that costs nothing, and that only its tests do not forge. */
export interface FakeHost {
  readonly id: string;
  readonly name: string;
  readonly signer: Signer;
}

export function fakeHost(name: string): FakeHost {
  const key = createHash('sha256').update(name).digest('base64');
  return { id: hostIdOf(key), name, signer: { key, sign: (text) => fakeSignature(key, text) } };
}

function fakeSignature(key: string, text: string): string {
  return createHash('sha512').update(`${key} ${text}`).digest('base64');
}

/** Tokens have real keys. */
export const fakeVerify: Verify = (key, text, signature) =>
  fakeSignature(key, text) === signature || verify(key, text, signature);

export function foundedBy(host: FakeHost) {
  const facts = { created: '2026-11-20T18:00:00.000Z', nonce: '0'.repeat(32), dataPort: 4789, underlay: 4 } as const;
  return found(facts, host.signer);
}

export function sheetOf(owner: { readonly id: string }, ...changes: readonly Change[]): TrustSheet {
  return { owner: owner.id, entries: new Map(changes.flatMap((change) => [...change])) };
}

/** As it is after it went over the wire. */
export function again(sheet: TrustSheet): TrustSheet {
  return { owner: sheet.owner, entries: new Map(JSON.parse(JSON.stringify([...sheet.entries]))) };
}

export function tokenOf(seed: string, genesis?: Parameters<typeof clusterIdOf>[0]): Token {
  return new Token(createHash('sha256').update(seed).digest().subarray(0, 16), genesis && clusterIdOf(genesis));
}
