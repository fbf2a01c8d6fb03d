import type { Worker } from 'node:worker_threads';
import { messageOf } from '../../../lib/errors.ts';
import { longestRecord } from '../../../model/record.ts';
import { type Journal, JournalError } from '../../journal.ts';
import { openDatabase } from './database.ts';

/** This host's journal in the file at `path`, which is made when it is not there. @throws JournalError */
export async function openJournal(path: string, thread?: Worker): Promise<Journal> {
  const database = await told(openDatabase(path, thread));
  return {
    async load(kind) {
      const answer = await told(database.ask({ kind: 'load', of: kind }));
      return answer.kind === 'loaded' ? answer.entries : [];
    },
    async commit(changes) {
      const long = changes.find(
        (change) => 'put' in change && (JSON.stringify(change.put) ?? '').length > longestRecord,
      );
      if (long)
        throw new JournalError(`${path}: the ${long.kind} ${long.id} is longer than ${longestRecord} characters`);
      await told(database.ask({ kind: 'journal', changes }));
    },
    close: () => database.close(),
  };
}

async function told<T>(task: Promise<T>): Promise<T> {
  try {
    return await task;
  } catch (cause) {
    throw new JournalError(messageOf(cause), { cause });
  }
}
