import { readFileSync } from 'node:fs';
import type { Syscalls } from './syscall.ts';

/** asm-generic/mman-common.h */
const MADV_DONTNEED = 4;

/** What of a file is mapped: see proc_pid_smaps(5). */
export interface Mapping {
  readonly start: number;
  readonly end: number;
  /** Of four letters, such as `r-xp`. */
  readonly permissions: string;
  readonly path: string;
  /** Bytes of it that were written to, and are no longer the file's. */
  readonly anonymous: number;
}

/** Mappings of files; what is not understood is passed over. */
export function parseMappings(smaps: string): readonly Mapping[] {
  const found: Mapping[] = [];
  for (const [, start = '', end = '', permissions = '', path = '', details = ''] of smaps.matchAll(each)) {
    const anonymous = /^Anonymous: +(\d{1,12}) kB$/m.exec(details)?.[1];
    if (anonymous === undefined) continue;
    const [from, to] = [Number.parseInt(start, 16), Number.parseInt(end, 16)];
    found.push({ start: from, end: to, permissions, path, anonymous: Number(anonymous) * 1024 });
  }
  return found;
}

/** A head line that names a file, and the lines of details below it, which begin with a capital letter. */
const each = /^([0-9a-f]{1,13})-([0-9a-f]{1,13}) ([r-][w-][x-][ps]) \S+ \S+ \d+ +(\/.*)\n((?:[A-Z].*\n?)*)/gm;

/**
 * Gives back what this process has mapped of a program's code and constants: what is needed again comes back from the page
 * cache by itself. Most of a large program runs at its start only. What was written to stays.
 * @throws KernelError
 */
export function releaseText(sys: Syscalls, path: string): void {
  for (const mapping of parseMappings(readFileSync('/proc/self/smaps', 'utf8'))) {
    if (mapping.path !== path || mapping.permissions[1] === 'w' || mapping.anonymous > 0) continue;
    sys.madvise(mapping.start, mapping.end - mapping.start, MADV_DONTNEED);
  }
}
