import { createPublicKey, type KeyObject, sign } from 'node:crypto';

/**
 * An X.509 certificate for a host's key (RFC 5280, RFC 8410), because TLS wants one. Hosts know each other by their keys
 * alone: the name in it says nothing, nobody looks at its dates, and it is the same each time that it is made.
 *
 *     Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature BIT STRING }
 *     TBSCertificate ::= SEQUENCE { version [0] { 2 }, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo }
 */
export function certificateFor(privateKey: KeyObject): string {
  const body = sequence(
    tagged(0xa0, tagged(TAG.integer, Uint8Array.of(2))),
    tagged(TAG.integer, Uint8Array.of(1)),
    ed25519,
    name('skein'),
    // From the beginning to the end of what X.509 can say.
    sequence(text(TAG.utcTime, '500101000000Z'), text(TAG.generalizedTime, '99991231235959Z')),
    name('skein'),
    createPublicKey(privateKey).export({ format: 'der', type: 'spki' }),
  );
  const signature = sign(null, body, privateKey);
  const noUnusedBits = Uint8Array.of(0);
  return pem(sequence(body, ed25519, tagged(TAG.bitString, Buffer.concat([noUnusedBits, signature]))));
}

const TAG = {
  integer: 0x02,
  bitString: 0x03,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** 1.3.101.112 */
const ed25519 = sequence(tagged(TAG.oid, Uint8Array.of(0x2b, 0x65, 0x70)));
/** 2.5.4.3 */
const commonName = tagged(TAG.oid, Uint8Array.of(0x55, 0x04, 0x03));

function name(text8: string): Buffer {
  return sequence(tagged(TAG.set, sequence(commonName, text(TAG.utf8String, text8))));
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(TAG.sequence, Buffer.concat(parts));
}

function text(tag: number, value: string): Buffer {
  return tagged(tag, Buffer.from(value));
}

/** Nothing in a certificate of ours is longer than two bytes of length can say. */
function tagged(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Uint8Array.of(tag, ...size), content]);
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
