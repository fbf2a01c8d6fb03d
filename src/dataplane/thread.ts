import { Worker } from 'node:worker_threads';
import { programAt } from '../lib/own-files.ts';

/** The thread that will work on the kernel: it does nothing before `openDataplane` has it. */
export function startDataplaneThread(): Worker {
  // What it throws away is short-lived and much: with the usual young generation it holds half as much memory again.
  return new Worker(programAt('dataplane/worker'), { resourceLimits: { maxYoungGenerationSizeMb: 6 } });
}
