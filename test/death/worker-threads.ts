import * as threads from 'node:worker_threads';

// biome-ignore lint/performance/noBarrelFile: it stands for the whole of it
export * from 'node:worker_threads';

/** Stands for `node:worker_threads`: also in a thread that is to have no flags of its own, calls are counted. */
export class Worker extends threads.Worker {
  constructor(script: string | URL, options?: threads.WorkerOptions) {
    super(script, { ...options, execArgv: process.execArgv });
  }
}
