import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Resolver } from './host-resolvers.ts';
import { FLAG, headerSize, RCODE, skipName, TYPE } from './message.ts';

/** What a server of a test sends for a question, and where it came from; nothing is silence. */
export type Behaviour = (
  question: Buffer,
  over: 'udp' | 'tcp',
  port: number,
) => readonly Buffer[] | Promise<readonly Buffer[]>;

export interface Upstream extends Resolver {
  /** What came, in order. */
  readonly asked: readonly { readonly question: Buffer; readonly over: 'udp' | 'tcp'; readonly port: number }[];
  behave(behaviour: Behaviour): void;
  /** Sends from another port than the one that was asked. */
  sendFromElsewhere(bytes: Buffer, port: number): void;
  close(): void;
}

/** A server on a port of the loopback's, over UDP and TCP. */
export async function openUpstream(initial: Behaviour): Promise<Upstream> {
  const asked: Upstream['asked'][number][] = [];
  let behaviour = initial;
  let closed = false;
  const udp = createSocket('udp4');
  const elsewhere = createSocket('udp4');
  const answer = async (question: Buffer, over: 'udp' | 'tcp', port: number, send: (bytes: Buffer) => void) => {
    asked.push({ question, over, port });
    for (const bytes of await behaviour(question, over, port)) if (!closed) send(bytes);
  };
  udp.on('message', (question, { port }) => {
    void answer(question, 'udp', port, (bytes) => udp.send(bytes, port, '127.0.0.1', () => {}));
  });
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const { port } = udp.address();
  const tcp = createServer((connection) => {
    connection.on('error', () => {});
    connection.on('data', (bytes) => {
      void answer(bytes.subarray(2), 'tcp', connection.remotePort ?? 0, (told) => {
        connection.write(Buffer.concat([Buffer.from([told.length >> 8, told.length & 255]), told]));
      });
    });
  });
  tcp.listen(port, '127.0.0.1');
  await once(tcp, 'listening');
  return {
    address: '127.0.0.1',
    port,
    asked,
    behave(next) {
      behaviour = next;
    },
    sendFromElsewhere: (bytes, to) => elsewhere.send(bytes, to, '127.0.0.1'),
    close() {
      if (!closed) {
        udp.close();
        elsewhere.close();
        tcp.close();
      }
      closed = true;
    },
  };
}

export interface AnswerOptions {
  readonly rcode?: number;
  readonly flags?: number;
  readonly ttl?: number;
  /** RDATA of A records. */
  readonly addresses?: readonly string[];
  readonly edns?: boolean;
  /** The TTL and the minimum of a SOA record in the authority section. */
  readonly soa?: readonly [ttl: number, minimum: number];
}

/** An answer to `question`, which says what it is told to. */
export function answerTo(question: Buffer, options: AnswerOptions = {}): Buffer {
  const { rcode = RCODE.NOERROR, flags = 0, ttl = 60, addresses = [], edns = true, soa } = options;
  const end = (skipName(question, headerSize) ?? 0) + 4;
  const head = Buffer.from(question.subarray(0, end));
  head.writeUInt16BE(FLAG.QR | FLAG.RD | FLAG.RA | flags | (rcode & 15), 2);
  [1, addresses.length, soa === undefined ? 0 : 1, edns ? 1 : 0].forEach((count, i) => {
    head.writeUInt16BE(count, 4 + 2 * i);
  });
  const records = addresses.map((address) => record(TYPE.A, ttl, Buffer.from(address.split('.').map(Number))));
  const data = Buffer.alloc(22);
  data.writeUInt32BE(soa?.[1] ?? 0, 18);
  const authority = soa === undefined ? [] : [record(TYPE.SOA, soa[0], data)];
  const opt = Buffer.from('00002904d0000000000000', 'hex');
  return Buffer.concat([head, ...records, ...authority, ...(edns ? [opt] : [])]);
}

function record(type: number, ttl: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc000 | headerSize, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}
