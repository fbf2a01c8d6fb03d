import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatReport, formatTable, median, percentile, rotated, round } from './report.ts';

test('the median lies between the two middle values', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([7]), 7);
});

test('a percentile is interpolated between ranks and does not sort its argument', () => {
  const values = Object.freeze([40, 10, 30, 20, 50]);
  assert.equal(percentile(values, 0), 10);
  assert.equal(percentile(values, 25), 20);
  assert.equal(percentile(values, 90), 46);
  assert.equal(percentile(values, 100), 50);
});

test('there is no percentile of nothing', () => {
  assert.throws(() => percentile([], 50), RangeError);
});

test('a percentile grows with its rank and stays within the values', () => {
  const values = fc.array(fc.integer({ min: 0, max: 1e6 }), { minLength: 1 });
  fc.assert(
    fc.property(values, fc.nat(100), fc.nat(100), (all, p, q) => {
      const [low, high] = [percentile(all, Math.min(p, q)), percentile(all, Math.max(p, q))];
      return Math.min(...all) <= low && low <= high && high <= Math.max(...all);
    }),
  );
});

test('a figure keeps four digits, and all of those before the point', () => {
  assert.deepEqual([12.345678, 0.987654, 12345.6, 999.97].map(round), [12.35, 0.9877, 12346, 1000]);
});

test('columns line up, whatever is missing', () => {
  const table = formatTable([
    ['load', 'raw', 'skein'],
    ['tcp_rr us', '5.1', '10.25'],
    ['udp64', '3'],
  ]);
  assert.equal(table, 'load       raw  skein\ntcp_rr us  5.1  10.25\nudp64        3');
});

test('the last line of a report is its figures', () => {
  const text = formatReport({ table: [['a', 'b']], notes: ['one said'], figures: { x: { p50: 1.5 }, y: 2 } });
  assert.deepEqual(text.split('\n'), ['a  b', '', 'one said', '', '{"x":{"p50":1.5},"y":2}', '']);
});

test('every round begins with another one', () => {
  assert.deepEqual(
    [0, 1, 2, 3].map((by) => rotated(['a', 'b', 'c'], by).join('')),
    ['abc', 'bca', 'cab', 'abc'],
  );
  assert.deepEqual(rotated([], 3), []);
});
