import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import type { Syscalls } from '../kernel/syscall.ts';
import { messageOf, Refusal } from '../lib/errors.ts';

/** flock(2) */
const [LOCK_EX, LOCK_NB] = [2, 4];

/**
 * The run directory, for this process alone until it ends, however that comes: the kernel holds the lock. Its pid is noted
 * for whoever comes second. @throws Refusal
 */
export function lockRunDirectory(
  { runDir, pidFile }: { runDir: string; pidFile: string },
  sys: Pick<Syscalls, 'flock'>,
): { close(): void } {
  try {
    mkdirSync(runDir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new Refusal('invalid', `cannot make the directory ${runDir}: ${messageOf(cause)}`, { cause });
  }
  const fd = openSync(runDir, 'r');
  if (!sys.flock(fd, LOCK_EX | LOCK_NB)) {
    closeSync(fd);
    throw new Refusal('conflict', `another daemon${pidIn(pidFile)} runs in ${runDir}; end it first with skein stop`);
  }
  writeFileSync(pidFile, `${process.pid}\n`);
  return { close: () => closeSync(fd) };
}

/** ` (pid 12)`, if it is known. */
export function pidIn(path: string): string {
  try {
    return ` (pid ${readFileSync(path, 'utf8').trim().slice(0, 20)})`;
  } catch {
    return '';
  }
}
