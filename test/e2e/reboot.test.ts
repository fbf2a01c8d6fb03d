import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, inspectNetwork, namespaces, pings, skein, startStore, stopStore, testInLab, until } from './testbed.ts';

testInLab('containers that come back', {}, (step) => {
  step('one whose command fails is started again as often as was said, with its output of all lives', async (lab) => {
    const h1 = lab.host('h1');
    await skein(h1, 'network', 'create', 'demo');
    const fails = ['--', 'sh', '-c', 'echo a life; exit 3'];
    const foreground = await h1.attempt(['skein', 'run', '--name', 'fails', '--restart', 'on-failure:2', ...fails]);
    assert.deepEqual(foreground, { code: 3, stdout: 'a life\na life\na life\n', stderr: '' });
    assert.equal(await skein(h1, 'inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'fails'), '2 exited');
    assert.match(await skein(h1, 'ps', '-a', '--format', '{{.Names}} {{.Status}}'), /^fails Exited \(3\) .* ago$/);
    assert.equal(await skein(h1, 'logs', 'fails'), 'a life\na life\na life');
    await skein(h1, 'run', '-d', '--name', 'again', '--restart', 'always', '--network', 'demo', ...fails);
    const mac = await h1.attempt(['skein', 'run', '--rm', '--restart', 'always', '--', 'true']);
    assert.match(mac.stderr, /conflicting options: cannot specify both --restart and --rm/);
    await until('it waits for its next life', async () =>
      /^Restarting \(3\) /.test(await skein(h1, 'ps', '--filter', 'name=again', '--format', '{{.Status}}')),
    );
    await skein(h1, 'stop', 'again');
    assert.match(await skein(h1, 'ps', '-a', '--filter', 'name=again', '--format', '{{.Status}}'), /^Exited \(3\) /);
    await skein(h1, 'rm', 'fails', 'again');
  });

  step(
    'a container that is killed by others is started again where it was; one that its user ends is not',
    async (lab) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      await idle(h2, 'client', '--network', 'demo');
      const names = { web: 'always', keep: 'unless-stopped', down: 'unless-stopped', up: 'always', plain: 'no' };
      for (const [name, restart] of Object.entries(names))
        await idle(h1, name, '--network', 'demo', '--restart', restart);
      const before = await addressesOf(h1);
      const pid = await skein(h1, 'inspect', '-f', '{{.State.Pid}}', 'web');
      await h1.exec(['kill', '-9', pid]);
      await until('it lives again', async () => (await skein(h1, 'inspect', '-f', '{{.RestartCount}}', 'web')) === '1');
      await until('it runs', async () => (await statusOf(h1, 'web')) === 'running');
      assert.deepEqual(await addressesOf(h1), before);
      await until('it is reached', async () => pings(h2, 'client', before['web'] ?? ''));
      assert.equal(await skein(h1, 'stop', '-t', '0', 'down', 'up'), 'down\nup');
      assert.equal(await statusOf(h1, 'down'), 'exited');
      await skein(h1, 'start', 'down');
      assert.deepEqual(
        await addressesOf(h1),
        Object.fromEntries(Object.entries(before).filter(([name]) => name !== 'up')),
      );
      await skein(h1, 'restart', '-t', '0', 'down');
      assert.deepEqual((await addressesOf(h1))['down'], before['down']);
      await skein(h1, 'kill', 'down');
      await until('it is down', async () => (await statusOf(h1, 'down')) === 'exited');
    },
  );

  step('the death of the daemon restarts nothing that runs', async (lab) => {
    const h1 = lab.host('h1');
    const pids = () => skein(h1, 'inspect', '-f', '{{.Name}} {{.State.Pid}} {{.RestartCount}}', 'web', 'keep', 'plain');
    const before = await pids();
    await h1.daemon.kill('SIGKILL');
    await h1.daemon.start();
    assert.equal(await pids(), before);
    await until('what runs always is begun with the daemon', async () => (await statusOf(h1, 'up')) === 'running');
    assert.equal(await statusOf(h1, 'down'), 'exited');
  });

  step('after a reboot they have their addresses and names again, and what is gone is released', async (lab) => {
    const before = await addressesOf(lab.host('h1'));
    const exposed = await skein(lab.host('h1'), 'expose', '--network', 'demo');
    await lab.host('h1').reboot();
    const h1 = lab.host('h1');
    await h1.daemon.start();
    for (const name of ['web', 'keep', 'up']) {
      await until(`${name} runs`, async () => (await statusOf(h1, name)) === 'running');
    }
    const { plain: _, ...staying } = before;
    assert.deepEqual(await addressesOf(h1), staying);
    assert.match(await skein(h1, 'ps', '-a', '--filter', 'name=plain', '--format', '{{.Status}}'), /^Exited \(137\)/);
    assert.equal(await statusOf(h1, 'down'), 'exited');
    const h2 = lab.host('h2');
    await until('it is reached', () => pings(h2, 'client', before['web'] ?? ''));
    await until('what is gone is released', async () => (await namesOn(h2)) === 'client h1 keep up web');
    await until('the host itself is, too', () => pings(h2, 'client', exposed));
    assert.equal(await skein(h1, 'hide'), exposed);
    assert.equal((await namespaces(h1)).length, 4);
    assert.equal(
      await skein(h1, 'exec', 'web', 'cat', '/etc/hostname'),
      (await skein(h1, 'ps', '-qf', 'name=web')).trim(),
    );
  });

  step('also when the store is away', async (lab, t) => {
    const before = await addressesOf(lab.host('h1'));
    await idle(lab.host('h1'), 'goes', '--network', 'demo');
    await stopStore(lab);
    await lab.host('h1').reboot();
    const h1 = lab.host('h1');
    await h1.daemon.start();
    for (const name of ['web', 'keep', 'up']) {
      await until(`${name} runs`, async () => (await statusOf(h1, name)) === 'running');
    }
    assert.deepEqual(await addressesOf(h1), before);
    const client = (await addressesOf(lab.host('h2')))['client'] ?? '';
    await until('it reaches the other host', () => pings(h1, 'web', client));
    startStore(lab);
    const h2 = lab.host('h2');
    const took = await until(
      'what is gone is released',
      async () => (await namesOn(h2)) === 'client keep up web',
      30_000,
    );
    t.diagnostic(`released after ${took} ms`);
  });
});

function statusOf(host: LabHost, name: string): Promise<string> {
  return skein(host, 'inspect', '-f', '{{.State.Status}}', name);
}

/** Of the containers of a host that are on the network, by name. */
async function addressesOf(host: LabHost): Promise<Record<string, string>> {
  const names = (await skein(host, 'ps', '--format', '{{.Names}}')).split('\n').toSorted();
  const address = (name: string) =>
    skein(host, 'inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', name);
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await address(name)])));
}

async function namesOn(host: LabHost): Promise<string> {
  const { Containers } = await inspectNetwork(host, 'demo');
  return Object.values(Containers)
    .map(({ Name }) => Name)
    .toSorted()
    .join(' ');
}
