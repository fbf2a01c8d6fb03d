import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outlivesReboot, pauseAfter } from './restart.ts';

const always = { restart: { name: 'always', most: 0 }, restarts: 0, stopped: false } as const;

test('pauses double from 100 ms to a minute, and begin anew after a life of 10 s', () => {
  const pauses: (number | undefined)[] = [];
  let paused: number | undefined;
  for (let i = 0; i < 12; i += 1) {
    paused = pauseAfter(always, { exitCode: 0, ran: 5, paused });
    pauses.push(paused);
  }
  assert.deepEqual(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
  assert.equal(pauseAfter(always, { exitCode: 0, ran: 10_000, paused }), 100);
});

test('who lives again is said by the policy, the exit code, and whether it was ended by hand', () => {
  const table: [Parameters<typeof pauseAfter>[0], number, boolean][] = [
    [{ ...always, restart: { name: 'no', most: 0 } }, 1, false],
    [{ ...always, restart: { name: 'on-failure', most: 0 } }, 0, false],
    [{ ...always, restart: { name: 'on-failure', most: 0 }, restarts: 99 }, 1, true],
    [{ ...always, restart: { name: 'on-failure', most: 2 }, restarts: 1 }, 1, true],
    [{ ...always, restart: { name: 'on-failure', most: 2 }, restarts: 2 }, 1, false],
    [always, 0, true],
    [{ ...always, stopped: true }, 1, false],
    [{ ...always, restart: { name: 'unless-stopped', most: 0 } }, 0, true],
    [{ ...always, restart: { name: 'unless-stopped', most: 0 }, stopped: true }, 137, false],
  ];
  for (const [policy, exitCode, again] of table) {
    assert.equal(pauseAfter(policy, { exitCode, ran: 0 }) !== undefined, again, JSON.stringify([policy, exitCode]));
  }
});

test('a reboot is a failure for what ran, and nothing for what had ended', () => {
  const running = { status: 'running', pid: 1, started: '2026-01-01T00:00:00.000Z' } as const;
  const unless = { ...always, restart: { name: 'unless-stopped', most: 0 } } as const;
  assert.equal(outlivesReboot({ ...unless, state: running }), true);
  assert.equal(outlivesReboot({ ...unless, stopped: true, state: running }), false);
  assert.equal(outlivesReboot({ ...always, restart: { name: 'no', most: 0 }, state: running }), false);
  assert.equal(
    outlivesReboot({ ...unless, state: { ...running, status: 'exited', exitCode: 1, finished: running.started } }),
    false,
  );
});
