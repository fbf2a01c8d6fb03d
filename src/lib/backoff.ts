import { setTimeout as wait } from 'node:timers/promises';

export interface Backoff {
  /** Milliseconds before the first repetition; doubles with each one up to `most`. */
  readonly first: number;
  readonly most: number;
}

/** Yields at once, then after growing pauses with jitter; ends when `signal` aborts. */
export async function* backoff(options: Backoff & { readonly signal: AbortSignal }): AsyncGenerator<number> {
  for (let attempt = 0; !options.signal.aborted; attempt += 1) {
    yield attempt;
    await pause(delay(attempt, options), options.signal);
  }
}

/** How long to wait before repetition `attempt`, counted from 0; chance decides about half of it. */
export function delay(attempt: number, { first, most }: Backoff): number {
  return (Math.min(most, first * 2 ** Math.min(attempt, 20)) * (1 + Math.random())) / 2;
}

/** Resolves after `ms`, or at once when `signal` aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch(() => undefined);
}
