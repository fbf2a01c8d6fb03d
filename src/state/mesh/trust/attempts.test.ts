import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Attempts } from './attempts.ts';

/** Wrong proofs that were judged when one came each `every` milliseconds for `during`, from the source that `from` says. */
function tried({ every, during, from }: { every: number; during: number; from: (n: number) => string }): number {
  const attempts = new Attempts();
  let judged = 0;
  for (let n = 0; n * every < during; n += 1) {
    if (!attempts.allows(from(n), n * every)) continue;
    attempts.failed(from(n), n * every);
    judged += 1;
  }
  return judged;
}

const hour = 3_600_000;

test('one source tries five wrong tokens, and then five a minute', () => {
  assert.equal(tried({ every: 1, during: 1000, from: () => 'a' }), 5);
  const judged = tried({ every: 100, during: hour, from: () => 'a' });
  assert.ok(judged >= 300 && judged <= 310, `${judged}`);
});

test('many sources together try a hundred a minute', () => {
  const judged = tried({ every: 10, during: hour, from: (n) => `${n}` });
  assert.ok(judged >= 6000 && judged <= 6100, `${judged}`);
});

test('who tries too often is heard again a minute later, and others are not held up by it', () => {
  const attempts = new Attempts();
  for (let n = 0; n < 5; n += 1) attempts.failed('a', 0);
  assert.equal(attempts.allows('a', 1000), false);
  assert.equal(attempts.allows('b', 1000), true);
  assert.equal(attempts.allows('a', 60_000), true);
});

test('good proofs are not counted', () => {
  const attempts = new Attempts();
  for (let n = 0; n < 1000; n += 1) assert.ok(attempts.allows('a', 0));
});
