import type { TLSSocket } from 'node:tls';
import { messageOf, Refusal } from '../../../lib/errors.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import { Channel, defaultPace, type Pace } from './channel.ts';
import { type Credentials, peerOf, tlsOptions } from './secure.ts';

export interface DialOptions {
  readonly credentials: Credentials;
  readonly host: string;
  readonly port: number;
  /** The id of who is expected there; without it whoever answers is taken. */
  readonly peer?: string | undefined;
  readonly signal: AbortSignal;
  readonly pace?: Pace;
}

/** @throws Refusal 'unavailable' that says what to look at */
export async function dial(options: DialOptions): Promise<Channel> {
  const { host, port, peer: expected, pace = defaultPace } = options;
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const socket = await connect(options, where);
  const peer = peerOf(socket);
  const isOther = typeof peer === 'object' && expected !== undefined && hostIdOf(peer.peerKey) !== expected;
  if (typeof peer === 'string' || isOther) {
    socket.destroy();
    const why = typeof peer === 'string' ? peer : 'another host answers there';
    throw new Refusal('unavailable', `connect to ${where}: ${why}`);
  }
  socket.setNoDelay(true);
  return new Channel(socket, { ...peer, dialled: true }, pace);
}

function connect(
  { credentials, host, port, signal, pace = defaultPace }: DialOptions,
  where: string,
): Promise<TLSSocket> {
  const socket = process.getBuiltinModule('node:tls').connect({ ...tlsOptions(credentials), host, port });
  const fail = (why: string, cause?: unknown) => new Refusal('unavailable', `connect to ${where}: ${why}`, { cause });
  let reached = false;
  socket.once('connect', () => {
    reached = true;
  });
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      const silent = `nothing answered within ${pace.handshake / 1000} s: is TCP port ${port} let through by the firewalls between`;
      socket.destroy(fail(reached ? `it does not answer in TLS: is another program on port ${port}` : silent));
    }, pace.handshake);
    const abort = () => socket.destroy(fail('was given up'));
    signal.addEventListener('abort', abort, { once: true });
    const done = () => {
      clearTimeout(late);
      signal.removeEventListener('abort', abort);
    };
    socket.once('secureConnect', () => {
      done();
      resolve(socket);
    });
    socket.on('error', (error) => {
      done();
      reject(error instanceof Refusal ? error : fail(reasonOf(error, reached), error));
    });
    if (signal.aborted) abort();
  });
}

function reasonOf(error: Error, reached: boolean): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'ECONNREFUSED') return 'nobody listens there: is skein running on that host, and is the port right';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the name is not known';
  if (reached && code === 'ECONNRESET')
    return 'it ended the connection at once: too many connect to it now, or another program is on that port';
  if (reached && code.startsWith('ERR_SSL'))
    return `it does not speak TLS 1.3 as Skein does (${code}): is another program on that port`;
  return messageOf(error);
}
