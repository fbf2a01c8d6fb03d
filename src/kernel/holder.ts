import { errnoName, isKernelError, KernelError } from './kernel-error.ts';
import type { Syscalls } from './syscall.ts';

/**
 * The other end of skein-holder (`native/holder/holder.c` has the protocol): descriptors that are given to it outlive this
 * process, by name. Every call waits for the holder's answer, which takes microseconds, for half a second at most; after one
 * that got none, or one that makes no sense, every other fails, too.
 */
export interface Holder {
  /** It has a descriptor of its own from then on, instead of what had the name. @throws KernelError */
  keep(name: string, descriptor: number): void;
  /** May repeat. @throws KernelError */
  drop(name: string): void;
  /** All that it keeps, with new descriptors of the caller's, closed on exec. @throws KernelError */
  list(): ReadonlyMap<string, number>;
  /** It may have ended, or been cut off: it never speaks unasked. */
  isGone(): boolean;
  close(): void;
}

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
/** In microseconds. */
const patience = 500_000;

const keep = 'k'.charCodeAt(0);
const drop = 'd'.charCodeAt(0);
const get = 'g'.charCodeAt(0);
const done = 'o'.charCodeAt(0);
const held = 'h'.charCodeAt(0);
const end = 'z'.charCodeAt(0);
const failed = 'e'.charCodeAt(0);

/** In bytes. */
export const longestName = 128;

/** @returns undefined when no holder listens there. @throws KernelError */
export function openHolder(sys: Syscalls, path: string): Holder | undefined {
  const socket = sys.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  try {
    const time = Buffer.alloc(16);
    time.writeBigInt64LE(BigInt(patience), 8);
    for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) sys.setsockopt(socket, SOL_SOCKET, option, time);
    sys.connect(socket, unixAddress(path));
  } catch (error) {
    sys.close(socket);
    if (isKernelError(error, 'ECONNREFUSED', 'ENOENT')) return undefined;
    throw error;
  }

  let broken: KernelError | undefined;
  const fail = (error: KernelError): never => {
    broken = error;
    throw error;
  };
  const ask = (what: string, request: Uint8Array, descriptor?: number): Answer => {
    if (broken) throw broken;
    sys.sendmsg(socket, request, descriptor);
    const into = Buffer.alloc(1 + longestName);
    const received = sys.recvmsg(socket, into);
    if (received === undefined) return fail(new KernelError(what, 'ETIMEDOUT'));
    const { length, descriptor: got } = received;
    const answer = { kind: into[0], payload: into.subarray(1, length), descriptor: got };
    const asExpected = length > 0 && (answer.kind === held) === (got !== undefined);
    if (asExpected && answer.kind !== failed) return answer;
    if (got !== undefined) sys.close(got);
    if (length === 0) return fail(new KernelError(what, 'ECONNRESET'));
    if (answer.kind === failed && length === 5) throw new KernelError(what, errnoName(into.readUInt32BE(1)));
    return fail(new KernelError(what, 'EPROTO'));
  };

  return {
    keep(name, descriptor) {
      const what = `have ${name} held`;
      expect(what, ask(what, request(keep, Buffer.from(name)), descriptor), done);
    },
    drop(name) {
      const what = `let go of ${name} in the holder`;
      expect(what, ask(what, request(drop, Buffer.from(name))), done);
    },
    list() {
      const all = new Map<string, number>();
      try {
        for (let i = 0; ; i++) {
          const what = `take what is held, number ${i + 1}`;
          const index = Buffer.alloc(4);
          index.writeUInt32BE(i);
          const answer = ask(what, request(get, index));
          if (answer.descriptor === undefined) {
            expect(what, answer, end);
            return all;
          }
          all.set(answer.payload.toString(), answer.descriptor);
        }
      } catch (error) {
        for (const fd of all.values()) sys.close(fd);
        throw error;
      }
    },
    isGone: () => broken !== undefined || sys.poll([socket], 0)[0] !== 0,
    close: () => sys.close(socket),
  };
}

interface Answer {
  readonly kind: number | undefined;
  readonly payload: Buffer;
  readonly descriptor: number | undefined;
}

function expect(what: string, { kind }: Answer, wanted: number): void {
  if (kind !== wanted) throw new KernelError(what, 'EPROTO');
}

function request(kind: number, payload: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(kind), payload]);
}

//  struct sockaddr_un: | sun_family:16 | sun_path |
function unixAddress(path: string): Buffer {
  const address = Buffer.concat([Buffer.alloc(2), Buffer.from(path), Buffer.alloc(1)]);
  if (address.length > 110) throw new KernelError(`connect to ${path}`, 'ENAMETOOLONG');
  address.writeUInt16LE(AF_UNIX);
  return address;
}
