import type { Worker } from 'node:worker_threads';
import { messageOf } from '../../../lib/errors.ts';
import type { Answer, Answered, Asked, Opened, Request } from './protocol.ts';
import { startDatabaseThread } from './thread.ts';

/** A database file, owned by a thread of its own so that a flush to disk never stops the main loop. */
export interface Database {
  /** Answers come in the order of the requests. @throws Error */
  ask(request: Request): Promise<Exclude<Answer, { kind: 'failed' }>>;
  /** Finishes what was asked; then the file is free. May be called twice. */
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (answer: Exclude<Answer, { kind: 'failed' }>) => void;
  readonly reject: (error: Error) => void;
}

/** By a thread that was started, or by a new one. @throws Error with a sentence that says what to do */
export async function openDatabase(path: string, worker: Worker = startDatabaseThread()): Promise<Database> {
  const waiting = new Map<number, Waiting>();
  let last = 0;
  let ended: Error | undefined;
  const first = Promise.withResolvers<Opened>();
  const exited = Promise.withResolvers<void>();
  const end = (reason: Error) => {
    ended ??= reason;
    first.reject(ended);
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  };
  worker.on('error', (cause) => end(new Error(`${path}: its thread failed: ${messageOf(cause)}`, { cause })));
  worker.on('exit', () => {
    end(new Error(`${path} is closed`));
    exited.resolve();
  });
  worker.once('message', first.resolve);
  worker.postMessage(path);
  const opened = await first.promise;
  if (opened.kind === 'refused') {
    await exited.promise;
    throw new Error(opened.message);
  }
  worker.on('message', (answers: readonly Answered[]) => {
    for (const { id, answer } of answers) {
      const asker = waiting.get(id);
      waiting.delete(id);
      if (answer.kind === 'failed') asker?.reject(new Error(answer.message));
      else asker?.resolve(answer);
    }
  });

  let closing: Promise<unknown> | undefined;
  return {
    ask(request) {
      if (ended || closing) return Promise.reject(ended ?? new Error(`${path} is closed`));
      const id = ++last;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        worker.postMessage({ id, request } satisfies Asked);
      });
    },
    async close() {
      if (!closing) {
        closing = exited.promise;
        worker.postMessage(null);
      }
      await closing;
    },
  };
}
