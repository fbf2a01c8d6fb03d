import { backoff } from '../../lib/backoff.ts';
import type { Store } from './store.ts';

/**
 * A store behind a check: nothing is read from it or written to it before `check` has passed once. So a host that starts
 * while the store is away goes on by what it remembers, and does not believe a store that turns out to be another's.
 */
export function gated(store: Store, check: (signal?: AbortSignal) => Promise<void>): Store {
  let passed = false;
  const pass = async (signal?: AbortSignal) => {
    if (passed) return;
    await check(signal);
    passed = true;
  };
  return {
    async list(prefix, options) {
      await pass(options?.signal);
      return await store.list(prefix, options);
    },
    async commit(conditions, writes, options) {
      await pass(options?.signal);
      return await store.commit(conditions, writes, options);
    },
    async *watch(prefix, { signal }) {
      for await (const _ of backoff({ first: 100, most: 3_000, signal })) {
        try {
          await pass(signal);
          break;
        } catch {
          // Away, or not ours: its admin may put that right; until then there is nothing to see in it.
        }
      }
      yield* store.watch(prefix, { signal });
    },
    async openSession(ttl) {
      await pass();
      return await store.openSession(ttl);
    },
    status: () => store.status(),
    close: () => store.close(),
  };
}
