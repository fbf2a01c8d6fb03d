import { createHash, createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';

/**
 * What two hosts share without having spoken: X25519 of their Ed25519 host keys, the one as a point on the other's curve
 * (RFC 7748 §4.1, RFC 8032 §5.1.5). So nothing has to be published before a host can be asked whether it lives.
 */
export function pairSecret(privateKey: KeyObject, publicKey: string): Buffer {
  return diffieHellman({ privateKey: exchangeKey(privateKey), publicKey: exchangePublicKey(publicKey) });
}

function exchangeKey(privateKey: KeyObject): KeyObject {
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  const scalar = createHash('sha512').update(seed).digest().subarray(0, 32);
  const head = Buffer.from('302e020100300506032b656e04220420', 'hex');
  return createPrivateKey({ key: Buffer.concat([head, scalar]), format: 'der', type: 'pkcs8' });
}

function exchangePublicKey(publicKey: string): KeyObject {
  const y = littleEndian(Buffer.from(publicKey, 'base64')) & ((1n << 255n) - 1n);
  const u = mod((1n + y) * inverse(mod(1n - y)));
  const bytes = Buffer.from(u.toString(16).padStart(64, '0'), 'hex').reverse();
  const head = Buffer.from('302a300506032b656e032100', 'hex');
  return createPublicKey({ key: Buffer.concat([head, bytes]), format: 'der', type: 'spki' });
}

const p = 2n ** 255n - 19n;

function mod(value: bigint): bigint {
  const rest = value % p;
  return rest < 0n ? rest + p : rest;
}

/** By Fermat: value^(p-2). All of it is public, so it may take as long as it likes. */
function inverse(value: bigint): bigint {
  let result = 1n;
  let square = value;
  for (let exponent = p - 2n; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = mod(result * square);
    square = mod(square * square);
  }
  return result;
}

function littleEndian(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}
