import { Reader, Writer } from '../../lib/bytes.ts';
import { errnoName, isKernelError, KernelError } from '../kernel-error.ts';
import type { Syscalls } from '../syscall.ts';
import { NLM_F, NLMSG, type NlMsg, nlmsg, nlmsgerr } from './message.ts';

/**
 * Sockets to the kernel's netlink. A socket belongs for good to the network namespace that the calling thread was in when
 * it was opened; requests are synchronous, because the kernel works them off within send.
 */

/** A request to the kernel. `action` says in words what it does and to what: errors begin with it. */
export interface Request {
  readonly action: string;
  readonly type: number;
  /** Besides NLM_F_REQUEST and what the way of sending needs. */
  readonly flags?: number;
  readonly payload: Uint8Array;
}

/** What the kernel answers or tells: type and content of a message. */
export type Reply = Pick<NlMsg, 'type' | 'payload'>;

export interface Netlink {
  /** Does one thing. @returns what the kernel answers besides its acknowledgement. @throws KernelError */
  request(request: Request): readonly Reply[];
  /** Does several things in few system calls, all of them, whatever becomes of one. @returns each one's error. */
  requests(requests: readonly Request[]): readonly (KernelError | undefined)[];
  /**
   * Does several things or none of them, between a request that begins them and one that ends them; nf_tables knows that.
   * @throws KernelError what was refused first
   */
  transaction(begin: Request, requests: readonly Request[], end: Request): void;
  /**
   * Lists what the kernel has; asks again when it changed meanwhile. `decode` is given each part, keeps nothing of its bytes,
   * and passes over what it returns undefined for. @throws KernelError
   */
  dump<T>(request: Request, decode: (reply: Reply) => T | undefined): T[];
  /** May be called twice. */
  close(): void;
}

/** What the kernel tells of itself. */
export interface Notifications {
  /** For `poll`: readable when there is something to drain. */
  readonly fd: number;
  /** What has come since, without waiting; 'lost' when the kernel had to drop some and all has to be listed again. */
  drain(): readonly Reply[] | 'lost';
  /** May be called twice. */
  close(): void;
}

export const NETLINK_ROUTE = 0;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** The kernel fills at most this at a time. */
const RECEIVE_BUFFER = 32 * 1024;
const NOTIFICATION_BUFFER = 8 * 1024 * 1024;
/** Far beyond any wait for the kernel's lock: then something is wrong, and an error is better than to hang. */
const ANSWER_TIMEOUT_S = 30;
/** So that the answers to one send fit the default receive buffer, also when each is an error. */
const BATCH_MESSAGES = 100;
const BATCH_BYTES = 64 * 1024;
const DUMP_ATTEMPTS = 10;
/** Bounds against an answer without end. */
const MAX_DUMP = 1 << 20;
const MAX_STRAY = 1 << 12;
const MAX_DRAIN = 1 << 12;

