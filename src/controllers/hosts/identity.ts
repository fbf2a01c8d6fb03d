import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import * as v from 'valibot';
import { hostIdOf } from '../../model/host-key.ts';
import { parseRecord } from '../../model/record.ts';
import { HostId } from '../../model/text.ts';
import type { Journal } from '../../state/journal.ts';

/**
 * Who this host is: an Ed25519 key, made at its first start, and the id that follows from it, both kept in its state
 * directory. Ids from before they followed from the key stay as they are.
 */
export interface Identity {
  readonly id: string;
  /** PKCS #8, PEM. Never leaves the host. */
  readonly privateKey: string;
  /** Raw, base64. */
  readonly publicKey: string;
  /** Grows with every start. */
  readonly epoch: number;
}

const Stored = v.looseObject({
  id: HostId,
  privateKey: v.pipe(v.string(), v.maxLength(1024)),
  epoch: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER - 1)),
});

/** Makes or finds the identity, and begins its next epoch: on disk when it resolves. @throws ParseError, JournalError */
export async function beginEpoch(journal: Pick<Journal, 'load' | 'commit'>): Promise<Identity> {
  const entry = (await journal.load('host')).find(({ id }) => id === 'self');
  const stored = entry === undefined ? create() : parseIdentity(entry.value, 'host identity in the state directory');
  const next = { ...stored, epoch: stored.epoch + 1 };
  await journal.commit([{ kind: 'host', id: 'self', put: next }]);
  return { id: next.id, privateKey: next.privateKey, epoch: next.epoch, publicKey: publicKeyOf(next.privateKey) };
}

/** @throws ParseError */
export function parseIdentity(json: unknown, place: string): v.InferOutput<typeof Stored> {
  return parseRecord(Stored, json, place);
}

function create(): v.InferOutput<typeof Stored> {
  const privateKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { id: hostIdOf(publicKeyOf(privateKey)), privateKey, epoch: 0 };
}

function publicKeyOf(privateKey: string): string {
  const { x = '' } = createPublicKey(createPrivateKey(privateKey)).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('base64');
}
