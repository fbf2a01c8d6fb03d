import { randomUUID } from 'node:crypto';
import { backoff } from '../../../lib/backoff.ts';
import { messageOf } from '../../../lib/errors.ts';
import { Outbox } from '../outbox.ts';
import {
  type Committed,
  type Item,
  type Session,
  type Store,
  StoreError,
  type WatchEvent,
  type Write,
} from '../store.ts';
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
      if (answer.kind === 'committed') for (const watcher of watchers) offer(watcher, answer.changes);
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
  const list = async (prefix: string, signal?: AbortSignal): Promise<Snapshot> => {
    const answer = await ask({ kind: 'list', prefix }, signal);
    return answer.kind === 'listed' ? answer : { items: [], revision: 0 };
  };

  return {
    async list(prefix, { signal } = {}) {
      const { items, revision } = await list(prefix, signal);
      return { items, position: revision };
    },
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
      const watcher: Watcher = { prefix, outbox: new Outbox() };
      watchers.add(watcher);
      try {
        while (!either.aborted) {
          const snapshot = await patiently(() => list(prefix), either);
          if (snapshot) yield* eventsAfter(snapshot, watcher.outbox, either);
        }
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
      // The file is this process's alone.
      outages: 0,
    }),
    async close() {
      closed.abort();
      await database.close();
    },
  };
}

interface Snapshot {
  readonly items: readonly Item[];
  readonly revision: number;
}

/** Collects the changes of one prefix for one reader, beginning before its snapshot is read. */
interface Watcher {
  readonly prefix: string;
  readonly outbox: Outbox<Change>;
}

function offer({ prefix, outbox }: Watcher, changes: readonly Change[]): void {
  for (const change of changes) {
    const key = change.kind === 'put' ? change.item.key : change.key;
    if (prefix.endsWith('/') ? key.startsWith(prefix) : key === prefix) outbox.push(change);
  }
}

/** The snapshot and what follows it, until the reader was overrun. */
async function* eventsAfter(
  { items, revision }: Snapshot,
  outbox: Outbox<Change>,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  yield { kind: 'snapshot', items };
  for (;;) {
    const changes = await outbox.take(signal);
    if (typeof changes === 'string') return;
    for (const change of changes) {
      if (signal.aborted) return;
      if (change.revision <= revision) continue;
      yield change.kind === 'put' ? { kind: 'put', item: change.item } : { kind: 'delete', key: change.key };
    }
  }
}

async function patiently<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  for await (const _ of backoff({ first: 100, most: 2_000, signal })) {
    try {
      return await task();
    } catch {
      // The store's status tells; here it is only waited out.
    }
  }
  return undefined;
}