/** Opens a socket in the calling thread's network namespace. @throws KernelError */
export function openNetlink(sys: Syscalls, options: { readonly family?: number } = {}): Netlink {
  const socket = openSocket(sys, options.family ?? NETLINK_ROUTE);
  setOptions(sys, socket, [
    [SOL_NETLINK, NETLINK_EXT_ACK, int(1)],
    [SOL_NETLINK, NETLINK_CAP_ACK, int(1)],
    [SOL_NETLINK, NETLINK_GET_STRICT_CHK, int(1)],
    [SOL_SOCKET, SO_RCVTIMEO, timeval(ANSWER_TIMEOUT_S)],
  ]);
  let seq = 0;
  const nextSeq = () => {
    seq = (seq + 1) >>> 0;
    return seq;
  };

  /** Sends, and hands every message that answers the sequence numbers from `first` on to `take` until it says done. */
  function exchange(action: string, messages: readonly NlMsg[], take: (message: NlMsg) => boolean): void {
    const first = messages[0]?.seq ?? 0;
    const isAnswer = (m: NlMsg) => m.pid === socket.port && (m.seq - first) >>> 0 < messages.length;
    sys.send(socket.fd, nlmsg.encode(messages), 0);
    for (let stray = 0; stray < MAX_STRAY; ) {
      const bytes = socket.receive(0);
      if (bytes === undefined) throw new KernelError(action, 'ETIMEDOUT');
      const answers = bytes === 'foreign' ? [] : nlmsg.decode(bytes).filter(isAnswer);
      if (answers.length === 0) stray++;
      for (const answer of answers) {
        if (answer.type === NLMSG.OVERRUN) throw new KernelError(action, 'ENOBUFS');
        if (answer.type !== NLMSG.NOOP && take(answer)) return;
      }
    }
    throw new KernelError(action, 'EPROTO', { detail: `${MAX_STRAY} messages and no answer among them` });
  }

  function batch(requests: readonly Request[], errors: (KernelError | undefined)[]): void {
    const [request] = requests;
    if (request === undefined) return;
    // Refusals come unasked; one acknowledgement, of the last request, says that all are through.
    const messages = requests.map((r, i) => message(r, i === requests.length - 1 ? NLM_F.ACK : 0, nextSeq()));
    const first = messages[0]?.seq ?? 0;
    const results: (KernelError | undefined)[] = requests.map(() => undefined);
    exchange(request.action, messages, (answer) => {
      if (answer.type !== NLMSG.ERROR) return false;
      const i = (answer.seq - first) >>> 0;
      results[i] = errorOf(requests[i] ?? request, answer);
      return i === requests.length - 1;
    });
    errors.push(...results);
  }

  /** The kernel refuses a dump (EBUSY) as long as one that was begun on the socket has not been read to its end. */
  function abandon(): void {
    for (let count = 0; count < MAX_DRAIN && socket.receive(MSG_DONTWAIT) !== undefined; count++);
  }

  function dumpOnce<T>(request: Request, decode: (reply: Reply) => T | undefined): T[] | 'interrupted' {
    const decoded: T[] = [];
    let count = 0;
    let interrupted = false;
    exchange(request.action, [message(request, NLM_F.DUMP, nextSeq())], (answer) => {
      interrupted ||= (answer.flags & NLM_F.DUMP_INTR) !== 0;
      if (answer.type === NLMSG.ERROR || answer.type === NLMSG.DONE) {
        const error = errorOf(request, answer);
        if (error) throw error;
        return true;
      }
      if (++count > MAX_DUMP) throw new KernelError(request.action, 'E2BIG');
      const value = decode(answer);
      if (value !== undefined) decoded.push(value);
      return false;
    });
    return interrupted ? 'interrupted' : decoded;
  }

  return {
    request(request) {
      const replies: Reply[] = [];
      exchange(request.action, [message(request, NLM_F.ACK, nextSeq())], (answer) => {
        if (answer.type === NLMSG.ERROR) {
          const error = errorOf(request, answer);
          if (error) throw error;
          return true;
        }
        replies.push({ type: answer.type, payload: answer.payload.slice() });
        return false;
      });
      return replies;
    },
    requests(requests) {
      const errors: (KernelError | undefined)[] = [];
      for (const part of parts(requests)) batch(part, errors);
      return errors;
    },
    transaction(begin, requests, end) {
      const last = requests.at(-1);
      if (last === undefined) return;
      const all = [begin, ...requests, end];
      const messages = all.map((r) => message(r, r === last ? NLM_F.ACK : 0, nextSeq()));
      const first = messages[0]?.seq ?? 0;
      let error: KernelError | undefined;
      // When all is over the kernel answers, in order; or for the whole, as if to what began it.
      exchange(begin.action, messages, (answer) => {
        if (answer.type !== NLMSG.ERROR) return false;
        const i = (answer.seq - first) >>> 0;
        error ??= errorOf(all[i] ?? begin, answer);
        return i === 0 || i === requests.length;
      });
      if (error) throw error;
    },
    dump<T>(request: Request, decode: (reply: Reply) => T | undefined) {
      for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
        try {
          const decoded = dumpOnce(request, decode);
          if (decoded !== 'interrupted') return decoded;
        } catch (error) {
          abandon();
          throw error;
        }
      }
      throw new KernelError(request.action, 'EINTR', { detail: `changed during each of ${DUMP_ATTEMPTS} attempts` });
    },
    close: () => socket.close(),
  };
}

