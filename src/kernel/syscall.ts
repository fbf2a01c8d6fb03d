import { constants } from 'node:os';
import koffi from 'koffi';
import { errnoName, KernelError } from './kernel-error.ts';

/**
 * The seam to the C library, and the only file that knows how it is called. Only numbers, text and byte arrays go through
 * it, every call is synchronous and acts on the calling thread, and a function kernel of a test can stand behind it.
 * Calls are named as in section 2 of the manual, restart on EINTR, and throw KernelError.
 */
export interface Syscalls {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array): void;
  connect(fd: number, address: Uint8Array): void;
  listen(fd: number, backlog: number): void;
  /** @returns whether it has the lock; false when another has it (LOCK_NB). */
  flock(fd: number, operation: number): boolean;
  /** Writes the socket's address into `into`. @returns its length, which can be larger than `into`. */
  getsockname(fd: number, into: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): void;
  send(fd: number, bytes: Uint8Array, flags: number): number;
  /** @returns bytes written to `into` (with MSG_TRUNC: the length of the datagram), undefined when there is nothing (EAGAIN). */
  recvfrom(fd: number, into: Uint8Array, flags: number, from: Uint8Array): number | undefined;
  /** Sends one message, with a descriptor if one is given (SCM_RIGHTS): whoever receives it has one of its own then. */
  sendmsg(fd: number, bytes: Uint8Array, descriptor?: number): number;
  /**
   * Receives one message, waiting for it as long as the socket says (SO_RCVTIMEO). A descriptor in it is closed on exec.
   * @returns bytes written to `into`: 0 when the other end is closed; undefined when none came in time (EAGAIN)
   */
  recvmsg(fd: number, into: Uint8Array): { readonly length: number; readonly descriptor?: number } | undefined;
  /** @returns a bit set of what happened for each descriptor (POLLIN, POLLERR, POLLHUP, POLLNVAL); all zero after the time. */
  poll(fds: readonly number[], timeoutMs: number): readonly number[];
  /** Of those that take a struct ifreq: `device` is its name, `data` what it points to, for the kernel to read and to write. */
  ioctl(fd: number, request: number, device: string, data: Uint8Array): void;
  /** Of those that take nothing. @returns the descriptor that it gives, closed on exec */
  ioctl_fd(fd: number, request: number): number;
  /** Of the commands those that take a number. */
  fcntl(fd: number, command: number, argument: number): number;
  eventfd(initial: number, flags: number): number;
  open(path: string, flags: number, mode?: number): number;
  close(fd: number): void;
  madvise(address: number, length: number, advice: number): void;
  setns(fd: number, nstype: number): void;
  unshare(flags: number): void;
  mount(source: string, target: string, fstype: string, flags: number, data?: string): void;
  umount2(target: string, flags: number): void;
  /** @returns a file system that is to be made. */
  fsopen(fstype: string, flags: number): number;
  /** Of the commands those that take no argument. */
  fsconfig(fd: number, command: number): void;
  /** @returns a descriptor of its root; it is mounted nowhere else. */
  fsmount(fd: number, flags: number, attributes: number): number;
  pidfd_open(pid: number, flags: number): number;
  pidfd_send_signal(pidfd: number, signal: number): void;
  /**
   * A libnftables context of the network namespace that the calling thread is in now, and stays of that one.
   * @throws KernelError ENOENT when the library is not installed
   */
  openNft(flags?: number): NftContext;
}

/** One libnftables context (about 130 kB). Not for two threads. */
export interface NftContext {
  /** Runs a command in nft's language or, with NFT_CTX_OUTPUT_JSON, as JSON. `code` is 0 when all of it was done, else none. */
  run(command: string): { readonly code: number; readonly output: string; readonly error: string };
  /** May be called twice. */
  close(): void;
}

/** nftables/libnftables.h */
export const NFT_CTX_OUTPUT_JSON = 1 << 4;

/** linux/if.h: a name, and a union of which the pointer is one of the smaller. */
const IFNAMSIZ = 16;
const IFREQ_REST = 16;

/** linux/socket.h: one descriptor as control message. | cmsg_len:64 | cmsg_level:32 | cmsg_type:32 | fd:32 | 0:32 | */
const CMSG_SIZE = 24;
const CMSG_LENGTH = 20;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** The same numbers on every architecture (all calls since Linux 5.0). */
const SYS = { pidfd_send_signal: 424, fsopen: 430, fsconfig: 431, fsmount: 432, pidfd_open: 434 } as const;

