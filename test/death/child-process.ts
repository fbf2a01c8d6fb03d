import * as processes from 'node:child_process';
import { counted } from './doom.ts';

// biome-ignore lint/performance/noBarrelFile: it stands for the whole of it
export * from 'node:child_process';

/** Stands for `node:child_process` in a daemon that is to die. */
export const spawn = ((...args: Parameters<typeof processes.spawn>) =>
  counted('files', `spawn ${args[0]} ${args[1]?.join(' ')}`, () => processes.spawn(...args))) as typeof processes.spawn;
