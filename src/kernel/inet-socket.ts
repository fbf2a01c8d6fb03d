import { Writer } from '../lib/bytes.ts';
import { isKernelError, KernelError } from './kernel-error.ts';
import { addressBytes } from './netlink/attribute.ts';
import type { Syscalls } from './syscall.ts';

/** Where a socket is bound. */
export interface InetPlace {
  readonly transport: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK = { STREAM: 1, DGRAM: 2, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
const SOL_SOCKET = 1;
const SO = { REUSEADDR: 2, RCVBUF: 8, RCVBUFFORCE: 33 } as const;
const SOL_IP = 0;
const IP_FREEBIND = 15;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
/** linux/fcntl.h, linux/sockios.h */
const F_DUPFD_CLOEXEC = 1030;
const SIOCGSKNS = 0x894c;

/** In bytes, half of what may wait in a datagram socket: the kernel doubles it, as it counts what it needs itself. */
const receiveBuffer = 1 << 19;
/** Connections that wait for who takes them. */
const backlog = 1024;

/**
 * A socket of the calling thread's namespace at this place, listening if it is TCP's; the address need not be there.
 * @throws KernelError EADDRINUSE when another has the place
 */
export function openInetSocket(sys: Syscalls, { transport, address, port }: InetPlace): number {
  const family = address.includes(':') ? AF_INET6 : AF_INET;
  const type = transport === 'udp' ? SOCK.DGRAM : SOCK.STREAM;
  const fd = sys.socket(family, type | SOCK.NONBLOCK | SOCK.CLOEXEC, 0);
  const set = (level: number, option: number, value: number) =>
    sys.setsockopt(fd, level, option, new Writer().u32le(value).finish());
  try {
    set(SOL_IP, IP_FREEBIND, 1);
    if (family === AF_INET6) set(SOL_IPV6, IPV6_V6ONLY, 1);
    // With UDP two would share the place without knowing.
    if (transport === 'tcp') set(SOL_SOCKET, SO.REUSEADDR, 1);
    else {
      try {
        set(SOL_SOCKET, SO.RCVBUFFORCE, receiveBuffer);
      } catch (error) {
        // In a user namespace of its own it has what the host gives everybody.
        if (!isKernelError(error, 'EPERM')) throw error;
        set(SOL_SOCKET, SO.RCVBUF, receiveBuffer);
      }
    }
    sys.bind(fd, socketAddress(family, address, port));
    if (transport === 'tcp') sys.listen(fd, backlog);
    return fd;
  } catch (error) {
    sys.close(fd);
    if (!(error instanceof KernelError)) throw error;
    throw new KernelError(`open a ${transport} socket at ${address}, port ${port}`, error.code, { cause: error });
  }
}

/** @returns another descriptor of the same, closed on exec */
export function duplicate(sys: Syscalls, fd: number): number {
  return sys.fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/** @returns a descriptor of the network namespace that a socket is of */
export function namespaceOfSocket(sys: Syscalls, fd: number): number {
  return sys.ioctl_fd(fd, SIOCGSKNS);
}

//  struct sockaddr_in: | sin_family:16 | sin_port:16be | sin_addr:32 | zero:64 |
//  struct sockaddr_in6: | sin6_family:16 | sin6_port:16be | sin6_flowinfo:32 | sin6_addr:128 | sin6_scope_id:32 |
function socketAddress(family: number, address: string, port: number): Uint8Array {
  const writer = new Writer().u16le(family).u16be(port);
  if (family === AF_INET) return writer.bytes(addressBytes(address)).zeros(8).finish();
  return writer.zeros(4).bytes(addressBytes(address)).zeros(4).finish();
}
