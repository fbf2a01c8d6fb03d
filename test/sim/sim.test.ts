import assert from 'node:assert/strict';
import { test } from 'node:test';
import { falseAlarms, idle, newcomer, noticed, visible } from './figures.ts';
import { runSeed } from './scenario.ts';

test('clusters that live through faults come to one view, lose nothing and take nothing unsigned', () => {
  for (let seed = 1; seed <= 150; seed += 1)
    assert.deepEqual(runSeed({ seed }).violations, [], `npm run sim -- --seed ${seed}`);
});

test('large clusters do too', () => {
  assert.deepEqual(runSeed({ seed: 1_001, hosts: 40 }).violations, [], 'npm run sim -- --seed 1001 --hosts 40');
});

test('a run repeats from its seed', () => {
  const lines = [0, 1].map(() => {
    const traced: string[] = [];
    runSeed({ seed: 3, trace: (line) => traced.push(line) });
    return traced;
  });
  assert.ok((lines[0]?.length ?? 0) > 1_000);
  assert.deepEqual(lines[0], lines[1]);
});

test('hosts that never compare are caught', () => {
  const caught = [1, 2, 3, 4, 5, 6, 7, 8].filter((seed) => runSeed({ seed, loses: ['synced'] }).violations.length > 0);
  assert.ok(caught.length > 0, 'no run noticed that comparing does not work');
});

test('a host that keeps what nobody signed is caught', () => {
  const caught = [1, 2, 3, 4, 5, 6, 7, 8].filter(
    (seed) => runSeed({ seed, hosts: 5, believesAll: true }).violations.length > 0,
  );
  assert.ok(caught.length > 0, 'no run noticed that signatures are not checked');
});

test('what one says is seen by 25 hosts within 300 ms, though some die and come back', () => {
  const { p99 } = visible(21, 25, 100);
  assert.ok(p99 <= 300, `${p99.toFixed(0)} ms`);
});

test('a dead host is noticed within 3 s by 5 hosts', () => {
  const took = Array.from({ length: 30 }, (_, seed) => noticed(seed, 5) ?? Number.POSITIVE_INFINITY);
  const late = took.filter((ms) => ms > 3_000);
  assert.ok(late.length <= 1, `${took.join(' ')} ms`);
});

test('an hour in which 5 % of the packets are lost makes nobody lost', () => {
  assert.equal(falseAlarms(22, 5, 60, 0.05).lost, 0);
});

test('hosts with nothing to say keep quiet', () => {
  const { most } = idle(23, 40);
  assert.ok(most <= 2_000, `${most.toFixed(0)} bytes a second`);
});

test('a newcomer holds everything within 2 s', () => {
  assert.ok((newcomer(24, 30, 100) ?? Number.POSITIVE_INFINITY) <= 2_000);
});
