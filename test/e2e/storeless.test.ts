import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, inspectNetwork, pings, skein, startStore, stopStore, testInLab, until } from './testbed.ts';

testInLab('hosts that start while the store is away', {}, (step) => {
  step('addresses are stored in their one text, however they were written', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const subnets = ['--subnet', '10.7.0.0/24', '--subnet', 'FD00:0:0:7::/64', '--gateway', 'FD00:0:0:7::FF'];
    await skein(h1, 'network', 'create', ...subnets, 'demo');
    await idle(h1, 'test1', '--network', 'demo', '--ip6', 'FD00:0:0:0007::A');
    await idle(h2, 'test2', '--network', 'demo');
    const { IPAM, Containers } = await inspectNetwork(h2, 'demo');
    assert.deepEqual(
      IPAM.Config.map(({ Subnet, Gateway }) => [Subnet, Gateway]),
      [
        ['10.7.0.0/24', '10.7.0.1'],
        ['fd00:0:0:7::/64', 'fd00:0:0:7::ff'],
      ],
    );
    const test1 = Object.values(Containers).find(({ Name }) => Name === 'test1');
    assert.equal(test1 && Object.entries(test1).find(([name]) => name === 'IPv6Address')?.[1], 'fd00:0:0:7::a/64');
    await until('it is reached', () => pings(h2, 'test2', 'fd00:0:0:7::a'));
  });

  step('take up what they had: nothing is changed in the kernel, no packet is lost', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await stopStore(lab);
    const train = 'ping -q -i 0.002 -c 8000 -W 2 10.7.0.3 >/run/train; echo $? >/run/trained';
    await skein(h1, 'exec', '-d', 'test1', 'sh', '-c', train);
    for (const host of [h1, h2]) {
      await host.daemon.kill('SIGKILL');
      const began = performance.now();
      await host.daemon.start();
      assert.ok(performance.now() - began < 15_000, `it took ${performance.now() - began} ms`);
      assert.deepEqual(await lastTakenOver(host), { sandboxes: 1, networks: 1, steps: 0 });
    }
    await until('the train has ended', async () => (await h1.attempt(['cat', '/run/trained'])).code === 0, 60_000);
    const { stdout } = await h1.exec(['cat', '/run/train']);
    assert.match(stdout, /8000 packets transmitted, 8000 received, 0% packet loss/);
  });

  step('say what they know, and refuse what needs the store by its name', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    assert.equal(await skein(h1, 'ps', '--format', '{{.Names}}'), 'test1');
    assert.match(await skein(h1, 'network', 'ls'), /demo/);
    assert.deepEqual((await skein(h2, 'host', 'ls', '--format', '{{.Name}}')).split('\n').toSorted(), ['h1', 'h2']);
    assert.equal(Object.keys((await inspectNetwork(h2, 'demo')).Containers).length, 2);
    const refused = [
      ['network', 'create', 'late'],
      ['run', '-d', '--name', 'late', '--network', 'demo', '--', 'sleep', '1'],
    ];
    for (const words of refused) {
      const began = performance.now();
      const { code, stderr } = await h1.attempt(['skein', ...words]);
      assert.notEqual(code, 0);
      assert.ok(stderr.includes(`store ${lab.store}, failing since `), stderr);
      assert.ok(performance.now() - began < 3 * 5_000, `${words.join(' ')} took ${performance.now() - began} ms`);
    }
  });

  step('go on as before once the store is back', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    startStore(lab);
    await until(
      'a network can be made',
      async () => (await h1.attempt(['skein', 'network', 'create', 'late'])).code === 0,
      30_000,
    );
    await until('the other host sees it', async () => (await skein(h2, 'network', 'ls')).includes('late'));
    await idle(h2, 'test3', '--network', 'demo');
    await until('it is reached', () => pings(h1, 'test1', '10.7.0.4'));
    await until(
      'both are alive',
      async () => {
        const states = await skein(h1, 'host', 'ls', '--format', '{{.State}}');
        return states === 'alive\nalive';
      },
      30_000,
    );
  });
});

async function lastTakenOver(host: LabHost): Promise<object> {
  const log = '/var/lib/skein/daemon.log';
  const { stdout } = await host.exec(['sh', '-c', `grep 'kernel taken over' ${log} | tail -n 1`]);
  const { sandboxes, networks, steps } = JSON.parse(stdout);
  return { sandboxes, networks, steps };
}
