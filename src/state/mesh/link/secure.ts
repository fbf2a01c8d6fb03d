import { constants, type KeyObject } from 'node:crypto';
import type { CommonConnectionOptions, SecureContextOptions, TLSSocket } from 'node:tls';
import { privateKeyText, rawOf } from '../signing.ts';
import { certificateFor } from './certificate.ts';
import type { ChannelFacts } from './channel.ts';
import { sourceOf } from './source.ts';

/**
 * TLS between hosts: 1.3 only, each side with a certificate that it made itself for its host key. No authority, no names and
 * no dates: a peer is its key, which TLS makes it prove, and whether that key is one of ours is asked afterwards.
 */
export interface Credentials {
  readonly key: string;
  readonly cert: string;
}

export function credentialsOf(privateKey: KeyObject): Credentials {
  return { key: privateKeyText(privateKey), cert: certificateFor(privateKey) };
}

const protocol = 'skein/1';

/** For both sides. A session is never resumed: each connection proves anew who is there. */
export function tlsOptions({ key, cert }: Credentials): CommonConnectionOptions & SecureContextOptions {
  return {
    key,
    cert,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    sigalgs: 'ed25519',
    ALPNProtocols: [protocol],
    // It is judged by its key, on both sides, once TLS is done.
    rejectUnauthorized: false,
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** What a connection is bound to: what both ends derive from it, and no other connection has (RFC 9266, with a label of ours). */
const bindingLabel = 'EXPORTER-skein-channel';

/** What is at the other end of a connection on which TLS is done; a text says why it is nobody whom we could know. */
export function peerOf(socket: TLSSocket): Omit<ChannelFacts, 'dialled'> | string {
  if (socket.getProtocol() !== 'TLSv1.3') return 'it does not speak TLS 1.3';
  if (socket.alpnProtocol !== protocol) return `it does not speak ${protocol}`;
  if (socket.isSessionReused()) return 'it resumed a session';
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return 'it showed no certificate';
  const { publicKey } = certificate;
  if (publicKey.asymmetricKeyType !== 'ed25519') return 'its certificate has no Ed25519 key';
  const binding = socket.exportKeyingMaterial(32, bindingLabel, Buffer.alloc(0)).toString('hex');
  return {
    peerKey: rawOf(publicKey),
    binding,
    address: addressOf(socket),
    source: sourceOf(socket.remoteAddress ?? ''),
  };
}

export function addressOf({
  remoteAddress = '',
  remotePort = 0,
}: Pick<TLSSocket, 'remoteAddress' | 'remotePort'>): string {
  const plain = remoteAddress.replace(/^::ffff:(?=[\d.]+$)/, '');
  return plain.includes(':') ? `[${plain}]:${remotePort}` : `${plain}:${remotePort}`;
}
