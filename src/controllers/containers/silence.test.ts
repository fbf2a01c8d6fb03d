import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterEach, before, beforeEach, describe, test } from 'node:test';
import { builtProgram } from '../../kernel/programs.testing.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Container } from '../../model/container.ts';
import type { RunSpec } from './containers.ts';
import { missing, supervisorOf, textsOf, until } from './harness.testing.ts';
import { endWorld, makeWorld, openWorld, shell, type World } from './world.testing.ts';

const never = new AbortController().signal;

/** A supervisor that is stopped stands for one in a frozen cgroup, or one that waits for its disk. */
describe('a supervisor that lives and does not answer', { skip: missing ?? false }, () => {
  let shim: string;
  let directory: string;
  let world: World;
  let stopped: number[];

  before(async () => {
    shim = await builtProgram('shim');
  });
  beforeEach(async () => {
    stopped = [];
    directory = await makeWorld();
    world = await openWorld(directory, shim);
  });
  afterEach(async () => {
    for (const pid of stopped) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGCONT');
    await endWorld(directory, world);
  });

  async function run(
    script: string,
    more: Partial<RunSpec> = {},
  ): Promise<{ id: string; pid: number; shimPid: number }> {
    const { id, state } = await world.containers.run(shell(script, more));
    assert.ok(state.status === 'running');
    return { id, pid: state.pid, shimPid: supervisorOf(state.pid) };
  }

  function stop(pid: number): void {
    stopped.push(pid);
    process.kill(pid, 'SIGSTOP');
  }

  async function restart(): Promise<void> {
    await world.containers.close();
    const begun = performance.now();
    world = await openWorld(directory, shim);
    assert.ok(performance.now() - begun < 6_000, 'the start of the daemon waits for nobody for long');
  }

  const find = (id: string): Container => world.containers.find(id);
  const output = async (id: string) =>
    (await textsOf(world.containers.streams.output(id, { follow: false, signal: never }))).stdout;

  function unavailable(id: string) {
    return (error: unknown) => {
      assert.ok(error instanceof Refusal, String(error));
      assert.equal(error.kind, 'unavailable');
      assert.match(error.message, new RegExp(`the supervisor of ${id} lives and does not answer`));
      return true;
    };
  }

  test('fails what is asked of it, naming it; its container lives, over a restart too, and what was asked is done later', async () => {
    const { id, pid, shimPid } = await run(
      'trap "echo usr1" USR1; echo up; while :; do read word && echo $word; done',
      {
        interactive: true,
      },
    );
    await until('up', async () => (await output(id)) === 'up\n');
    stop(shimPid);
    const { streams } = world.containers;
    const input = streams.input(id);
    const failed = new Promise((resolve) => input.once('error', resolve));
    await Promise.all([
      assert.rejects(world.containers.kill(id, 'USR1'), unavailable(id)),
      assert.rejects(streams.resize(id, { rows: 1, columns: 1 }), unavailable(id)),
      failed.then(unavailable(id)),
    ]);
    assert.equal(find(id).state.status, 'running');
    await restart();
    assert.deepEqual(find(id).state, { ...find(id).state, status: 'running', pid });
    assert.equal(await output(id), 'up\n');
    process.kill(shimPid, 'SIGCONT');
    await until('the signal has arrived', async () => (await output(id)) === 'up\nusr1\n');
    world.containers.streams.input(id).write('typed\n');
    await until('it has been typed', async () => (await output(id)).endsWith('typed\n'));
    await world.containers.kill(id, 'KILL');
    assert.equal(await world.containers.streams.wait(id, { signal: never }), 137);
  });

  test('of a start that was cut off is waited for: it is made until it is known to run', async () => {
    const { id, shimPid } = await run('sleep 1000');
    const running = find(id);
    stop(shimPid);
    await world.containers.close();
    await world.journal.commit([{ kind: 'container', id, put: { ...running, state: { status: 'created' } } }]);
    await restart();
    assert.equal(find(id).state.status, 'created');
    process.kill(shimPid, 'SIGCONT');
    await until('it is known to run', () => find(id).state.status === 'running');
    assert.deepEqual(find(id), running);
  });

  test('is not dead either when so many call that no more can', async () => {
    const { id, shimPid } = await run('sleep 1000');
    stop(shimPid);
    const control = join(directory, 'run', `${id.slice(0, 12)}.sock`);
    const crowd = Array.from({ length: 60 }, () =>
      createConnection(control)
        .on('error', () => undefined)
        .resume(),
    );
    await until('some cannot call', () => crowd.some(({ destroyed }) => destroyed));
    await restart();
    assert.equal(find(id).state.status, 'running');
    process.kill(shimPid, 'SIGCONT');
    for (const each of crowd) each.destroy();
    await world.containers.kill(id, 'KILL');
    assert.equal(await world.containers.streams.wait(id, { signal: never }), 137);
  });

  test('is found dead when it dies so', async () => {
    const { id, shimPid } = await run('sleep 1000');
    stop(shimPid);
    await restart();
    process.kill(shimPid, 'SIGKILL');
    assert.equal(await world.containers.streams.wait(id, { signal: never }), 137);
    assert.deepEqual(world.endpoints.sandboxes(), []);
  });
});
