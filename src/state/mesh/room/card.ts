import * as v from 'valibot';
import { PublicKey } from '../../../model/host-key.ts';
import { HostId, most, Name, Text } from '../../../model/text.ts';
import { canonical } from '../canonical.ts';
import type { Seal } from '../environment.ts';
import type { Signer } from '../signing.ts';
import { Signature } from '../trust/genesis.ts';

/** Channels that a host which waits has at most. */
export const mostChannels = 32;

/**
 * Who a host is that waits, and with whom it has channels, signed with its own key and with the token's: so that those who
 * hear of it through others know that it is who it says, and that it has the token.
 */
export const Card = v.looseObject({
  key: PublicKey,
  name: Name,
  /** Where it takes links. */
  addresses: v.pipe(v.array(Text), v.maxLength(most.addresses)),
  /** Grows with each new one. */
  n: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 48)),
  links: v.pipe(v.array(HostId), v.maxLength(mostChannels)),
  proof: Signature,
  signature: Signature,
});
export type Card = v.InferOutput<typeof Card>;

type Said = Omit<Card, 'proof' | 'signature'>;

export type CardFacts = Pick<Card, 'key' | 'name' | 'addresses' | 'n' | 'links'>;

export function cardOf(said: CardFacts, by: { readonly signer: Signer; readonly token: Signer }): Card {
  const text = textOf(said, by.token.key);
  return { ...said, proof: by.token.sign(text), signature: by.signer.sign(text) };
}

/** Whether the holder of the key said it, and knew the secret of the token with this key. */
export function isGenuine({ proof, signature, ...said }: Card, token: string, seal: Pick<Seal, 'verify'>): boolean {
  const text = textOf(said, token);
  return seal.verify(token, text, proof) && seal.verify(said.key, text, signature);
}

function textOf(said: Said, token: string): string {
  return canonical(['skein waiting host', token, said]);
}
