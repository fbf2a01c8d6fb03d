import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feed } from './feed.ts';
import { heapUsed } from './heap.testing.ts';

test('a reader of a feed keeps nothing of the values that it was woken by', async () => {
  const feed = new Feed(0);
  const stop = new AbortController();
  const values = feed.watch({ signal: stop.signal });
  const change = async (times: number) => {
    for (let i = 0; i < times; i += 1) {
      feed.set(i);
      await values.next();
    }
  };
  await change(1000);
  const before = heapUsed();
  await change(50_000);
  const kept = (heapUsed() - before) / 50_000;
  assert.ok(kept < 50, `${kept} bytes are kept of each value`);
  stop.abort();
  assert.equal((await values.next()).done, true);
});

test('a reader that waits is ended by its signal, and misses no value that was set meanwhile', async () => {
  const feed = new Feed('a');
  const stop = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const value of feed.watch({ signal: stop.signal })) {
      seen.push(value);
      if (value === 'a') feed.set('b');
    }
  })();
  while (seen.at(-1) !== 'b') await new Promise(setImmediate);
  stop.abort();
  await reading;
  assert.deepEqual(seen, ['a', 'b']);
});
