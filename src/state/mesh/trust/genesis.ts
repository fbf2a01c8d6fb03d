import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { ParseError } from '../../../lib/errors.ts';
import { PublicKey } from '../../../model/host-key.ts';
import { parseRecord } from '../../../model/record.ts';
import { HostId, Port, Time } from '../../../model/text.ts';
import { canonical } from '../canonical.ts';
import type { Signer, Verify } from '../signing.ts';

export const Signature = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9+/]{86}==$/, 'is not a signature of 64 bytes in base64'),
);

/**
 * How a cluster begins: said once by the host that founds it, never changed. Its hash is the cluster's id, so that who
 * knows the id can check everything that the founder's key says.
 */
export const Genesis = v.looseObject({
  created: Time,
  nonce: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'is not 32 hexadecimal digits')),
  /** UDP port of VXLAN. */
  dataPort: Port,
  /** The one address family underneath. */
  underlay: v.picklist([4, 6]),
  /** The first admin. */
  founder: PublicKey,
  /** The hosts that waited together, when there were several. */
  view: v.optional(v.pipe(v.array(HostId), v.maxLength(1024))),
  signature: Signature,
});
export type Genesis = v.InferOutput<typeof Genesis>;

/** Of the genesis as JSON, in characters. */
const longest = 64 * 1024;

/** @throws ParseError, also when it was not signed by its founder */
export function parseGenesis(json: unknown, place: string, verify: Verify): Genesis {
  const genesis = parseRecord(Genesis, json, place);
  const { signature, ...said } = genesis;
  const text = signedText(said);
  if (text.length > longest) throw new ParseError(`${place}: is longer than ${longest} characters`);
  if (!verify(genesis.founder, text, signature)) {
    throw new ParseError(`${place}: was not signed by its founder`);
  }
  return genesis;
}

export function found(
  facts: Pick<Genesis, 'created' | 'nonce' | 'dataPort' | 'underlay' | 'view'>,
  founder: Signer,
): Genesis {
  const said = { ...facts, founder: founder.key };
  return { ...said, signature: founder.sign(signedText(said)) };
}

export function clusterIdOf(genesis: Genesis): string {
  const { signature: _, ...said } = genesis;
  return createHash('sha256').update(signedText(said)).digest('hex');
}

function signedText(said: Omit<Genesis, 'signature'>): string {
  return canonical(['skein genesis', said]);
}
