import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { messageOf, Refusal } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { Bucket, Buckets } from '../bucket.ts';
import { Channel, defaultPace, type Pace } from './channel.ts';
import { encodeFrame } from './frame.ts';
import { addressOf, type Credentials, peerOf, tlsOptions } from './secure.ts';
import { sourceOf } from './source.ts';

/** Takes connections of other hosts. */
export interface Listener {
  readonly port: number;
  /** No more are taken; channels stay. May be called twice. */
  close(): void;
}

export interface ListenOptions {
  readonly credentials: Credentials;
  /** Where: an address, `::` for all of both families. */
  readonly address: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Finds out what the peer of a new channel may have; resolves when that is done, either way, and does not throw. */
  readonly greet: (channel: Channel) => Promise<void>;
  readonly log: Log;
  readonly pace?: Pace;
}

/** Connections that were not greeted to the end yet: more are turned away at once. */
const mostUnderWay = 32;
const mostUnderWayFromOne = 8;
const accepts = { burst: 300, perSecond: 100 } as const;
const acceptsFromOne = { burst: 30, perSecond: 5 } as const;
const mostSources = 4096;

/** @throws Refusal when nobody can listen there */
export async function listen(options: ListenOptions): Promise<Listener> {
  const tls = process.getBuiltinModule('node:tls');
  const net = process.getBuiltinModule('node:net');
  const { credentials, greet, log, pace = defaultPace } = options;
  const door = new Door();
  const leaving = new Map<string, () => void>();
  const leave = (socket: Pick<Socket, 'remoteAddress' | 'remotePort'>) => leaving.get(addressOf(socket))?.();

  const secure = tls.createServer({ ...tlsOptions(credentials), requestCert: true, handshakeTimeout: pace.handshake });
  secure.on('tlsClientError', (error, socket) => {
    log.debug('connection refused', { peer: addressOf(socket), why: messageOf(error) });
    socket.destroy();
  });
  secure.on('secureConnection', (socket) => {
    const channel = channelOn(socket, options);
    if (typeof channel !== 'string') {
      void greet(channel).finally(() => leave(socket));
      return;
    }
    log.debug('connection refused', { peer: addressOf(socket), why: channel });
    turnAway(socket, channel);
  });

  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    const place = addressOf(socket);
    const entered = door.enter(sourceOf(socket.remoteAddress ?? ''), performance.now());
    if (entered === undefined) {
      socket.resetAndDestroy();
      return;
    }
    const done = () => {
      leaving.delete(place);
      entered();
    };
    leaving.set(place, done);
    socket.once('close', done);
    secure.emit('connection', socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const where = `${options.address} port ${options.port}`;
      reject(new Refusal('conflict', `listen for other hosts on ${where}: ${messageOf(cause)}`, { cause }));
    });
    server.listen({ host: options.address, port: options.port }, resolve);
  });
  // One that could not be taken, because there are too many files: the next may be.
  server.on('error', (error) => log.warn('taking connections failed', { error }));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () => void server.close(),
  };
}

function channelOn(socket: TLSSocket, { pace = defaultPace }: ListenOptions): Channel | string {
  const peer = peerOf(socket);
  if (typeof peer === 'string') return peer;
  socket.setNoDelay(true);
  return new Channel(socket, { ...peer, dialled: false }, pace);
}

function turnAway(socket: TLSSocket, why: string): void {
  socket.on('error', () => undefined);
  socket.end(encodeFrame({ t: 'bye', why: `this host was refused: ${why}` }));
  setTimeout(() => socket.destroy(), 1000).unref();
}

/** Counts who comes and who was not greeted yet. */
class Door {
  readonly #all = new Bucket(accepts);
  readonly #sources = new Buckets(acceptsFromOne, mostSources);
  readonly #underWay = new Map<string, number>();
  #count = 0;

  /** What to call when it was greeted or is gone, once or more; undefined when there are too many. */
  enter(source: string, now: number): (() => void) | undefined {
    const [here, bucket] = [this.#underWay.get(source) ?? 0, this.#sources.of(source)];
    if (this.#count >= mostUnderWay || here >= mostUnderWayFromOne) return undefined;
    if (this.#all.left(now) < 1 || bucket.left(now) < 1) return undefined;
    this.#all.take(1, now);
    bucket.take(1, now);
    this.#count += 1;
    this.#underWay.set(source, here + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#count -= 1;
      const rest = (this.#underWay.get(source) ?? 1) - 1;
      if (rest === 0) this.#underWay.delete(source);
      else this.#underWay.set(source, rest);
    };
  }
}
