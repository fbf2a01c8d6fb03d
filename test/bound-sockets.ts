import type { Syscalls } from '../src/kernel/syscall.ts';

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** Sockets of both kinds at one port of an IPv4 address, the calling thread's namespace's, for somebody to take over. */
export function bindPair(sys: Syscalls, address = '127.0.0.1', port = 0): { udp: number; tcp: number; port: number } {
  for (let attempt = 0; ; attempt++) {
    const udp = sys.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const tcp = sys.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    try {
      sys.bind(udp, socketAddress(address, port));
      const name = Buffer.alloc(16);
      sys.getsockname(udp, name);
      const drawn = name.readUInt16BE(2);
      sys.bind(tcp, socketAddress(address, drawn));
      return { udp, tcp, port: drawn };
    } catch (error) {
      sys.close(udp);
      sys.close(tcp);
      // The other kind's port may be taken.
      if (port !== 0 || attempt > 10) throw error;
    }
  }
}

/** struct sockaddr_in */
export function socketAddress(address: string, port: number): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.split('.').map(Number), 4);
  return bytes;
}