export function openSyscalls(): Syscalls {
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int, int, int)');
  const bind = libc.func('int bind(int, const void *, uint32_t)');
  const connect = libc.func('int connect(int, const void *, uint32_t)');
  const listen = libc.func('int listen(int, int)');
  const flock = libc.func('int flock(int, int)');
  const madvise = libc.func('int madvise(uintptr_t, size_t, int)');
  const getsockname = libc.func('int getsockname(int, void *, void *)');
  const setsockopt = libc.func('int setsockopt(int, int, int, const void *, uint32_t)');
  const send = libc.func('long send(int, const void *, size_t, int)');
  const recvfrom = libc.func('long recvfrom(int, void *, size_t, int, void *, void *)');
  const iovec = koffi.struct({ iov_base: 'void *', iov_len: 'size_t' });
  const msghdr = koffi.struct({
    msg_name: 'void *',
    msg_namelen: 'uint32_t',
    msg_iov: koffi.pointer(iovec),
    msg_iovlen: 'size_t',
    msg_control: 'void *',
    msg_controllen: 'size_t',
    msg_flags: 'int',
  });
  const sendmsg = libc.func('sendmsg', 'long', ['int', koffi.pointer(msghdr), 'int']);
  const recvmsg = libc.func('recvmsg', 'long', ['int', koffi.inout(koffi.pointer(msghdr)), 'int']);
  const message = (bytes: Uint8Array, control: Uint8Array | null) => ({
    ...{ msg_name: null, msg_namelen: 0, msg_flags: 0 },
    ...{ msg_iov: { iov_base: bytes, iov_len: bytes.length }, msg_iovlen: 1 },
    ...{ msg_control: control, msg_controllen: control?.length ?? 0 },
  });
  const poll = libc.func('int poll(void *, unsigned long, int)');
  const ifreq = koffi.struct({
    ifr_name: koffi.array('char', IFNAMSIZ, 'String'),
    ifr_data: 'void *',
    rest: koffi.array('uint8_t', IFREQ_REST),
  });
  const ioctl = libc.func('ioctl', 'int', ['int', 'unsigned long', koffi.pointer(ifreq)]);
  const ioctlFd = libc.func('ioctl', 'int', ['int', 'unsigned long', 'long']);
  const fcntl = libc.func('int fcntl(int, int, long)');
  const eventfd = libc.func('int eventfd(unsigned int, int)');
  const open = libc.func('int open(const char *, int, unsigned int)');
  const close = libc.func('int close(int)');
  const setns = libc.func('int setns(int, int)');
  const unshare = libc.func('int unshare(int)');
  const mount = libc.func('int mount(const char *, const char *, const char *, unsigned long, const char *)');
  const umount2 = libc.func('int umount2(const char *, int)');
  const syscall = libc.func('long syscall(long, long, long, long, long)');
  const fsopen = libc.func('syscall', 'long', ['long', 'str', 'uint']);
  const fsconfig = libc.func('long syscall(long, int, unsigned int, const char *, const void *, int)');

  return {
    socket: (domain, type, protocol) => call('open a socket', () => socket(domain, type, protocol)),
    bind: (fd, address) => void call('bind a socket', () => bind(fd, address, address.length)),
    connect: (fd, address) => void call('connect a socket', () => connect(fd, address, address.length)),
    listen: (fd, backlog) => void call('listen on a socket', () => listen(fd, backlog)),
    madvise: (address, length, advice) => void call('advise on memory', () => madvise(address, length, advice)),
    flock: (fd, operation) => callUnlessAgain('lock a file', () => flock(fd, operation)) !== undefined,
    getsockname(fd, into) {
      const length = Uint32Array.of(into.length);
      call('read the address of a socket', () => getsockname(fd, into, length));
      return length[0] ?? 0;
    },
    setsockopt: (fd, level, option, value) =>
      void call(`set socket option ${level}/${option}`, () => setsockopt(fd, level, option, value, value.length)),
    send: (fd, bytes, flags) => call('send to a socket', () => send(fd, bytes, bytes.length, flags)),
    recvfrom: (fd, into, flags, from) =>
      callUnlessAgain('receive from a socket', () =>
        recvfrom(fd, into, into.length, flags, from, Uint32Array.of(from.length)),
      ),
    sendmsg(fd, bytes, descriptor) {
      const control = descriptor === undefined ? null : encodeRights(descriptor);
      return call('send a message', () => sendmsg(fd, message(bytes, control), MSG_NOSIGNAL));
    },
    recvmsg(fd, into) {
      const control = Buffer.alloc(CMSG_SIZE);
      // With the padding there would be room for two.
      const header = message(into, control.subarray(0, CMSG_LENGTH));
      const length = callUnlessAgain('receive a message', () => recvmsg(fd, header, MSG_CMSG_CLOEXEC));
      if (length === undefined) return undefined;
      return header.msg_controllen < CMSG_LENGTH ? { length } : { length, descriptor: decodeRights(control) };
    },
    poll(fds, timeoutMs) {
      const pollfds = encodePollfds(fds);
      call('poll', () => poll(pollfds, fds.length, timeoutMs));
      return fds.map((_, i) => pollfds.readUInt16LE(POLLFD_SIZE * i + 6));
    },
    ioctl(fd, request, device, data) {
      const argument = { ifr_name: device, ifr_data: data, rest: new Uint8Array(IFREQ_REST) };
      call(`control device ${device}`, () => ioctl(fd, request, argument));
    },
    ioctl_fd: (fd, request) => call(`ask descriptor ${fd} for another`, () => ioctlFd(fd, request, 0)),
    fcntl: (fd, command, argument) => call(`control descriptor ${fd}`, () => fcntl(fd, command, argument)),
    eventfd: (initial, flags) => call('open an event counter', () => eventfd(initial, flags)),
    open: (path, flags, mode = 0) => call(`open ${path}`, () => open(path, flags, mode)),
    close(fd) {
      // Linux has let go of the descriptor even when it says EINTR: never again, the number may be another's by then.
      if (close(fd) === 0) return;
      const errno = koffi.errno();
      if (errno !== EINTR) throw new KernelError(`close descriptor ${fd}`, errnoName(errno));
    },
    setns: (fd, nstype) => void call('enter a namespace', () => setns(fd, nstype)),
    unshare: (flags) => void call('make a namespace', () => unshare(flags)),
    mount: (source, target, fstype, flags, data) =>
      void call(`mount ${source} on ${target}`, () => mount(source, target, fstype, flags, data ?? null)),
    umount2: (target, flags) => void call(`unmount ${target}`, () => umount2(target, flags)),
    fsopen: (fstype, flags) => call(`open file system ${fstype}`, () => fsopen(SYS.fsopen, fstype, flags)),
    fsconfig: (fd, command) =>
      void call('configure a file system', () => fsconfig(SYS.fsconfig, fd, command, null, null, 0)),
    fsmount: (fd, flags, attributes) =>
      call('mount a file system', () => syscall(SYS.fsmount, fd, flags, attributes, 0)),
    pidfd_open: (pid, flags) => call(`open process ${pid}`, () => syscall(SYS.pidfd_open, pid, flags, 0, 0)),
    pidfd_send_signal: (pidfd, signal) =>
      void call(`send signal ${signal}`, () => syscall(SYS.pidfd_send_signal, pidfd, signal, 0, 0)),
    openNft: nftOpener(),
  };
}

