import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSeed } from './scenario.ts';

/** Runs of small clusters; several files have a part of them each, to be done side by side. */
export function seedsTest(first: number, last: number): void {
  test(`clusters that live through faults come to one view, lose nothing, and nothing is two hosts’ (seeds ${first} to ${last})`, async () => {
    for (let seed = first; seed <= last; seed += 1)
      assert.deepEqual((await runSeed({ seed })).violations, [], `npm run sim -- --seed ${seed}`);
  });
}
