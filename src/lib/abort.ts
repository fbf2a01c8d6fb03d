/**
 * Resolves when the first of the signals aborts, and leaves nothing on the others. What happens once in a long life is said
 * by a signal rather than by a promise: each wait for a promise that was given up stays on it until it settles.
 */
export async function firstAbort(signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = () => resolve();
  for (const signal of signals) {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', wake);
  }
  await promise;
  for (const signal of signals) signal.removeEventListener('abort', wake);
}
