import { randomUUID } from 'node:crypto';
import { messageOf } from '../../../lib/errors.ts';
import { type Committed, type Session, type Store, StoreError, type WatchEvent, type Write } from '../store.ts';
import { openDatabase } from './database.ts';
import type { Change, LocalWrite, Request } from './protocol.ts';

/**
 * A store in a file of this host, for a cluster of one. Its sessions live as long as this process; opening drops the keys
 * that a former process left in its sessions.
 * @throws StoreError with a sentence that says what to do
 */
export async function openLocal(path: string): Promise<Store> {
  const database = await openDatabase(path).catch((cause: unknown) => {
    throw new StoreError(`open the local store: ${messageOf(cause)}`, { cause, retry: false });
  });
  const watchers = new Set<Watcher>();
  const sessions = new Set<string>();
  const closed = new AbortController();
  let lastAnswer: string | undefined;
  let failure: { readonly since: string; readonly error: string } | undefined;

  const ask = async (request: Request, signal?: AbortSignal) => {
    try {
      signal?.throwIfAborted();
      const answer = await database.ask(request);
      lastAnswer = new Date().toISOString();
      failure = undefined;
      if (answer.kind === 'committed') for (const watcher of watchers) watcher.push(answer.changes);
      return answer;
    } catch (cause) {
      if (!signal?.aborted) failure = { since: failure?.since ?? new Date().toISOString(), error: messageOf(cause) };
      throw new StoreError(`the local store failed: ${messageOf(cause)}`, { cause, retry: !closed.signal.aborted });
    }
  };
  const writeOf = (write: Write): LocalWrite => {
    if (write.kind === 'delete') return write;
    const { session, ...put } = write;
    if (session && !sessions.has(session.id)) {
      throw new StoreError(`the local store has no session ${session.id}`, { retry: false });
    }
    return { ...put, ...(session && { session: session.id }) };
  };
  const list = async (prefix: string, signal?: AbortSignal) => {
    const answer = await ask({ kind: 'list', prefix }, signal);
    return answer.kind === 'listed' ? answer : { items: [], revision: 0 };
  };

  return {
    list: async (prefix, { signal } = {}) => ({ items: (await list(prefix, signal)).items }),
    async commit(conditions, writes, { signal } = {}): Promise<Committed> {
      const answer = await ask(
        {
          kind: 'commit',
          conditions: conditions.map(({ key, revision }) => ({ key, revision })),
          writes: writes.map(writeOf),
        },
        signal,
      );
      return answer.kind === 'committed' ? answer.result : { done: false, items: [] };
    },
    async *watch(prefix, { signal }) {
      const either = AbortSignal.any([signal, closed.signal]);
      if (either.aborted) return;
      const watcher = new Watcher(prefix, either);
      watchers.add(watcher);
      try {
        yield* watcher.events(() => list(prefix));
      } finally {
        watchers.delete(watcher);
      }
    },
    async openSession(): Promise<Session> {
      const id = randomUUID();
      sessions.add(id);
      let closing: Promise<unknown> | undefined;
      return {
        id,
        lost: closed.signal,
        async close() {
          sessions.delete(id);
          closing ??= ask({ kind: 'end-session', session: id });
          await closing;
        },
      };
    },
    status: () => ({
      url: `local:${path}`,
      members: [{ url: path, healthy: failure === undefined }],
      ...(lastAnswer !== undefined && { lastAnswer }),
      ...(failure && { failingSince: failure.since, lastError: failure.error }),
    }),
    async close() {
      closed.abort();
      await database.close();
    },
  };
}

/** More that wait for a slow reader are forgotten, and it is sent a snapshot. */
const mostWaiting = 10_000;

/** Collects the changes of one prefix for one reader, beginning before its snapshot is read. */
class Watcher {
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  #changes: Change[] = [];
  #overrun = false;
  #wake = Promise.withResolvers<void>();

  constructor(prefix: string, signal: AbortSignal) {
    this.#prefix = prefix;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true });
  }

  push(changes: readonly Change[]): void {
    const mine = changes.filter((change) => this.#covers(change.kind === 'put' ? change.item.key : change.key));
    if (mine.length === 0) return;
    this.#changes.push(...mine);
    if (this.#changes.length > mostWaiting) {
      this.#overrun = true;
      this.#changes = [];
    }
    this.#wake.resolve();
  }

  async *events(
    list: () => Promise<{ items: readonly { key: string; value: string; revision: string }[]; revision: number }>,
  ): AsyncGenerator<WatchEvent> {
    while (!this.#signal.aborted) {
      this.#overrun = false;
      const { items, revision } = await list();
      if (this.#signal.aborted) return;
      yield { kind: 'snapshot', items };
      while (!this.#overrun && !this.#signal.aborted) {
        const changes = this.#changes;
        this.#changes = [];
        for (const change of changes) {
          if (this.#signal.aborted) return;
          if (change.revision <= revision) continue;
          yield change.kind === 'put' ? { kind: 'put', item: change.item } : { kind: 'delete', key: change.key };
        }
        if (this.#changes.length > 0 || this.#overrun || this.#signal.aborted) continue;
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
      }
    }
  }

  #covers(key: string): boolean {
    return this.#prefix.endsWith('/') ? key.startsWith(this.#prefix) : key === this.#prefix;
  }
}
