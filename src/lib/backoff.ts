import { setTimeout as sleep } from 'node:timers/promises';

export interface Backoff {
  /** Milliseconds before the first repetition; doubles with each one. */
  readonly first: number;
  readonly most: number;
}

/** How long to wait before repetition `attempt` (from 0). `chance` in [0, 1) takes up to half of it off, so that many do not come at once. */
export function backoff(attempt: number, { first, most }: Backoff, chance: number = Math.random()): number {
  return Math.min(most, first * 2 ** Math.min(attempt, 30)) * (1 - chance / 2);
}

/** Resolves after `ms`, or at once when `signal` aborts; keeps no process alive. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined);
}
