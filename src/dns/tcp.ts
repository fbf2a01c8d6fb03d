import { createServer, type Socket } from 'node:net';
import type { Answering, Origin } from './answering.ts';
import type { Connections } from './connections.ts';
import type { NameSocket } from './dns.ts';
import { longestQuestion } from './message.ts';

/** RFC 1035 §4.2.2: each message behind its length. RFC 7766: several on a connection, answered as they are ready. */
const framing = 2;

export const most = {
  /** Questions of a connection that wait for their answers: then no more are read. */
  pending: 32,
  /** Bytes that a client has not fetched: likewise. */
  unfetched: 256 * 1024,
} as const;

/** Milliseconds in which nothing happens on a connection, or a question that has begun does not end. */
const idle = 10_000;

/** Answers what comes to a listening TCP socket, until it is closed with its connections. */
export function openTcp(
  { network, fd }: Pick<NameSocket, 'network' | 'fd'>,
  answering: Pick<Answering, 'take'>,
  { connections: all, onFail, limits = most, idleMs = idle }: TcpOptions,
): Promise<Adopted> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  const connections = new Map<Socket, Connection>();
  server.on('connection', (connection) => {
    const { remoteAddress: address, remotePort: port } = connection;
    if (address === undefined || port === undefined) {
      connection.destroy();
      return;
    }
    const served = serve(connection, answering, {
      origin: { network, address, port, transport: 'tcp' },
      limits,
      idleMs,
    });
    if (!all.add(connection, `${network} ${address}`, () => served.isIdle())) {
      connection.destroy();
      return;
    }
    connections.set(connection, served);
    connection.on('close', () => connections.delete(connection));
  });
  const { promise, resolve, reject } = Promise.withResolvers<Adopted>();
  server.once('error', reject);
  server.listen({ fd }, () => {
    server.off('error', reject);
    server.on('error', onFail);
    const bound = server.address();
    const at = typeof bound === 'object' && bound !== null ? bound : { address: '', port: 0 };
    const closed = new Promise<void>((done) => server.once('close', done));
    resolve({
      address: at.address,
      port: at.port,
      finish() {
        server.close();
        for (const connection of connections.values()) connection.finish();
        return closed;
      },
      close() {
        server.close();
        for (const connection of connections.keys()) connection.destroy();
      },
    });
  });
  return promise;
}

/** A socket that is answered. */
export interface Adopted {
  /** Where it is bound. */
  readonly address: string;
  readonly port: number;
  /** Closes it as soon as what was read is answered; resolves when it is. */
  finish(): Promise<void>;
  close(): void;
}

interface Connection {
  /** It has asked for nothing that is not answered and fetched. */
  isIdle(): boolean;
  /** It ends with the answer to what it has asked, or asks first. */
  finish(): void;
}

export interface TcpOptions {
  /** Those of all sockets that share what may be. */
  readonly connections: Connections;
  /** Told when no more connections can be taken of it. */
  readonly onFail: (error: Error) => void;
  readonly limits?: { readonly [Key in keyof typeof most]: number };
  readonly idleMs?: number;
}

interface Serving {
  readonly origin: Origin;
  readonly limits: { readonly [Key in keyof typeof most]: number };
  readonly idleMs: number;
}

function serve(
  connection: Socket,
  answering: Pick<Answering, 'take'>,
  { origin, limits, idleMs }: Serving,
): Connection {
  let received = Buffer.alloc(0);
  let pending = 0;
  let ended = false;
  let finishing = false;
  let answered = 0;
  let unfinished: NodeJS.Timeout | undefined;

  const isBusy = () => pending >= limits.pending || connection.writableLength >= limits.unfetched;
  const read = () => {
    while (!isBusy() && !connection.destroyed && received.length >= framing) {
      const end = framing + received.readUInt16BE(0);
      if (end > framing + longestQuestion) return void connection.destroy();
      if (received.length < end) break;
      const request = received.subarray(framing, end);
      received = received.subarray(end);
      clearTimeout(unfinished);
      unfinished = undefined;
      take(request);
    }
    if (connection.destroyed) return;
    if (received.length > 0) unfinished ??= setTimeout(giveUp, idleMs);
    if (isBusy()) connection.pause();
    else if (pending === 0 && (ended || (finishing && answered > 0 && received.length === 0))) connection.end();
    else connection.resume();
  };
  const giveUp = () => {
    unfinished = undefined;
    if (!isBusy()) connection.destroy();
  };
  const take = (request: Buffer) => {
    let atOnce = true;
    pending++;
    const taken = answering.take(request, origin, (bytes, length) => {
      pending--;
      answered++;
      if (connection.destroyed) return;
      const framed = Buffer.allocUnsafe(framing + length);
      framed.writeUInt16BE(length);
      bytes.copy(framed, framing, 0, length);
      connection.write(framed);
      if (!atOnce) read();
    });
    atOnce = false;
    // Over TCP nothing is passed over in silence: who sends such things has nothing to ask.
    if (!taken) connection.destroy();
  };
  connection.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    read();
  });
  connection.on('end', () => {
    ended = true;
    read();
  });
  connection.on('drain', read);
  connection.on('close', () => clearTimeout(unfinished));
  connection.setTimeout(idleMs, () => connection.destroy());
  connection.on('error', () => connection.destroy());
  return {
    isIdle: () => pending === 0 && received.length === 0 && connection.writableLength === 0,
    finish() {
      finishing = true;
      read();
    },
  };
}
