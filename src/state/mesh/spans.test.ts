import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Spans } from './spans.ts';

const most = 40;

test('spans answer for each number what was set last, stay apart and in order, and equal neighbours are one', () => {
  const step = fc.record({
    first: fc.nat(most),
    length: fc.nat(12),
    value: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const spans = new Spans<string>((a, b) => a === b);
      const plain = new Map<number, string | undefined>();
      for (const { first, length, value } of steps) {
        spans.set(BigInt(first), BigInt(first + length), value);
        for (let n = first; n <= first + length; n++) plain.set(n, value);
      }
      for (let n = 0; n <= most + 12; n++) assert.equal(spans.at(BigInt(n))?.value, plain.get(n));
      const list = [...spans];
      for (const [i, span] of list.entries()) {
        assert.ok(span.first <= span.last);
        const before = list[i - 1];
        if (before === undefined) continue;
        assert.ok(before.last < span.first);
        assert.ok(before.last + 1n < span.first || before.value !== span.value);
      }
      const [from, to] = [10n, 30n];
      const inside = Array.from({ length: 21 }, (_, i) => plain.get(10 + i));
      assert.equal(
        spans.covered(from, to, (value) => value === 'a'),
        inside.every((value) => value === 'a'),
      );
      const count = spans.within(from, to).reduce((sum, { first, last }) => sum + Number(last - first) + 1, 0);
      assert.equal(count, inside.filter((value) => value !== undefined).length);
    }),
    { numRuns: 300 },
  );
});
