import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { DecodeError } from '../lib/errors.ts';
import { decodeForeign, type Foreign } from './foreign.ts';
import type { Resolver } from './host-resolvers.ts';
import { DNSSEC_OK, ednsLimit, FLAG, headerSize, optSize, RCODE, TYPE } from './message.ts';

/** One question to one server. The port is a new one that the kernel draws, the id is drawn here (RFC 5452 §9.2). */

export interface Question {
  /** RD, AD and CD as the client set them. */
  readonly flags: number;
  /** The question section as the client sent it. */
  readonly question: Buffer;
  readonly dnssec: boolean;
  readonly options: Buffer;
}

/** So many answers to something else show that somebody is guessing: this port is given up. */
const mostStrays = 8;
/** RFC 1035 §4.2.2 */
const framing = 2;

/** Over UDP, and again over TCP when the answer was cut. @throws Error when there is none, or when `signal` aborts */
export async function exchange(server: Resolver, question: Question, options: ExchangeOptions): Promise<Foreign> {
  const { edns, signal } = options;
  const answer = await overUdp(server, question, options);
  options.onHeard();
  if (edns && answer.edns === undefined && (answer.rcode === RCODE.FORMERR || answer.rcode === RCODE.NOTIMP)) {
    // It is from before 1999 (RFC 6891 §7), or does not like this question's options.
    const plain = await exchange(server, question, { ...options, edns: false });
    if (!isTrouble(plain.rcode) && question.options.length === 0) options.onPlain();
    return plain;
  }
  if ((answer.flags & FLAG.TC) === 0) return answer;
  // A part is better than nothing: not every network lets DNS through over TCP.
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(options.tcpPatience)]);
  return overTcp(server, question, { edns, signal: inTime }).catch(() => answer);
}

export interface ExchangeOptions {
  /** Whether the server knows EDNS. */
  readonly edns: boolean;
  /** Called when it shows that it does not. */
  readonly onPlain: () => void;
  /** Called when it says anything, also what is not the answer yet. */
  readonly onHeard: () => void;
  /** Until the part of an answer that came over UDP is taken for all, in milliseconds. */
  readonly tcpPatience: number;
  readonly signal: AbortSignal;
}

type Way = Pick<ExchangeOptions, 'edns' | 'signal'>;

function overUdp(server: Resolver, question: Question, { edns, signal }: Way): Promise<Foreign> {
  const id = randomInt(0x10000);
  const { promise, resolve, reject } = Promise.withResolvers<Foreign>();
  // Connected: the kernel passes on nothing that comes from elsewhere, and tells when nobody listens there.
  const socket = createSocket({ type: isV6(server) ? 'udp6' : 'udp4', lookup: literal });
  const stop = () => reject(signal.reason);
  let strays = 0;
  let open = true;
  socket.on('error', reject);
  // In steps of our own, so that one that fails is the last: a socket that binds itself keeps what it is told until then.
  socket.on('listening', () => socket.connect(server.port, server.address));
  socket.on('connect', () => {
    if (open) socket.send(encodeQuestion(id, question, edns));
  });
  socket.on('message', (bytes) => {
    const answer = match(bytes, id, question);
    if (answer !== undefined) resolve(answer);
    else if (++strays >= mostStrays) reject(new Error(`${server.address} sends what was not asked for`));
  });
  socket.bind({ port: 0, exclusive: true });
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  return promise.finally(() => {
    signal.removeEventListener('abort', stop);
    open = false;
    socket.close();
  });
}

function overTcp(server: Resolver, question: Question, { edns, signal }: Way): Promise<Foreign> {
  const id = randomInt(0x10000);
  const { promise, resolve, reject } = Promise.withResolvers<Foreign>();
  const socket = connect({ host: server.address, port: server.port });
  const stop = () => reject(signal.reason);
  let received = Buffer.alloc(0);
  socket.on('error', reject);
  socket.on('close', () => reject(new Error(`${server.address} closed the connection`)));
  socket.on('connect', () => {
    const message = encodeQuestion(id, question, edns);
    const length = Buffer.alloc(framing);
    length.writeUInt16BE(message.length);
    socket.write(Buffer.concat([length, message]));
  });
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < framing || received.length < framing + received.readUInt16BE(0)) return;
    // A copy: what is kept would keep the larger piece of memory that it came in.
    const answer = match(Buffer.from(received.subarray(framing)), id, question);
    if (answer !== undefined && answer.questions === 1) resolve(answer);
    else reject(new Error(`${server.address} answers what was not asked for`));
  });
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  return promise.finally(() => {
    signal.removeEventListener('abort', stop);
    socket.destroy();
  });
}

/** The answer, if these bytes are one to this question: same id, same name (in any case), type and class. */
function match(bytes: Buffer, id: number, { question }: Question): Foreign | undefined {
  if (bytes.length < headerSize || bytes.readUInt16BE(0) !== id) return undefined;
  try {
    const answer = decodeForeign(bytes);
    if (answer.questions === 0) return isTrouble(answer.rcode) ? answer : undefined;
    return sameQuestion(bytes.subarray(headerSize, answer.questionEnd), question) ? answer : undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** What a server says that did not read so far as to the question. */
function isTrouble(rcode: number): boolean {
  return rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN;
}

/** Length bytes are below the letters, so only letters change. */
function sameQuestion(a: Buffer, b: Buffer): boolean {
  const nameEnd = b.length - 4;
  if (a.length !== b.length || !a.subarray(nameEnd).equals(b.subarray(nameEnd))) return false;
  return lowered(a.subarray(0, nameEnd)) === lowered(b.subarray(0, nameEnd));
}

function lowered(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

export function encodeQuestion(id: number, { flags, question, dnssec, options }: Question, edns: boolean): Buffer {
  const end = headerSize + question.length;
  const bytes = Buffer.alloc(edns ? end + optSize + options.length : end);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(flags & (FLAG.RD | FLAG.AD | FLAG.CD), 2);
  bytes.writeUInt16BE(1, 4);
  question.copy(bytes, headerSize);
  if (!edns) return bytes;
  bytes.writeUInt16BE(1, 10);
  bytes.writeUInt16BE(TYPE.OPT, end + 1);
  bytes.writeUInt16BE(ednsLimit, end + 3);
  bytes.writeUInt16BE(dnssec ? DNSSEC_OK : 0, end + 7);
  bytes.writeUInt16BE(options.length, end + 9);
  options.copy(bytes, end + optSize);
  return bytes;
}

function isV6({ address }: Resolver): boolean {
  return isIPv6(address);
}

/** Addresses need no looking up, and no thread of the pool. */
function literal(
  address: string,
  _options: unknown,
  done: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void {
  done(null, address, isIPv6(address) ? 6 : 4);
}
