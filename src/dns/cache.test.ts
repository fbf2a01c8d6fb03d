import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerCache } from './cache.ts';
import { decodeForeign } from './foreign.ts';
import { ask } from './message.testing.ts';
import { answerTo } from './upstream.testing.ts';

const answer = (ttl: number, addresses: readonly string[] = ['192.0.2.1']) =>
  decodeForeign(answerTo(ask('a.example'), { ttl, addresses }));

test('an answer is there until its time is over, with its age', () => {
  const cache = new AnswerCache(10_000);
  cache.put('a', answer(10), 1000);
  assert.equal(cache.get('a', 1000)?.age, 0);
  assert.equal(cache.get('a', 3999)?.age, 2);
  assert.equal(cache.get('a', 11_000), undefined);
  assert.equal(cache.get('b', 1000), undefined);
});

test('nothing is kept for longer than an hour, nor what is for now only or without a time', () => {
  const cache = new AnswerCache(10_000);
  cache.put('a', answer(1_000_000), 0);
  cache.put('b', answer(0), 0);
  cache.put('c', decodeForeign(answerTo(ask('a.example'), { rcode: 2 })), 0);
  assert.ok(cache.get('a', 3_599_999));
  assert.equal(cache.get('a', 3_600_000), undefined);
  assert.deepEqual([cache.get('b', 0), cache.get('c', 0)], [undefined, undefined]);
});

test('it has a size, and what was not used for longest goes', () => {
  const cache = new AnswerCache(8 * 1024);
  const key = (n: number) => `key ${n}`;
  for (let n = 0; n < 100; n++) {
    cache.put(key(n), answer(10), 0);
    assert.ok(cache.get(key(0), 0), 'what is used stays');
  }
  const left = Array.from({ length: 100 }, (_, n) => n).filter((n) => cache.get(key(n), 0));
  assert.ok(left.length > 5 && left.length < 20, `${left.length}`);
  assert.ok(left.includes(99) && !left.includes(1));
  const large = answer(
    10,
    Array.from({ length: 50 }, (_, n) => `192.0.2.${n}`),
  );
  cache.put('large', large, 0);
  assert.equal(cache.get('large', 0), undefined, 'one does not drive out many');
});
