import type { Syscalls } from './syscall.ts';

/** linux/sockios.h, linux/ethtool.h */
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GGRO = 0x2b;
const ETHTOOL_SGRO = 0x2c;

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** Features of devices in the network namespace that the calling thread is in. */
export const ethtool = {
  /** Whether packets that it receives are put together to larger ones. Equivalent to `ethtool -k NAME`. @throws KernelError */
  gro(sys: Syscalls, device: string): boolean {
    return control(sys, device, Uint32Array.of(ETHTOOL_GGRO, 0)) !== 0;
  },
  /** Equivalent to `ethtool -K NAME gro on|off`. @throws KernelError */
  setGro(sys: Syscalls, device: string, on: boolean): void {
    control(sys, device, Uint32Array.of(ETHTOOL_SGRO, on ? 1 : 0));
  },
} as const;

//  struct ethtool_value: | cmd:32 | data:32 |, in the machine's order
function control(sys: Syscalls, device: string, value: Uint32Array<ArrayBuffer>): number {
  const socket = sys.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  try {
    sys.ioctl(socket, SIOCETHTOOL, device, new Uint8Array(value.buffer));
  } finally {
    sys.close(socket);
  }
  return value[1] ?? 0;
}
