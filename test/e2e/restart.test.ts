import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { ask, idle, inside, inspectNetwork, namespaces, pings, serve, skein, testInLab, until } from './testbed.ts';

testInLab('a daemon that is killed and started again', {}, (step) => {
  step('loses no packet, makes nothing twice, and forgets nothing', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', 'demo');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    await skein(
      h2,
      'run',
      '-d',
      '--name',
      'writer',
      '--',
      'sh',
      '-c',
      'while :; do echo line $((i=i+1)); sleep 0.05; done',
    );
    assert.ok(await pings(h1, 'test1', '10.0.0.3'));
    // The kernel tells of a carrier up to a second after it is there.
    await until('all links are up', async () => !/ DOWN /.test(await kernelOf(h2)));
    const before = { kernel: await kernelOf(h2), network: await inspectNetwork(h2, 'demo') };

    const train = h1.exec(['skein', 'exec', 'test1', 'ping', '-q', '-i', '0.001', '-c', '6000', '-W', '2', '10.0.0.3']);
    for (const host of [h2, h1, h2]) {
      await host.daemon.kill('SIGKILL');
      await host.daemon.start();
    }
    assert.match((await train).stdout, /6000 packets transmitted, 6000 received, 0% packet loss/);

    assert.deepEqual(await kernelOf(h2), before.kernel);
    assert.deepEqual(await inspectNetwork(h2, 'demo'), before.network);
    assert.deepEqual((await skein(h2, 'ps', '--format', '{{.Names}}')).split('\n').toSorted(), ['test2', 'writer']);
    const lines = (await skein(h2, 'logs', 'writer')).split('\n');
    assert.ok(lines.length > 20);
    assert.deepEqual(
      lines,
      lines.map((_, i) => `line ${i + 1}`),
    );
  });

  step('what runs can be entered and removed, and what ended meanwhile is known to have ended', async (lab) => {
    const h2 = lab.host('h2');
    await skein(h2, 'run', '-d', '--name', 'ending', '--', 'sh', '-c', 'sleep 1; exit 3');
    const pid = await skein(h2, 'inspect', '-f', '{{.State.Pid}}', 'ending');
    await h2.daemon.kill('SIGKILL');
    await until('it has ended', async () => (await h2.attempt(['kill', '-0', pid])).code !== 0);
    await h2.daemon.start();
    assert.equal(await skein(h2, 'inspect', '-f', '{{.State.ExitCode}}', 'ending'), '3');
    await serve(h2, 'test2');
    const h1 = lab.host('h1');
    await until('it is answered', async () => (await ask(h1, 'test1', '10.0.0.3', 'tcp')) === 'hello over tcp');
    assert.match(await inside(h2, 'test2', 'ip', 'route'), /^default via 172\.18\.0\.1/);
    await skein(h2, 'rm', '-f', 'test2', 'writer', 'ending');
    await until('nothing is left', async () => (await namespaces(h2)).length === 0);
  });

  step('a daemon that comes back finds the containers that came and went on the other host', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await h1.daemon.kill('SIGKILL');
    await idle(h2, 'test3', '--network', 'demo', '--ip', '10.0.0.77');
    await h1.daemon.start();
    await until('the new one is reached', () => pings(h1, 'test1', '10.0.0.77'));
  });
});

/** What the daemon made: links, addresses, routes, FDB, rules, by what stays the same over a restart. */
async function kernelOf(host: LabHost): Promise<string> {
  const script = `
    for name in $(ls /run/skein/netns); do
      for show in link addr route neigh; do echo "$name $show"; ip -n $name -br $show; done
      nsenter --net=/run/skein/netns/$name bridge fdb
    done
    ip -br link; ip -br addr; ip route; nft list ruleset`;
  const { stdout } = await host.exec(['sh', '-c', script]);
  // What the kernel itself notes for a while, and forgets.
  return stdout
    .replaceAll(/ (REACHABLE|STALE|DELAY|PROBE)\b/g, '')
    .replaceAll(/^\t\telements = \{[^}]* expires [^}]*\}\n/gm, '');
}
