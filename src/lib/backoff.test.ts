import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bell, backoff } from './backoff.ts';

test('a pause ends when the bell rings, and the next one does not', async () => {
  const bell = new Bell();
  const over = new AbortController();
  const attempts: number[] = [];
  const done = (async () => {
    for await (const attempt of backoff({ first: 3_600_000, most: 3_600_000, signal: over.signal, bell })) {
      attempts.push(attempt);
    }
  })();
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  await turn();
  assert.deepEqual(attempts, [0]);
  bell.ring();
  await turn();
  await turn();
  assert.deepEqual(attempts, [0, 1]);
  over.abort();
  await done;
  assert.deepEqual(attempts, [0, 1]);
});
