import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

/** Bytes of what is reachable. */
export function heapUsed(): number {
  if (typeof collect !== 'function') throw new Error('this Node cannot be told to collect garbage');
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
