import type { Feed } from '../../lib/feed.ts';
import type { Keys } from '../../model/keys.ts';
import { lastOfKey } from './records.ts';
import type { Store } from './store.ts';

/** Which hosts are lost, by one watch of `alive/` for everything in this process. */
export interface Alive {
  /** Whether the host's sign of life is gone, as far as this host may judge: what it may not judge stays as it was. */
  isLost(host: string): boolean;
  /** Calls back with a host that was asked about and is lost now, or is not any more. @returns what ends it */
  onChange(listener: (host: string, lost: boolean) => void): () => void;
  close(): Promise<void>;
}

export interface OpenAlive {
  readonly store: Store;
  readonly keys: Keys;
  /** See `Presence.judges`. */
  readonly judges: Feed<boolean>;
}

export function openAlive({ store, keys, judges }: OpenAlive): Alive {
  const closed = new AbortController();
  const { signal } = closed;
  const listeners = new Set<(host: string, lost: boolean) => void>();
  const verdicts = new Map<string, boolean>();
  /** Undefined before the first snapshot. */
  let there: Set<string> | undefined;

  const judge = (host: string): boolean => {
    if (there?.has(host)) return false;
    return (there !== undefined && judges.value) || (verdicts.get(host) ?? false);
  };
  const review = (hosts: Iterable<string>) => {
    for (const host of [...hosts]) {
      const lost = judge(host);
      if (!verdicts.has(host) || verdicts.get(host) === lost) continue;
      verdicts.set(host, lost);
      for (const listener of listeners) listener(host, lost);
    }
  };
  const watchKeys = async () => {
    for await (const event of store.watch(keys.alive, { signal })) {
      if (event.kind === 'snapshot') {
        there = new Set(event.items.map(({ key }) => lastOfKey(key)));
        review(verdicts.keys());
        continue;
      }
      const host = lastOfKey(event.kind === 'put' ? event.item.key : event.key);
      if (event.kind === 'put') there?.add(host);
      else there?.delete(host);
      review([host]);
    }
  };
  const watchJudging = async () => {
    for await (const may of judges.watch({ signal })) if (may) review(verdicts.keys());
  };
  const watching = Promise.all([watchKeys(), watchJudging()]);
  return {
    isLost(host) {
      const lost = judge(host);
      verdicts.set(host, lost);
      return lost;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      closed.abort();
      await watching;
    },
  };
}
