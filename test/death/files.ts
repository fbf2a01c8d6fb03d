import * as fs from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { counted } from './doom.ts';

// biome-ignore lint/performance/noBarrelFile: it stands for the whole of it
export * from 'node:fs';

/** Stands for `node:fs` in a daemon that is to die: in the kernel's thread also for /proc/sys. */
function counting<A extends readonly unknown[], R>(name: string, call: (...args: A) => R): (...args: A) => R {
  const kind = isMainThread ? 'files' : 'kernel';
  return (...args) => counted(kind, `${name} ${String(args[0])}`, () => call(...args));
}

export const mkdirSync = counting('mkdir', fs.mkdirSync);
export const renameSync = counting('rename', fs.renameSync);
export const rmSync = counting('rm', fs.rmSync);
export const symlinkSync = counting('link', fs.symlinkSync);
export const unlinkSync = counting('unlink', fs.unlinkSync);
export const writeFileSync = counting('write', fs.writeFileSync);
