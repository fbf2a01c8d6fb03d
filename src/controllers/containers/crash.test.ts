import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { builtProgram } from '../../kernel/programs.testing.ts';
import { missing, processesWith, until } from './harness.testing.ts';
import { endWorld, makeWorld, openWorld, tracesIn } from './world.testing.ts';

const daemon = fileURLToPath(new URL('./doomed-daemon.testing.ts', import.meta.url));
const nothing = { listed: [], sandboxes: [], journal: [], directories: [], sockets: [] };

/** What the next daemon finds: nothing, a container that runs, or either, as the killing and the start raced. */
type Outcome = 'nothing' | 'running' | 'either';

// The first commit of a start says that the container is made, the second that it runs.
const atCommits: readonly [string, Outcome][] = [
  ['before commit 1', 'nothing'],
  ['after commit 1', 'nothing'],
  ['before commit 2', 'running'],
  ['after commit 2', 'running'],
];
// In the place of the supervisor's program: $PPID is the daemon.
const aroundShim: readonly [string, string, Outcome][] = [
  ['before the supervisor is started', 'kill -9 $PPID', 'nothing'],
  ['while the supervisor starts', 'kill -9 $PPID; exec "$SHIM" "$@"', 'either'],
  ['when the supervisor has reported', '"$SHIM" "$@"; kill -9 $PPID; sleep 1', 'running'],
];

describe('a daemon killed during a start', { skip: missing ?? false }, () => {
  let shim: string;
  before(async () => {
    shim = await builtProgram('shim');
  });

  async function dieAndReturn(moment: string, program: string, outcome: Outcome, then = 'run'): Promise<void> {
    const directory = await makeWorld();
    const marker = `4${Math.floor(Math.random() * 1e8)}`;
    const wrapper = join(directory, 'shim');
    await writeFile(wrapper, `#!/bin/sh\nSHIM=${shim}\n${program}\n`, { mode: 0o755 });
    const child = spawn(process.execPath, [daemon, directory, wrapper, `sleep ${marker}; :`, moment, then], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, 'SIGKILL');

    const world = await openWorld(directory, shim);
    const { containers } = world;
    const [found] = containers.list();
    if (outcome !== 'either') assert.equal(found === undefined ? 'nothing' : 'running', outcome);
    if (found === undefined) {
      assert.deepEqual(await tracesIn(directory, world), nothing);
    } else {
      await until('it runs', () => containers.find('doomed').state.status === 'running');
      await until('its command runs', async () => (await processesWith(marker)) > 0);
      await containers.remove('doomed', { force: true });
    }
    // Neither the command nor a supervisor.
    await until(
      'nothing of it runs',
      async () => (await processesWith(marker)) + (await processesWith(`${directory}/`)) === 0,
    );
    assert.deepEqual(await tracesIn(directory, world), nothing);
    await endWorld(directory, world);
  }

  for (const [moment, outcome] of atCommits) {
    test(`${moment}: ${outcome} is found`, () => dieAndReturn(moment, 'exec "$SHIM" "$@"', outcome));
  }
  // After the two of the start: the end of the first life, and the start of the second, by hand.
  for (const moment of ['after commit 3', 'before commit 4', 'after commit 4']) {
    test(`one that removes itself is restarted, ${moment}: it runs again`, () =>
      dieAndReturn(moment, 'exec "$SHIM" "$@"', 'running', 'restart'));
  }
  for (const [moment, program, outcome] of aroundShim) {
    test(`${moment}: ${outcome} is found`, () => dieAndReturn('never', program, outcome));
  }
});
