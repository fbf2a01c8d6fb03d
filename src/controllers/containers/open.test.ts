import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { builtProgram } from '../../kernel/programs.testing.ts';
import { Refusal, type RefusalKind } from '../../lib/errors.ts';
import { silent } from '../../lib/log.ts';
import { Scope } from '../../lib/scope.ts';
import type { Container } from '../../model/container.ts';
import { CommandFailed, type Containers, type RunSpec } from './containers.ts';
import {
  MemoryEndpoints,
  memoryJournal,
  missing,
  placeOf,
  processesWith,
  split,
  supervisorOf,
  textsOf,
  until,
} from './harness.testing.ts';
import { openContainers } from './open.ts';
import { formatShimSpec } from './shim-spec.ts';

const plain = { aliases: [], env: [], interactive: false, tty: false, remove: false } as const;
const shell = (script: string, more: Partial<RunSpec> = {}): RunSpec => ({
  ...plain,
  command: ['sh', '-c', script],
  ...more,
});
const never = new AbortController().signal;
const all = { follow: true, signal: never } as const;

function refusal(kind: RefusalKind, message: RegExp | string) {
  return (error: unknown) => {
    assert.ok(error instanceof Refusal, String(error));
    assert.equal(error.kind, kind);
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  };
}

describe('containers', { skip: missing ?? false }, () => {
  let shim: string;
  let scope: Scope;
  let directory: string;
  let endpoints: MemoryEndpoints;
  let journal: ReturnType<typeof memoryJournal>;
  let containers: Containers;
  let late: number;

  /** As the daemon is started; what an earlier one had is let go of first. */
  async function open(): Promise<void> {
    const opened = await openContainers(
      { endpoints, journal, log: silent, now: () => Date.now() + late },
      {
        directory: join(directory, 'state'),
        controls: join(directory, 'run'),
        shim,
        resolvConfs: [join(directory, 'resolv.conf')],
        nameServers: { 4: '169.254.53.53', 6: 'fd53::53' },
      },
    );
    scope.defer(() => opened.close());
    containers = opened;
  }

  async function restart(): Promise<void> {
    await scope.close();
    scope = new Scope();
    await open();
  }

  const run = (script: string, more: Partial<RunSpec> = {}) => containers.run(shell(script, more));
  const wait = (id: string) => containers.streams.wait(id, { signal: never });
  const output = (id: string, more: object = {}) => textsOf(containers.streams.output(id, { ...all, ...more }));
  const directories = () => readdir(join(directory, 'state'));

  before(async () => {
    shim = await builtProgram('shim');
  });
  beforeEach(async () => {
    late = 0;
    scope = new Scope();
    directory = await mkdtemp(join(tmpdir(), 'skein-o-'));
    await writeFile(join(directory, 'resolv.conf'), 'nameserver 127.0.0.53\nnameserver 192.0.2.53\n');
    endpoints = new MemoryEndpoints();
    journal = memoryJournal();
    await open();
  });
  afterEach(async () => {
    for (const { id } of containers.list()) await containers.remove(id, { force: true });
    await scope.close();
    for (const { id } of endpoints.sandboxes()) await endpoints.closeSandbox(id);
    await rm(directory, { recursive: true, force: true });
  });
  after(async () => assert.equal(await processesWith('skein-o-'), 0));

  test('one that runs is listed, has its sandbox, its files and its environment, and leaves its code and output', async () => {
    const made = await run(
      'hostname; echo $HOSTNAME $HOME $A; cat /etc/resolv.conf; tail -1 /etc/hosts; echo err >&2; exit 3',
      { name: 'test1', env: ['A=b'] },
    );
    assert.equal(made.state.status, 'running');
    assert.equal(made.name, 'test1');
    assert.equal(made.hostname, made.id.slice(0, 12));
    assert.equal(await wait('test1'), 3);
    const host = made.hostname;
    assert.deepEqual(await output('test1'), {
      stdout: `${host}\n${host} /root b\nnameserver 192.0.2.53\n172.18.0.2\t${host}\n`,
      stderr: 'err\n',
      note: '',
    });
    const ended = containers.find(made.id.slice(0, 6));
    assert.ok(ended.state.status === 'exited');
    assert.equal(ended.state.exitCode, 3);
    assert.deepEqual(endpoints.sandboxes(), []);
    assert.deepEqual(await containers.remove('test1', { force: false }), ended);
    assert.deepEqual(containers.list(), []);
    assert.deepEqual(await directories(), []);
    assert.deepEqual(await journal.load('container'), []);
    assert.throws(() => containers.find('test1'), refusal('not-found', /test1/));
  });

  test('a resolv.conf follows the networks of its container while it runs, unless its user has changed it', async () => {
    const { id, sandbox } = await run('sleep 1000', {
      name: 'web',
      dns: { servers: ['192.0.2.9'], search: ['a'], options: [] },
    });
    const file = async (script: string) => {
      const execution = await containers.streams.exec(id, { ...shell(script), tty: false });
      await wait(execution);
      return (await output(execution)).stdout;
    };
    const place = (...addresses: string[]) =>
      endpoints.place(sandbox, new Map(addresses.map((address) => [address, placeOf(address)])));
    const off = 'nameserver 192.0.2.9\nsearch a\n';
    const on = (server: string) => `nameserver ${server}\nsearch a\noptions ndots:0\n`;
    assert.equal(await file('cat /etc/resolv.conf'), off);
    place('fd00::2/64');
    await containers.refresh(id);
    assert.equal(await file('cat /etc/resolv.conf'), on('fd53::53'));
    place('fd00::2/64', '10.0.0.2/24');
    await restart();
    await containers.refresh(id);
    assert.equal(await file('cat /etc/resolv.conf'), on('169.254.53.53'));
    place();
    await containers.refresh(id);
    assert.equal(await file('cat /etc/resolv.conf; echo nameserver 192.0.2.10 > /etc/resolv.conf'), off);
    place('10.0.0.2/24');
    await containers.refresh(id);
    assert.equal(await file('cat /etc/resolv.conf'), 'nameserver 192.0.2.10\n');
    assert.deepEqual(containers.find('web').dns, { servers: ['192.0.2.9'], search: ['a'], options: [] });
    assert.deepEqual(endpoints.asked[0]?.dns, ['192.0.2.9']);
    await containers.refresh('f'.repeat(64));
  });

  test("a name is one container's, also while that is being made or has ended", async () => {
    const runs = await Promise.allSettled([run('sleep 1000', { name: 'test1' }), run('sleep 1000', { name: 'test1' })]);
    const [won] = runs.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const [lost] = runs.flatMap((each): unknown[] => (each.status === 'rejected' ? [each.reason] : []));
    assert.ok(won);
    const sentence = (id: string) =>
      `Conflict. The container name "/test1" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`;
    refusal('conflict', sentence(won.id))(lost);
    await containers.kill('test1', 'KILL');
    assert.equal(await wait('test1'), 137);
    await assert.rejects(run('true', { name: 'test1' }), refusal('conflict', sentence(won.id)));
    await containers.remove('test1', { force: false });
    await run('true', { name: 'test1' });
  });

  test('nothing is left of what cannot be started, and the reason is told as it stands', async () => {
    const attempts: readonly [() => Promise<unknown>, (error: unknown) => boolean][] = [
      [
        () => containers.run({ ...plain, command: ['nope'] }),
        (error) => error instanceof CommandFailed && error.exitCode === 127,
      ],
      [
        () => containers.run({ ...plain, command: ['/etc'] }),
        (error) => error instanceof CommandFailed && error.exitCode === 126,
      ],
      [
        () => run('true', { network: 'taken', name: 'test1' }),
        refusal('forbidden', 'service endpoint with name test1 already exists'),
      ],
      [() => run('true', { rootfs: '/nowhere' }), refusal('invalid', /\/nowhere/)],
    ];
    for (const [attempt, right] of attempts) await assert.rejects(attempt(), right);
    assert.deepEqual(containers.list(), []);
    assert.deepEqual(endpoints.sandboxes(), []);
    assert.deepEqual(await directories(), []);
    assert.deepEqual(await readdir(join(directory, 'run')), []);
    assert.deepEqual(await journal.load('container'), []);
  });

  test('what runs can be killed and removed by force only, what has ended neither killed nor entered', async () => {
    const { id } = await run('sleep 1000', { name: 'busy' });
    await assert.rejects(
      containers.remove('busy', { force: false }),
      refusal('conflict', /container "\/busy": container is running/),
    );
    await assert.rejects(containers.kill('busy', 'NOPE'), refusal('invalid', 'invalid signal: NOPE'));
    await containers.kill('busy', 'SIGKILL');
    assert.equal(await wait('busy'), 137);
    await assert.rejects(
      containers.kill('busy', 'SIGKILL'),
      refusal('conflict', `cannot kill container: container ${id} is not running`),
    );
    await assert.rejects(
      containers.streams.exec('busy', { ...plain, command: ['true'] }),
      refusal('conflict', /is not running/),
    );
    assert.throws(() => containers.streams.input('busy'), refusal('conflict', /is not running/));
    await run('sleep 1000', { name: 'busier' });
    const removed = await containers.remove('busier', { force: true });
    assert.equal(removed.state.status, 'exited');
    assert.deepEqual(endpoints.sandboxes(), []);
    await assert.rejects(containers.remove('busier', { force: true }), refusal('not-found', /busier/));
  });

  test('one that removes itself is in no list, its name is free, and its output can be read for a while', async () => {
    const { id } = await run('echo last words', { name: 'brief', remove: true });
    assert.equal(await wait(id), 0);
    assert.deepEqual(containers.list(), []);
    await run('true', { name: 'brief' });
    assert.equal((await output(id)).stdout, 'last words\n');
    assert.equal(await wait(id), 0);
    await restart();
    assert.equal((await output(id)).stdout, 'last words\n');
    assert.throws(() => containers.streams.output('0'.repeat(64), all), refusal('not-found', /0000/));
  });

  test('one that removes itself stays when it is restarted, and goes with its next end', async () => {
    const { id } = await run('exec sleep 1000', { name: 'again', remove: true });
    await containers.restart(id, { seconds: 0 });
    const { name, state } = containers.find(id);
    assert.deepEqual([name, state.status], ['again', 'running']);
    await containers.stop(id, { seconds: 0 });
    assert.deepEqual(containers.list(), []);
    const program = join(directory, 'sleep');
    await cp('/bin/sleep', program);
    const vain = await containers.run({ ...plain, command: [program, '1000'], name: 'vain', remove: true });
    await rm(program);
    await assert.rejects(containers.restart(vain.id, { seconds: 0 }), CommandFailed);
    assert.deepEqual(containers.list(), []);
    // No later daemon starts it either.
    await restart();
    assert.deepEqual(containers.list(), []);
  });

  test('output is followed to the last byte, cut to the last lines, and taken up at an offset', async () => {
    const { id } = await run('for i in 1 2 3; do echo $i; sleep 0.1; done; printf end');
    assert.equal((await output(id)).stdout, '1\n2\n3\nend');
    assert.equal((await output(id, { tail: 2 })).stdout, '3\nend');
    assert.equal((await output(id, { tail: 0 })).stdout, '');
    assert.equal((await output(id, { tail: 100, follow: false })).stdout, '1\n2\n3\nend');
    const whole = await containers.streams.output(id, all).toArray();
    const bytes = Buffer.concat(whole);
    for (const offset of [0, 1, 17, 18, 40, bytes.length, bytes.length + 5]) {
      const rest = Buffer.concat(await containers.streams.output(id, { ...all, offset }).toArray());
      assert.deepEqual(rest, bytes.subarray(offset));
    }
    const busy = await run('echo up; sleep 1000', { name: 'busy' });
    const stop = new AbortController();
    const chunks: Uint8Array[] = [];
    for await (const chunk of containers.streams.output(busy.id, { follow: true, signal: stop.signal })) {
      chunks.push(chunk);
      stop.abort();
    }
    assert.equal(split(Buffer.concat(chunks)).stdout, 'up\n');
    await assert.rejects(containers.streams.wait(busy.id, { signal: stop.signal }), { name: 'AbortError' });
  });

  test('an exec has input, output and a code of its own, and the environment of its container', async () => {
    const { id } = await run('sleep 1000', { env: ['A=1', 'B=2'] });
    const exec = await containers.streams.exec(id, {
      command: ['sh', '-c', 'echo $A$B$HOSTNAME; cat; exit 4'],
      env: ['B=3'],
      interactive: true,
      tty: false,
    });
    containers.streams.input(exec).end('typed\n');
    assert.equal((await output(exec)).stdout, `13${id.slice(0, 12)}\ntyped\n`);
    assert.equal(await wait(exec), 4);
    await assert.rejects(containers.streams.exec(id, { ...plain, command: ['nope'] }), CommandFailed);
    assert.deepEqual(await readdir(join(directory, 'state', id, 'exec')), [exec]);
    await assert.rejects(
      containers.streams.resize(exec, { rows: 1, columns: 1 }),
      refusal('conflict', /is not running/),
    );
    await assert.rejects(
      containers.streams.resize(id, { rows: 1, columns: 1 }),
      refusal('conflict', /has no terminal/),
    );
    await assert.rejects(containers.streams.resize(id, { rows: -1, columns: 1 }), refusal('invalid', /-1 rows/));
  });

  test('a restart loses nothing: what runs is adopted, what ended meanwhile has its code, all have their output', async () => {
    const runner = await run('i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done', { name: 'runner' });
    const short = await run('sleep 0.2; echo done; exit 7', { name: 'short' });
    const exec = await containers.streams.exec('runner', {
      ...plain,
      command: ['sh', '-c', 'echo from exec; sleep 0.2; exit 8'],
    });
    const before = containers.find('runner');
    await scope.close();
    await until('the short one has ended', () => existsSync(join(directory, 'state', short.id, 'exit')));
    await until('the exec has ended', () => existsSync(join(directory, 'state', runner.id, 'exec', exec, 'exit')));
    assert.equal(endpoints.sandboxes().length, 2);
    await restart();
    assert.equal(await wait('short'), 7);
    assert.equal((await output('short')).stdout, 'done\n');
    assert.equal(await wait(exec), 8);
    assert.equal((await output(exec)).stdout, 'from exec\n');
    assert.deepEqual(containers.find('runner'), before);
    assert.equal(endpoints.sandboxes().length, 1);
    await containers.kill('runner', 'KILL');
    assert.equal(await wait('runner'), 137);
    const numbers = (await output('runner')).stdout.trim().split('\n').map(Number);
    assert.deepEqual(
      numbers,
      Array.from(numbers, (_, index) => index + 1),
    );
  });

  test('a container whose supervisor is killed is ended with 137 and leaves its sandbox, before or after a restart', async () => {
    const killSupervisor = ({ state }: Container) => {
      assert.ok(state.status === 'running');
      process.kill(supervisorOf(state.pid), 'SIGKILL');
    };
    const one = await run('echo one; sleep 1000', { name: 'one' });
    killSupervisor(one);
    assert.equal(await wait('one'), 137);
    const two = await run('echo two; sleep 1000', { name: 'two' });
    await until('its word is in the log', async () => (await output('two', { follow: false })).stdout !== '');
    await scope.close();
    killSupervisor(two);
    await restart();
    assert.equal(await wait('two'), 137);
    assert.equal((await output('two')).stdout, 'two\n');
    assert.deepEqual(endpoints.sandboxes(), []);
  });

  test('who was ended by hand between two lives has no other, though the daemon died before it was journalled as ended', async () => {
    const { id } = await run('exit 3', { name: 'pausing', restart: { name: 'unless-stopped', most: 0 } });
    await until('it waits', () => containers.find('pausing').state.status === 'restarting');
    await containers.stop('pausing', { seconds: 0 });
    const { state, ...ended } = containers.find('pausing');
    assert.ok(state.status === 'exited');
    await scope.close();
    const put = { ...ended, state: { ...state, status: 'restarting' } };
    await journal.commit([{ kind: 'container', id, put }]);
    await restart();
    await until('it has ended', () => containers.find('pausing').state.status === 'exited');
    assert.deepEqual(containers.find('pausing').state, state);
  });

  test('a start that was cut off is finished if it got as far as running, else undone', async () => {
    const made = await run('sleep 1000', { name: 'made' });
    await scope.close();
    // As the journal and the disk are when the daemon dies between the two writes of a start, …
    await journal.commit([{ kind: 'container', id: made.id, put: { ...made, state: { status: 'created' } } }]);
    // … before the supervisor is started, …
    const id = 'ab'.repeat(32);
    const sandbox = await endpoints.openSandbox({ exit: true, container: { id, name: 'half' } });
    const half = { ...made, id, name: 'half', sandbox: sandbox.id, state: { status: 'created' } };
    await journal.commit([{ kind: 'container', id, put: half }]);
    const place = join(directory, 'state', id);
    await mkdir(place);
    const control = join(directory, 'run', `${id.slice(0, 12)}.sock`);
    await writeFile(
      join(place, 'spec'),
      formatShimSpec({
        ...plain,
        mode: 'run',
        control,
        netns: sandbox.key,
        hostname: 'h',
        command: ['true'],
        input: false,
        logSize: 65536,
      }),
    );
    // … and before the journal knows of it.
    const unknown = 'cd'.repeat(32);
    await mkdir(join(directory, 'state', unknown));
    await endpoints.openSandbox({ exit: true, container: { id: unknown, name: 'unknown' } });
    // A record that nobody understands stays where it is.
    const strange = 'ef'.repeat(32);
    await mkdir(join(directory, 'state', strange));
    await journal.commit([{ kind: 'container', id: strange, put: { id: strange, from: 'the future' } }]);

    await restart();
    assert.deepEqual(containers.list(), [made]);
    assert.deepEqual(
      endpoints.sandboxes().map(({ container }) => container?.name),
      ['made'],
    );
    assert.deepEqual((await directories()).sort(), [made.id, strange].sort());
    assert.deepEqual((await journal.load('container')).map((entry) => entry.id).sort(), [made.id, strange].sort());
  });

  test('a sandbox that could not be closed when its container ended is closed by the next life', async () => {
    const { id } = await run('sleep 0.1', { name: 'stuck' });
    endpoints.fault = new Refusal('unavailable', 'the store does not answer');
    assert.equal(await wait(id), 0);
    assert.equal(containers.find('stuck').state.status, 'exited');
    assert.equal(endpoints.sandboxes().length, 1);
    await restart();
    await until('the sandbox is closed', () => endpoints.sandboxes().length === 0);
  });

  test('closing waits for what is being finished, but not for ever', async () => {
    const { id } = await run('sleep 0.05', { name: 'ending' });
    const { promise, resolve } = Promise.withResolvers<void>();
    endpoints.hindrance = promise;
    await until('its end is being finished', () => containers.find(id).state.status === 'exited');
    const closing = scope.close();
    try {
      assert.equal(await Promise.race([closing.then(() => 'closed'), pause(100).then(() => 'waits')]), 'waits');
    } finally {
      resolve();
    }
    await closing;
    assert.deepEqual(endpoints.sandboxes(), []);
  });

  test('what cannot be finished does not hold the daemon', async () => {
    const { id } = await run('sleep 0.05');
    const { promise, resolve } = Promise.withResolvers<void>();
    endpoints.hindrance = promise;
    await until('its end is being finished', () => containers.find(id).state.status === 'exited');
    const begun = performance.now();
    await scope.close();
    resolve();
    assert.ok(performance.now() - begun < 15_000);
    await until('it is finished', () => endpoints.sandboxes().length === 0);
  });

  test('an exec in a container that is just dying is told that it does not run', async () => {
    const { id, state } = await run('sleep 1000');
    assert.ok(state.status === 'running');
    const supervisor = supervisorOf(state.pid);
    process.kill(supervisor, 'SIGSTOP');
    process.kill(state.pid, 'SIGKILL');
    const attempt = containers.streams.exec(id, { ...plain, command: ['true'] });
    attempt.catch(() => undefined);
    await pause(100);
    process.kill(supervisor, 'SIGCONT');
    await assert.rejects(attempt, refusal('conflict', `cannot exec in container: container ${id} is not running`));
  });

  test('a container is known on its network by its name, what was asked for, and the start of its id', async () => {
    const { id } = await run('true', { network: 'net', aliases: ['db'] });
    assert.deepEqual(endpoints.asked.at(-1)?.connect?.[0]?.aliases, ['db', id.slice(0, 12)]);
  });
});
