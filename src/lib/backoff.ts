import { setTimeout as wait } from 'node:timers/promises';

export interface Backoff {
  /** Milliseconds before the first repetition; doubles with each one up to `most`. */
  readonly first: number;
  readonly most: number;
}

/** Wakes those who pause now: what they wait for may have come. */
export class Bell {
  #next = new AbortController();

  /** Aborts when it rings next. */
  get signal(): AbortSignal {
    return this.#next.signal;
  }

  ring(): void {
    const rung = this.#next;
    this.#next = new AbortController();
    rung.abort();
  }
}

/** Yields at once, then after growing pauses with jitter that the bell cuts short; ends when `signal` aborts. */
export async function* backoff(
  options: Backoff & { readonly signal: AbortSignal; readonly bell?: Bell },
): AsyncGenerator<number> {
  const { signal, bell } = options;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    yield attempt;
    await pause(delay(attempt, options), bell ? AbortSignal.any([signal, bell.signal]) : signal);
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
