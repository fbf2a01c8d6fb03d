import { Worker } from 'node:worker_threads';
import { programAt } from '../../../lib/own-files.ts';

/** The thread that will own a database file: it does nothing before `openDatabase` has it. */
export function startDatabaseThread(program = programAt('state/kv/local/worker')): Worker {
  return new Worker(program, { execArgv: [] });
}
