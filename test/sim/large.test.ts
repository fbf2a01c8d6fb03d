import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSeed } from './scenario.ts';

test('clusters of 200 hosts live through faults as small ones do', async () => {
  for (let seed = 1; seed <= 10; seed += 1)
    assert.deepEqual((await runSeed({ seed, hosts: 200 })).violations, [], `npm run sim -- --seed ${seed} --hosts 200`);
});