/** Subscribes to multicast groups in the calling thread's network namespace. @throws KernelError */
export function openNotifications(
  sys: Syscalls,
  groups: readonly number[],
  options: { readonly family?: number; readonly receiveBuffer?: number } = {},
): Notifications {
  const socket = openSocket(sys, options.family ?? NETLINK_ROUTE);
  setReceiveBuffer(sys, socket, options.receiveBuffer ?? NOTIFICATION_BUFFER);
  setOptions(
    sys,
    socket,
    groups.map((group) => [SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, int(group)]),
  );
  return {
    fd: socket.fd,
    drain() {
      const replies: Reply[] = [];
      let lost = false;
      for (let count = 0; count < MAX_DRAIN; count++) {
        try {
          const bytes = socket.receive(MSG_DONTWAIT);
          if (bytes === undefined) break;
          if (bytes === 'foreign') continue;
          for (const { type, payload } of nlmsg.decode(bytes.slice())) replies.push({ type, payload });
        } catch (error) {
          if (!isKernelError(error, 'ENOBUFS')) throw error;
          lost = true;
        }
      }
      return lost ? 'lost' : replies;
    },
    close: () => socket.close(),
  };
}

interface Socket {
  readonly fd: number;
  readonly port: number;
  /**
   * One datagram, until the next is received by any socket; 'foreign' when another process sent it, undefined when
   * there is none.
   */
  receive(flags: number): Uint8Array | 'foreign' | undefined;
  close(): void;
}

/** One for all sockets of this thread, because what came is read before anything else happens. */
const buffer = new Uint8Array(RECEIVE_BUFFER);

function openSocket(sys: Syscalls, family: number): Socket {
  const fd = sys.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
  let closed = false;
  const close = () => {
    if (!closed) sys.close(fd);
    closed = true;
  };
  const from = new Uint8Array(SOCKADDR_NL);
  const receive = (flags: number) => {
    const length = sys.recvfrom(fd, buffer, flags | MSG_TRUNC, from);
    if (length === undefined) return undefined;
    if (portOf(from) !== 0) return 'foreign';
    if (length > buffer.length) throw new KernelError(`receive ${length} bytes from netlink`, 'EMSGSIZE');
    return buffer.subarray(0, length);
  };
  try {
    sys.bind(fd, new Uint8Array(SOCKADDR_NL).fill(AF_NETLINK, 0, 1));
    const address = new Uint8Array(SOCKADDR_NL);
    sys.getsockname(fd, address);
    return { fd, port: portOf(address), receive, close };
  } catch (error) {
    close();
    throw error;
  }
}

type SocketOption = readonly [level: number, option: number, value: Uint8Array];

function setOptions(sys: Syscalls, socket: Socket, options: readonly SocketOption[]): void {
  try {
    for (const [level, option, value] of options) sys.setsockopt(socket.fd, level, option, value);
  } catch (error) {
    socket.close();
    throw error;
  }
}

function message(request: Request, flags: number, seq: number): NlMsg {
  const { type, payload } = request;
  return { type, flags: NLM_F.REQUEST | flags | (request.flags ?? 0), seq, pid: 0, payload };
}

function errorOf(request: Request, answer: NlMsg): KernelError | undefined {
  const { errno, message: detail } = nlmsgerr.decode(answer);
  return errno === 0 ? undefined : new KernelError(request.action, errnoName(errno), { detail });
}

function* parts(requests: readonly Request[]): Generator<readonly Request[]> {
  let part: Request[] = [];
  let bytes = 0;
  for (const request of requests) {
    if (part.length === BATCH_MESSAGES || (part.length > 0 && bytes + request.payload.length > BATCH_BYTES)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(request);
    bytes += request.payload.length;
  }
  if (part.length > 0) yield part;
}

/** Only the machine's own root may go beyond net.core.rmem_max; root of a user namespace gets what is allowed. */
function setReceiveBuffer(sys: Syscalls, socket: Socket, size: number): void {
  try {
    sys.setsockopt(socket.fd, SOL_SOCKET, SO_RCVBUFFORCE, int(size));
  } catch {
    setOptions(sys, socket, [[SOL_SOCKET, SO_RCVBUF, int(size)]]);
  }
}

//  struct sockaddr_nl: | nl_family:16 | pad:16 | nl_pid:32 | nl_groups:32 |
const SOCKADDR_NL = 12;

function portOf(address: Uint8Array): number {
  const reader = new Reader(address, 'sockaddr_nl');
  reader.skip(4);
  return reader.u32le();
}

function int(value: number): Uint8Array {
  return new Writer().u32le(value).finish();
}

/** struct timeval of 64-bit machines */
function timeval(seconds: number): Uint8Array {
  return new Writer().u32le(seconds).zeros(12).finish();
}
