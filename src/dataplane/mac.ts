import { createHash } from 'node:crypto';

/** How containers' MACs begin, unless someone chose another one. */
export const CONTAINER_MACS = '02:42';

/**
 * A locally administered MAC that follows from what it is for, so that every host and every restart finds the same one.
 * 5e is not 02: containers' own begin with 02:42.
 */
export function macFor(purpose: string): string {
  const hash = createHash('sha256').update(purpose).digest('hex');
  return `5e:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}:${hash.slice(6, 8)}:${hash.slice(8, 10)}`;
}
