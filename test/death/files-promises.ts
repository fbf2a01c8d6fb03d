import * as fs from 'node:fs/promises';
import { countedLater } from './doom.ts';

// biome-ignore lint/performance/noBarrelFile: it stands for the whole of it
export * from 'node:fs/promises';

/** Stands for `node:fs/promises` in a daemon that is to die. */
function counting<A extends readonly unknown[], R>(
  name: string,
  call: (...args: A) => Promise<R>,
): (...args: A) => Promise<R> {
  return (...args) => countedLater('files', `${name} ${String(args[0])}`, () => call(...args));
}

export const mkdir = counting('mkdir', fs.mkdir);
export const rename = counting('rename', fs.rename);
export const rm = counting('rm', fs.rm);
export const unlink = counting('unlink', fs.unlink);
export const writeFile = counting('write', fs.writeFile);
