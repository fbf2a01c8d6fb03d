import { Bell, backoff } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Keys } from '../../model/keys.ts';
import { confirmCluster, type Seen } from './cluster.ts';
import type { Store } from './store.ts';

/**
 * A store behind a check: nothing is read from it or written to it before it proved to be the known cluster's, at first and
 * whenever contact was lost. So a host that starts while the store is away goes on by what it remembers, and does not
 * believe a store that turns out to be another's or was put back to an older state; what it refuses is told by `status`.
 */
export function gated(store: Store, keys: Keys, known: Seen): Store {
  let seen = known;
  /** The outages that there had been when it was confirmed last. */
  let confirmed: number | undefined;
  /** Watches that go on in the history that was confirmed. */
  const watches = new Set<AbortController>();
  /** Rings when it has been confirmed: whoever acts next needs what the watches bring. */
  const back = new Bell();
  let refused: { readonly since: string; readonly reason: string } | undefined;

  /** @throws Refusal when it is not ours, StoreError when it does not answer */
  const confirm = async (signal?: AbortSignal) => {
    for (;;) {
      const { outages, position = 0 } = store.status();
      if (outages === confirmed) {
        if (position > seen.position) seen = { ...seen, position };
        return;
      }
      try {
        const { generation } = seen.cluster;
        seen = await confirmCluster(store, keys, { seen, signal });
        if (seen.cluster.generation > generation) breakOff();
        refused = undefined;
        confirmed = outages;
        back.ring();
      } catch (error) {
        if (error instanceof Refusal) {
          refused = { since: new Date().toISOString(), ...refused, reason: error.message };
          breakOff();
        }
        throw error;
      }
    }
  };
  /** What follows is another history: watches begin again, with a snapshot. */
  const breakOff = () => {
    for (const watch of watches) watch.abort();
  };
  /** Also afterwards: contact may have been lost and found again on the way. */
  const around = async <T>(task: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> => {
    await confirm(signal);
    const result = await task();
    await confirm(signal);
    return result;
  };
  /** Waits until it answers. @returns whether it is ours */
  const isOurs = async (signal: AbortSignal): Promise<boolean> => {
    for await (const _ of backoff({ first: 100, most: 3_000, signal, bell: back })) {
      try {
        await confirm(signal);
        return true;
      } catch (error) {
        if (error instanceof Refusal) return false;
      }
    }
    return false;
  };

  return {
    list: (prefix, options) => around(() => store.list(prefix, options), options?.signal),
    commit: (conditions, writes, options) => around(() => store.commit(conditions, writes, options), options?.signal),
    async *watch(prefix, { signal }) {
      // One that is not ours is asked again: its admin may put that right. Until then there is nothing to see in it.
      for await (const _ of backoff({ first: 100, most: 3_000, signal, bell: back })) {
        if (!(await isOurs(signal))) continue;
        const broken = new AbortController();
        const either = AbortSignal.any([signal, broken.signal]);
        watches.add(broken);
        try {
          for await (const event of store.watch(prefix, { signal: either })) {
            if (!(await isOurs(either)) || either.aborted) break;
            yield event;
          }
        } finally {
          watches.delete(broken);
        }
        if (!broken.signal.aborted) return;
      }
    },
    async openSession(ttl) {
      await confirm();
      return await store.openSession(ttl);
    },
    status() {
      const status = store.status();
      return refused ? { ...status, failingSince: refused.since, lastError: refused.reason } : status;
    },
    close: () => store.close(),
  };
}
