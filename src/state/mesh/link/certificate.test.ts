import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { privateKeyOf } from '../signing.ts';
import { certificateFor } from './certificate.ts';

test('a certificate is for the key of its host, signed by it, and without an end', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const certificate = new X509Certificate(certificateFor(privateKey));
  assert.ok(certificate.publicKey.equals(publicKey) && certificate.verify(publicKey));
  assert.ok(!certificate.verify(generateKeyPairSync('ed25519').publicKey));
  assert.deepEqual([certificate.subject, certificate.issuer], ['CN=skein', 'CN=skein']);
  assert.deepEqual(
    [certificate.validFromDate.getUTCFullYear(), certificate.validToDate.getUTCFullYear()],
    [1950, 9999],
  );
});

test('a key has one certificate, the one that it always had', () => {
  const key = privateKeyOf(new Uint8Array(32).fill(7));
  assert.equal(certificateFor(key), certificateFor(key));
  const { raw, fingerprint256 } = new X509Certificate(certificateFor(key));
  assert.equal(raw.length, 209);
  assert.equal(fingerprint256.slice(0, 11), 'A3:BA:47:E4');
  assert.ok(createPublicKey(key).equals(new X509Certificate(certificateFor(key)).publicKey));
});
