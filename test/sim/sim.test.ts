import assert from 'node:assert/strict';
import { test } from 'node:test';
import { falseAlarms, idle, newcomer, noticed, visible } from './figures.ts';
import { type Run, runSeed } from './scenario.ts';

test('a run repeats from its seed', async () => {
  const lines: string[][] = [];
  for (let n = 0; n < 2; n += 1) {
    const traced: string[] = [];
    await runSeed({ seed: 3, trace: (line) => traced.push(line) });
    lines.push(traced);
  }
  assert.ok((lines[0]?.length ?? 0) > 1_000);
  assert.deepEqual(lines[0], lines[1]);
});

test('hosts that never compare are caught', async () => {
  assert.ok(await isCaught({ loses: ['synced'] }), 'no run noticed that comparing does not work');
});

test('a host that keeps what nobody signed is caught', async () => {
  assert.ok(await isCaught({ hosts: 5, believesAll: true }), 'no run noticed that signatures are not checked');
});

async function isCaught(broken: Omit<Run, 'seed'>): Promise<boolean> {
  for (let seed = 1; seed <= 8; seed += 1) if ((await runSeed({ seed, ...broken })).violations.length > 0) return true;
  return false;
}

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
