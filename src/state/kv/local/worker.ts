import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { messageOf } from '../../../lib/errors.ts';
import type { Answered, Asked, Opened } from './protocol.ts';
import { Tables } from './tables.ts';

/**
 * The thread that owns the database file. Messages come from `database.ts` only: the first is the file's path, `null`
 * ends it.
 */
function serve(port: NonNullable<typeof parentPort>, path: string): void {
  const say = (opened: Opened) => port.postMessage(opened);
  let tables: Tables;
  try {
    tables = new Tables(path);
  } catch (error) {
    say({ kind: 'refused', message: messageOf(error) });
    port.close();
    return;
  }
  port.on('message', (first: Asked | null) => {
    const batch = [first];
    for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port)) batch.push(more.message);
    const asked = batch.filter((message) => message !== null);
    const answers = tables.run(asked.map(({ request }) => request));
    port.postMessage(
      asked.flatMap(({ id }, i): Answered[] => {
        const answer = answers[i];
        return answer ? [{ id, answer }] : [];
      }),
    );
    if (asked.length === batch.length) return;
    tables.close();
    port.close();
  });
  say({ kind: 'opened' });
}

const port = parentPort;
port?.once('message', (path: string) => serve(port, path));
