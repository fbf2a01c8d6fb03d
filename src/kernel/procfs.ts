import { KernelError } from './kernel-error.ts';
import type { Syscalls } from './syscall.ts';

/**
 * A procfs that this process alone sees, or the one that everybody sees where that cannot be had (before Linux 5.8, or
 * where something forbids it). A name below sys/net is looked for among those that all network namespaces have in
 * the same procfs, as far as anybody has looked at them: with a thousand namespaces that is most of what it takes to read
 * a setting. A new procfs knows none.
 */
export interface Procfs {
  /** Where it is, for this process. */
  readonly path: string;
  /** May be called twice. */
  close(): void;
}

const FSOPEN_CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MOUNT_ATTR = { NOSUID: 0x2, NODEV: 0x4, NOEXEC: 0x8 } as const;

export function openProcfs(sys: Syscalls): Procfs {
  let mount: number | undefined;
  try {
    mount = mountProcfs(sys);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { path: '/proc', close: () => undefined };
  }
  return {
    path: `/proc/self/fd/${mount}`,
    close() {
      if (mount !== undefined) sys.close(mount);
      mount = undefined;
    },
  };
}

/** @returns a descriptor of its root. @throws KernelError */
function mountProcfs(sys: Syscalls): number {
  const context = sys.fsopen('proc', FSOPEN_CLOEXEC);
  try {
    sys.fsconfig(context, FSCONFIG_CMD_CREATE);
    return sys.fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC);
  } finally {
    sys.close(context);
  }
}