const { EINTR, EAGAIN } = constants.errno;

function call(action: string, run: () => number): number {
  const result = callUnlessAgain(action, run);
  if (result === undefined) throw new KernelError(action, 'EAGAIN');
  return result;
}

function callUnlessAgain(action: string, run: () => number): number | undefined {
  for (;;) {
    const result = run();
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw new KernelError(action, errnoName(errno));
  }
}

const POLLFD_SIZE = 8;
const POLLIN = 1;

//  | fd:32 | events:16 | revents:16 |
function encodePollfds(fds: readonly number[]): Buffer {
  const pollfds = Buffer.alloc(POLLFD_SIZE * fds.length);
  fds.forEach((fd, i) => {
    pollfds.writeInt32LE(fd, POLLFD_SIZE * i);
    pollfds.writeUInt16LE(POLLIN, POLLFD_SIZE * i + 4);
  });
  return pollfds;
}

function encodeRights(descriptor: number): Buffer {
  const control = Buffer.alloc(CMSG_SIZE);
  control.writeBigUInt64LE(BigInt(CMSG_LENGTH), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(descriptor, 16);
  return control;
}

function decodeRights(control: Buffer): number {
  return control.readInt32LE(16);
}

/** Loads the library when the first context is asked for: who has no rules to set needs no nftables. */
function nftOpener(): Syscalls['openNft'] {
  let loaded: Libnftables | undefined;
  return (flags = NFT_CTX_OUTPUT_JSON) => {
    loaded ??= loadLibnftables();
    return openContext(loaded, flags);
  };
}

type Libnftables = ReturnType<typeof loadLibnftables>;

function openContext(nft: Libnftables, flags: number): NftContext {
  const context = nft.ctxNew(0);
  if (!context) throw new KernelError('open an nftables context', 'ENOMEM');
  let closed = false;
  const close = () => {
    if (!closed) nft.ctxFree(context);
    closed = true;
  };
  nft.outputSetFlags(context, flags);
  if (nft.bufferOutput(context) !== 0 || nft.bufferError(context) !== 0) {
    close();
    throw new KernelError('open an nftables context', 'ENOMEM');
  }
  return {
    run(command) {
      if (closed) throw new KernelError('run an nftables command', 'EBADF', { detail: 'the context is closed' });
      const code: number = nft.run(context, command);
      return { code, output: nft.output(context) ?? '', error: nft.error(context) ?? '' };
    },
    close,
  };
}

function loadLibnftables() {
  const library = loadLibrary();
  return {
    ctxNew: library.func('void *nft_ctx_new(uint32_t)'),
    ctxFree: library.func('void nft_ctx_free(void *)'),
    outputSetFlags: library.func('void nft_ctx_output_set_flags(void *, unsigned int)'),
    bufferOutput: library.func('int nft_ctx_buffer_output(void *)'),
    bufferError: library.func('int nft_ctx_buffer_error(void *)'),
    run: library.func('int nft_run_cmd_from_buffer(void *, const char *)'),
    output: library.func('const char *nft_ctx_get_output_buffer(void *)'),
    error: library.func('const char *nft_ctx_get_error_buffer(void *)'),
  };
}

function loadLibrary() {
  try {
    return koffi.load('libnftables.so.1');
  } catch (cause) {
    throw new KernelError('load libnftables.so.1', 'ENOENT', {
      detail: 'libnftables.so.1 is not installed; apt-get install libnftables1',
      cause,
    });
  }
}
