import * as v from 'valibot';
import { hostIdOf, PublicKey } from '../../../model/host-key.ts';
import { most, Name, Text } from '../../../model/text.ts';
import { canonical } from '../canonical.ts';
import type { Signer, Verify } from '../signing.ts';
import { Signature } from './genesis.ts';
import type { Reason } from './refused.ts';
import type { Token } from './token.ts';
import type { Trust } from './trust.ts';

/**
 * What a host says that wants to be let in. It is signed with the token's key and with the host's own, over the channel on
 * which it is said: on another channel it is worth nothing. Any host of the cluster can pass it on to an admin.
 */
export const Claim = v.looseObject({
  /** The fingerprint in the token; empty when the token has none. */
  cluster: v.pipe(v.string(), v.regex(/^([0-9a-f]{32})?$/, 'is not a fingerprint of 32 hexadecimal digits')),
  /** Public key of the pair that follows from the token's secret. */
  token: PublicKey,
  key: PublicKey,
  name: Name,
  addresses: v.pipe(v.array(Text), v.maxLength(most.addresses)),
  /** What this channel has in common with no other. */
  binding: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'is not 64 hexadecimal digits')),
  proof: Signature,
  signature: Signature,
});
export type Claim = v.InferOutput<typeof Claim>;

/** A channel to one peer, which has proved to hold this key. */
export interface Channel {
  readonly peerKey: string;
  readonly binding: string;
}

export interface Joiner {
  readonly signer: Signer;
  readonly token: Token;
  readonly name: string;
  readonly addresses: readonly string[];
}

export function claimOf({ signer, token, name, addresses }: Joiner, { binding }: Pick<Channel, 'binding'>): Claim {
  const tokenSigner = token.signer();
  const facts = { cluster: token.fingerprint ?? '', token: tokenSigner.key, key: signer.key };
  const said = { ...facts, name, addresses: [...addresses], binding };
  return { ...said, proof: tokenSigner.sign(textOf(said)), signature: signer.sign(textOf(said)) };
}

/** Whether who said it on this channel holds the key and knows the secret. */
export function isSaidBy(claim: Claim, { peerKey, binding }: Channel, verify: Verify): boolean {
  return claim.key === peerKey && claim.binding === binding && isProved(claim, verify);
}

/**
 * Why the host is not to be let in; undefined when it is. An admin that was passed the claim by another host of the cluster
 * asks the same: to say a claim again lets in nobody but the host that made it.
 */
export function objection(claim: Claim, trust: Trust, verify: Verify): Reason | undefined {
  if (claim.cluster !== '' && !trust.cluster.startsWith(claim.cluster)) return 'other-cluster';
  if (trust.removed.has(hostIdOf(claim.key))) return 'removed';
  if (trust.token === undefined) return 'wrong-token';
  if (trust.token.old.includes(claim.token)) return 'old-token';
  if (trust.token.key !== claim.token) return 'wrong-token';
  return isProved(claim, verify) ? undefined : 'forged';
}

function isProved({ proof, signature, ...said }: Claim, verify: Verify): boolean {
  const text = textOf(said);
  return verify(said.token, text, proof) && verify(said.key, text, signature);
}

function textOf(said: Omit<Claim, 'proof' | 'signature'>): string {
  return canonical(['skein claim', said]);
}
