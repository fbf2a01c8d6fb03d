import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { equal } from './equal.ts';

test('what is equal is what Node takes for equal', () => {
  // Few letters and numbers, so that many are equal in part.
  const value = fc.letrec<{ any: unknown }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, false, 0, 1, '', 'a', undefined),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('a', 'b', '0'), tie('any'), { noNullPrototype: true }),
    ),
  })).any;
  fc.assert(
    fc.property(value, value, (a, b) => {
      assert.equal(equal(a, b), isDeepStrictEqual(a, b));
      assert.ok(equal(a, structuredClone(a)));
    }),
    { numRuns: 2000 },
  );
});
