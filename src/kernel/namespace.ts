import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { isKernelError, KernelError } from './kernel-error.ts';
import type { Syscalls } from './syscall.ts';

/**
 * Network namespaces of one thread. A thread is in one at a time, so work inside another is synchronous: nothing may wait
 * between entering and coming back, or the rest of the program would go on in the wrong place.
 */
export interface Namespaces {
  /** Runs `work` in the namespace, and is back when this returns. @throws KernelError when it is no network namespace */
  inside<T>(fd: number, work: () => T): T;
  /** Makes a namespace and pins it. @returns an open descriptor of it. Equivalent to `ip netns add`. @throws KernelError */
  make(path: string): number;
  /** As `make`, but it ends with the last descriptor of it. @throws KernelError */
  makeUnpinned(): number;
  /** Keeps a namespace at a path, whatever becomes of its processes. Equivalent to `ip netns attach`. @throws KernelError */
  pin(fd: number, path: string): void;
  /** Lets go; the namespace ends with its last process and descriptor. May repeat. Equivalent to `ip netns delete`. */
  unpin(path: string): void;
  /** For who has left by `unshare`: home again. */
  back(): void;
  close(): void;
}

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

/** Of the calling thread, which has to be in the namespace that it is to come back to. @throws KernelError */
export function openNamespaces(sys: Syscalls): Namespaces {
  const home = openSync('/proc/thread-self/ns/net', 'r');

  function back(): void {
    try {
      sys.setns(home, CLONE_NEWNET);
    } catch {
      // Whatever this thread did next would happen to someone else's network.
      process.abort();
    }
  }

  function pinPath(source: string, path: string): void {
    try {
      writeFileSync(path, '', { flag: 'wx', mode: 0o444 });
    } catch (error) {
      if (!isFileError(error, 'EEXIST')) throw error;
      detach(sys, path);
    }
    try {
      sys.mount(source, path, 'none', MS_BIND);
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    }
  }

  return {
    inside(fd, work) {
      sys.setns(fd, CLONE_NEWNET);
      try {
        return work();
      } finally {
        back();
      }
    },
    make(path) {
      sys.unshare(CLONE_NEWNET);
      try {
        pinPath('/proc/thread-self/ns/net', path);
      } finally {
        back();
      }
      return openSync(path, 'r');
    },
    makeUnpinned() {
      sys.unshare(CLONE_NEWNET);
      try {
        return openSync('/proc/thread-self/ns/net', 'r');
      } finally {
        back();
      }
    },
    pin: (fd, path) => pinPath(`/proc/thread-self/fd/${fd}`, path),
    unpin(path) {
      detach(sys, path);
      rmSync(path, { force: true });
    },
    back,
    close: () => closeSync(home),
  };
}

function detach(sys: Syscalls, path: string): void {
  try {
    sys.umount2(path, MNT_DETACH);
  } catch (error) {
    // Not mounted, or not there.
    if (!isKernelError(error, 'EINVAL', 'ENOENT')) throw error;
  }
}

/**
 * Makes the directory that namespaces are pinned in. It is a mount of its own that shares what happens below it: a pin
 * that was taken away here must not live on in the mount namespaces of services and containers. @throws KernelError
 */
export function openPinDirectory(sys: Syscalls, path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  try {
    sys.mount('none', path, 'none', MS_SHARED | MS_REC);
  } catch (error) {
    if (!isKernelError(error, 'EINVAL')) throw error;
    sys.mount(path, path, 'none', MS_BIND | MS_REC);
    sys.mount('none', path, 'none', MS_SHARED | MS_REC);
  }
}

/** Takes back what `openPinDirectory` made, with what is still pinned there. May repeat. @throws KernelError */
export function closePinDirectory(sys: Syscalls, path: string): void {
  detach(sys, path);
}

/** Number of the namespace that a descriptor is open on: unique while it exists. */
export function inodeOf(fd: number): string {
  return fstatSync(fd, { bigint: true }).ino.toString();
}

/** Number of the namespace that is pinned at a path, undefined when none is. For many, the device is asked for once. */
export function pinnedInode(path: string, device = namespaceDevice()): string | undefined {
  const pin = statSync(path, { bigint: true, throwIfNoEntry: false });
  return pin?.dev === device ? pin.ino.toString() : undefined;
}

/** The one that all namespaces are files of. */
export function namespaceDevice(): bigint {
  return statSync('/proc/thread-self/ns/net', { bigint: true }).dev;
}

/** A process in each namespace that has any, by the namespace's number. Costs a look at every process. */
export function processesByNamespace(): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = namespaceOf(Number(name));
    if (stat !== undefined) found.set(stat, Number(name));
  }
  return found;
}

/** Processes end at any time. */
function namespaceOf(pid: number): string | undefined {
  try {
    return statSync(`/proc/${pid}/ns/net`, { bigint: true }).ino.toString();
  } catch {
    return undefined;
  }
}

/** Changes with every start of the machine, so that numbers of an earlier one are not mistaken. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

const { O_NOCTTY, O_NONBLOCK, O_RDONLY } = constants;

/**
 * What lies there may be anything: a pipe that nobody writes to is not waited for.
 * @throws KernelError when it cannot be opened
 */
export function openNamespace(path: string): number {
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  } catch (cause) {
    throw new KernelError(`open network namespace ${path}`, codeOf(cause), { cause });
  }
}

function isFileError(error: unknown, code: string): boolean {
  return codeOf(error) === code;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
}
