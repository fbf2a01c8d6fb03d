import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Owner } from '../allocator.ts';
import { type Allocation, spaceOf } from './allocation.ts';
import { Shelf } from './shelf.ts';

const rest = 30;
const owner = (id: string): Owner => ({ host: 'h', id, name: id });
const space = spaceOf({ kind: 'addresses', network: 'n', range: '10.0.0.0/28', reserved: ['10.0.0.1', '10.0.0.7'] });
/** What may be chosen, in order. */
const items = Array.from({ length: 13 }, (_, i) => `10.0.0.${i + 2}`).filter((item) => item !== '10.0.0.7');

type Step =
  | { readonly kind: 'take'; readonly owner: number; readonly fails: boolean }
  | { readonly kind: 'give'; readonly item: number }
  | { readonly kind: 'remove'; readonly item: number }
  | { readonly kind: 'wait'; readonly time: number };

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('take' as const), owner: fc.nat(30), fails: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('give' as const), item: fc.nat(11) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), item: fc.nat(11) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), time: fc.nat(40) }) },
) satisfies fc.Arbitrary<Step>;

/** The rule as one would say it: slow and plain. */
class Plain {
  readonly held = new Map<string, string>();
  readonly resting = new Map<string, { former: string; free: number; order: number }>();
  order = 0;

  choice(id: string, now: number): string | undefined {
    for (const item of items) if (this.held.get(item) === id) return item;
    const former = [...this.resting].filter(([, record]) => record.former === id).map(([item]) => item);
    if (former.length > 0) return former.length === 1 ? former[0] : 'one of several';
    const free = items.find((item) => !this.held.has(item) && (this.resting.get(item)?.free ?? 0) <= now);
    if (free !== undefined) return free;
    return [...this.resting].sort(([, a], [, b]) => a.order - b.order)[0]?.[0];
  }
}

test('whatever is taken, given, removed and waited: the choice is the rule, and nothing has two holders', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const [shelf, plain] = [new Shelf(rest), new Plain()];
      shelf.reset([], 0);
      let now = 0;
      for (const one of steps) {
        now += 1;
        if (one.kind === 'wait') now += one.time;
        else if (one.kind === 'take') {
          const id = `o${one.owner}`;
          const wanted = plain.choice(id, now);
          const mine = shelf.ofOwner(space, owner(id));
          const choice = mine ? shelf.take(mine.item) : shelf.choose(space, now);
          if (wanted !== 'one of several') assert.equal(choice?.item, wanted);
          if (choice && !one.fails) {
            const holder = plain.held.get(choice.item);
            assert.ok(holder === undefined || holder === id, `${choice.item} has the holders ${holder} and ${id}`);
            shelf.put(choice.item, 'r', { kind: 'held', owner: owner(id) }, now);
            plain.held.set(choice.item, id);
            plain.resting.delete(choice.item);
          }
          if (choice) shelf.settle(choice.item);
        } else {
          const item = items[one.item] ?? '';
          const holder = plain.held.get(item);
          if (one.kind === 'remove') {
            plain.held.delete(item);
            plain.resting.delete(item);
            shelf.remove(item);
          } else if (holder !== undefined) {
            plain.held.delete(item);
            plain.resting.set(item, { former: holder, free: now + rest, order: plain.order++ });
            shelf.put(item, 'r', { kind: 'resting', released: now, former: owner(holder) }, now);
          }
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('what is on its way is not chosen again, and is the next choice when it failed', () => {
  const shelf = new Shelf(rest);
  const choices = [shelf.choose(space, 0), shelf.choose(space, 0), shelf.choose(space, 0)];
  assert.deepEqual(
    choices.map((choice) => choice?.item),
    ['10.0.0.2', '10.0.0.3', '10.0.0.4'],
  );
  shelf.settle('10.0.0.3');
  assert.equal(shelf.choose(space, 0)?.item, '10.0.0.3');
});

test('after a snapshot a rest counts by the record, but never from the future', () => {
  const shelf = new Shelf(rest);
  const resting = (released: number): Allocation => ({ kind: 'resting', released, former: owner('f') });
  shelf.reset(
    [
      ['10.0.0.2', '1', resting(1_000 - rest)],
      ['10.0.0.3', '1', resting(9_999_999)],
      ['10.0.0.4', '1', resting(980)],
    ],
    1_000,
  );
  assert.deepEqual(shelf.choose(space, 1_000), { item: '10.0.0.2', revision: '1' });
  assert.equal(shelf.choose(space, 1_009)?.item, '10.0.0.5');
  assert.equal(shelf.choose(space, 1_010)?.item, '10.0.0.4');
  assert.equal(shelf.choose(space, 1_030)?.item, '10.0.0.3');
});

test('a record that cannot be read keeps its item from being chosen until it is removed', () => {
  const shelf = new Shelf(rest);
  shelf.reset([['10.0.0.2', '1', undefined]], 0);
  assert.equal(shelf.choose(space, 0)?.item, '10.0.0.3');
  shelf.remove('10.0.0.2');
  assert.equal(shelf.choose(space, 0)?.item, '10.0.0.2');
});

test('choosing costs the same in a pool of 60 000 held addresses', () => {
  const wide = spaceOf({ kind: 'addresses', network: 'n', range: '10.0.0.0/16', reserved: [] });
  const shelf = new Shelf(rest);
  const all = Array.from({ length: 60_000 }, (_, i) => wide.format(wide.first + BigInt(i)));
  shelf.reset(
    all.map((item) => [item, '1', { kind: 'held', owner: owner(item) }]),
    0,
  );
  shelf.choose(wide, 0);
  const began = performance.now();
  for (let i = 0; i < 1_000; i++) shelf.choose(wide, 0);
  const each = (performance.now() - began) / 1_000;
  assert.ok(each < 0.1, `${each} ms each`);
});
