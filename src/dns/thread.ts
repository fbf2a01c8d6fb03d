import { Worker } from 'node:worker_threads';
import { programAt } from '../lib/own-files.ts';

/** The thread that will answer for names: it does nothing before `openNameServer` has it. */
export function startNameServerThread(): Worker {
  // What it throws away is short-lived and much: with the usual young generation it holds a fifth more memory.
  const resourceLimits = { maxYoungGenerationSizeMb: 6 };
  // Descriptors that it closes were opened by others, and given to it.
  return new Worker(programAt('dns/worker'), { resourceLimits, trackUnmanagedFds: false });
}
