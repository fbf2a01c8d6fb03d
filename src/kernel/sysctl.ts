import { readFileSync, writeFileSync } from 'node:fs';
import { KernelError } from './kernel-error.ts';

/**
 * Settings below /proc/sys. Those of `net/` are the ones of the network namespace that the calling thread is in.
 * A setting that this kernel does not have, or whose interface is gone, is undefined and cannot be set.
 */
export const sysctls = {
  /** Equivalent to `sysctl -n`. `procfs` is where to read. @throws KernelError */
  get(path: string, procfs = '/proc'): string | undefined {
    return attempt(`read sysctl ${path}`, () => readFileSync(`${procfs}/sys/${path}`, 'utf8').trim());
  },
  /** Equivalent to `sysctl -w`. @returns whether there is such a setting. @throws KernelError */
  set(path: string, value: string): boolean {
    const done = attempt(`set sysctl ${path} to ${value}`, () => {
      writeFileSync(`/proc/sys/${path}`, value);
      return true;
    });
    return done ?? false;
  },
} as const;

function attempt<T>(action: string, run: () => T): T | undefined {
  try {
    return run();
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'EIO';
    if (code === 'ENOENT') return undefined;
    throw new KernelError(action, code, { cause });
  }
}
