import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { contentAfter, type Held, held, nothing, type Update, updateSince } from './content.ts';
import { buckets, Marks } from './marks.ts';
import { type Json, limits } from './sheets.ts';

const seal = { hash: (text: string) => createHash('sha256').update(text).digest('hex') };
const owner = 'a'.repeat(32);

type Edit = readonly (readonly [key: string, value: number | null])[];
const edits = fc.array(
  fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.option(fc.nat(3))), { minLength: 1, maxLength: 4 }),
  { minLength: 1, maxLength: 60 },
);

function after(before: Held | undefined, edit: Edit, seq: number): Held {
  const changes = new Map(edit);
  const put = [...changes].flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]));
  const gone = [...changes].flatMap(([key, value]) => (value === null ? [key] : []));
  const content = contentAfter(before ?? nothing, { put, gone }, seal);
  assert.ok(content);
  const head = { owner, scope: 'catalog', version: [1, seq], digest: content.digest, signature: '' } as const;
  return held(head, content, before, [...changes.keys()]);
}

function apply(at: Held | undefined, update: Update): string | undefined {
  return contentAfter((update.base && at) ?? nothing, update, seal)?.digest;
}

test('who holds any earlier state comes to the latest by one update', () => {
  fc.assert(
    fc.property(edits, fc.nat(59), (all, at) => {
      const states: Held[] = [];
      for (const [n, edit] of all.entries()) states.push(after(states.at(-1), edit, n + 1));
      const latest = states.at(-1);
      const from = states[at % states.length];
      assert.ok(latest && from);
      assert.equal(apply(from, updateSince(latest, from.head)), latest.head.digest);
      assert.equal(apply(undefined, updateSince(latest, undefined)), latest.head.digest);
    }),
    { numRuns: 200 },
  );
});

test('an update says what changed only, as long as that is known', () => {
  let sheet = after(undefined, [['a', 1]], 1);
  const first = sheet.head;
  sheet = after(sheet, [['b', 2]], 2);
  sheet = after(sheet, [['c', 3]], 3);
  assert.deepEqual(updateSince(sheet, first).put, [
    ['b', 2],
    ['c', 3],
  ]);
  for (let n = 4; n < 50; n += 1) sheet = after(sheet, [['d', n]], n);
  const update = updateSince(sheet, first);
  assert.deepEqual([update.base, update.put.length], [undefined, 4]);
});

test('the digest does not depend on the order of keys, and on everything else', () => {
  const digest = (entries: readonly (readonly [string, Json])[]) =>
    contentAfter(nothing, { put: entries, gone: [] }, seal)?.digest;
  const one = digest([
    ['a', { x: 1, y: [1, 2] }],
    ['b', null],
  ]);
  const other = digest([
    ['b', null],
    ['a', { y: [1, 2], x: 1 }],
  ]);
  assert.equal(one, other);
  for (const entries of [
    [
      ['a', { x: 1, y: [2, 1] }],
      ['b', null],
    ],
    [['a', { x: 1, y: [1, 2] }]],
    [['a","b', 1]],
  ] as const)
    assert.notEqual(digest(entries), one);
});

test('a sheet that is too long is none', () => {
  const put = Array.from({ length: 40 }, (_, n) => [`k${n}`, 'x'.repeat(limits.value - 2)] as const);
  assert.equal(contentAfter(nothing, { put, gone: [] }, seal), undefined);
});

test('marks are equal where the same is held, whatever came first, and show which buckets differ', () => {
  const marks = Array.from({ length: 300 }, (_, n) => {
    const id = n.toString(16).padStart(32, '0');
    return { owner: id, scope: 'ring', version: [1, n], digest: seal.hash(id) } as const;
  });
  const [one, other] = [new Marks(seal), new Marks(seal)];
  for (const mark of marks) one.put(mark);
  for (const mark of marks.toReversed()) other.put(mark);
  assert.equal(one.root(), other.root());
  const [first] = marks;
  assert.ok(first);
  other.put({ ...first, version: [2, 1] });
  assert.notEqual(one.root(), other.root());
  const differing = one.differing(other.hashes());
  assert.equal(differing.length, 1);
  assert.ok(one.within(differing[0] ?? buckets).some((mark) => mark.owner === first.owner));
  one.delete(first);
  other.delete(first);
  assert.equal(one.root(), other.root());
});
