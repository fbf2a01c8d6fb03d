import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatabase } from './database.ts';
import { startDatabaseThread } from './thread.ts';

function thread(text: string) {
  const head = "import { parentPort } from 'node:worker_threads';";
  return startDatabaseThread(new URL(`data:text/javascript,${encodeURIComponent(head + text)}`));
}

test('a thread that ends before its first word is told to who opens', async () => {
  await assert.rejects(openDatabase('x.db', thread('process.exit(0);')), { message: 'x.db is closed' });
  await assert.rejects(openDatabase('x.db', thread("throw new Error('no memory');")), {
    message: 'x.db: its thread failed: no memory',
  });
});

test('when a file is refused its thread is gone', async () => {
  const worker = startDatabaseThread();
  await assert.rejects(openDatabase('/', worker), /open/);
  assert.equal(worker.threadId, -1);
});

test('a thread that fails is told to who asks, and nothing else is thrown', async () => {
  const failing = `
    parentPort.once('message', () => {
      parentPort.on('message', () => { throw new Error('no space'); });
      parentPort.postMessage({ kind: 'opened' });
    });`;
  const database = await openDatabase('x.db', thread(failing));
  const asked = [1, 2].map(() => database.ask({ kind: 'list', prefix: 'a/' }));
  for (const { status } of await Promise.allSettled(asked)) assert.equal(status, 'rejected');
  await assert.rejects(database.ask({ kind: 'list', prefix: 'a/' }), { message: 'x.db: its thread failed: no space' });
  await Promise.all([database.close(), database.close()]);
});
