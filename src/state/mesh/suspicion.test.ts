import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectedConfirmations, suspicionRange, suspicionTimeout } from './suspicion.ts';

test('a suspicion lasts the shorter the more confirm it, and never below the least', () => {
  const range = { least: 1_000, most: 3_000 };
  const table = [0, 1, 2, 3, 9].map((confirmations) => Math.round(suspicionTimeout(confirmations, 3, range)));
  assert.deepEqual(table, [3_000, 2_000, 1_415, 1_000, 1_000]);
});

test('where nobody else could confirm, nobody is waited for', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 100].map((hosts) => [expectedConfirmations(hosts), suspicionRange(hosts).least]),
    [
      [0, 1_000],
      [0, 1_000],
      [1, 1_000],
      [2, 1_000],
      [3, 1_000],
      [3, 2_000],
    ],
  );
  assert.equal(suspicionTimeout(0, 0, { least: 1_000, most: 3_000 }), 1_000);
});
