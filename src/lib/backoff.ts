import { setTimeout as wait } from 'node:timers/promises';

/** Yields at once, then after growing pauses with full jitter, in milliseconds; ends when `signal` aborts. */
export async function* backoff(
  options: { readonly first: number; readonly most: number; readonly signal: AbortSignal },
  chance: () => number = Math.random,
): AsyncGenerator<number> {
  for (let attempt = 0; !options.signal.aborted; attempt += 1) {
    yield attempt;
    const pause = Math.min(options.most, options.first * 2 ** Math.min(attempt, 20));
    await wait(pause / 2 + (chance() * pause) / 2, undefined, { signal: options.signal }).catch(() => undefined);
  }
}
