import type { HandedSocket } from '../adapters/api/server.ts';
import type { Syscalls } from '../kernel/syscall.ts';
import { Refusal } from '../lib/errors.ts';

export interface Systemd {
  readonly env: Record<string, string | undefined>;
  readonly sys: Syscalls;
}

/** The first descriptor that is handed over: SD_LISTEN_FDS_START. */
const first = 3;
const most = 64;
const [AF_UNIX, SOCK_DGRAM, SOCK_CLOEXEC] = [1, 2, 0o2000000];

/**
 * Listening unix sockets that systemd has opened for this process, as sd_listen_fds(3). What this process starts learns
 * nothing of them. @throws Refusal 'unsupported' for other sockets
 */
export function takeSockets({ env, sys }: Systemd): readonly HandedSocket[] {
  const { LISTEN_PID, LISTEN_FDS } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  if (LISTEN_PID !== String(process.pid) || !/^\d{1,3}$/.test(LISTEN_FDS ?? '')) return [];
  const fds = Array.from({ length: Math.min(most, Number(LISTEN_FDS)) }, (_, i) => first + i);
  return fds.map((fd) => ({ fd, path: pathOf(fd, sys) }));
}

function pathOf(fd: number, sys: Syscalls): string {
  const address = Buffer.alloc(128);
  const length = sys.getsockname(fd, address);
  const path = address.toString('utf8', 2, length).replace(/\0$/, '');
  if (address.readUInt16LE(0) === AF_UNIX && path.startsWith('/')) return path;
  throw new Refusal(
    'unsupported',
    `descriptor ${fd}, which was handed over to listen on, is not a unix socket with a path`,
  );
}

/** Tells systemd `READY=1` or `STOPPING=1`, as sd_notify(3); nobody is told when it did not ask. @throws KernelError */
export function notify(state: string, { env, sys }: Systemd): void {
  const { NOTIFY_SOCKET: path } = env;
  if (path === undefined || !/^[/@]./.test(path)) return;
  const fd = sys.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  try {
    sys.connect(fd, addressOf(path));
    sys.send(fd, Buffer.from(state), 0);
  } finally {
    sys.close(fd);
  }
}

//  | family:16 | path |, an abstract one beginning with NUL and not ending with one: unix(7)
function addressOf(path: string): Uint8Array {
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`;
  return Buffer.concat([family, Buffer.from(name)]);
}
