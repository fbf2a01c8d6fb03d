import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feed } from './feed.ts';
import { Scope } from './scope.ts';
import { Serial } from './serial.ts';

test('a scope closes everything once, newest first, whatever fails', async () => {
  const order: number[] = [];
  const scope = new Scope();
  scope.defer(() => {
    order.push(1);
  });
  scope.defer(() => {
    order.push(2);
    throw new Error('second');
  });
  scope.defer(async () => {
    order.push(3);
  });
  const first = scope.close();
  assert.equal(scope.close(), first);
  await assert.rejects(first, /second/);
  assert.deepEqual(order, [3, 2, 1]);
});

test('tasks of one key run in order also when one fails, others do not wait for them', async () => {
  const serial = new Serial();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const slow = serial.run('a', async () => {
    await gate.promise;
    order.push('slow');
    throw new Error('slow failed');
  });
  const next = serial.run('a', async () => order.push('next'));
  await serial.run('b', async () => order.push('other'));
  gate.resolve();
  await assert.rejects(slow, /slow failed/);
  await next;
  assert.deepEqual(order, ['other', 'slow', 'next']);
});

test('a reader of a feed gets the newest value and ends with its signal', async () => {
  const feed = new Feed(1);
  const stop = new AbortController();
  const seen: number[] = [];
  for await (const value of feed.watch({ signal: stop.signal })) {
    seen.push(value);
    if (value === 1) {
      feed.set(2);
      feed.set(3);
    } else stop.abort();
  }
  assert.deepEqual(seen, [1, 3]);
});
