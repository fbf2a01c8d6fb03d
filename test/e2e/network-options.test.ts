import assert from 'node:assert/strict';
import { idle, inside, pings, skein, testInLab, until } from './testbed.ts';

const outside = '203.0.113.7';

testInLab('what networks can be asked for', {}, (step) => {
  step(
    'O5: containers get addresses from the range, past the gateway and what is kept, and from anywhere by wish',
    async (lab) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      const flags = ['--subnet', '10.7.0.0/24', '--ip-range', '10.7.0.64/29', '--gateway', '10.7.0.65'];
      await skein(h1, 'network', 'create', ...flags, '--aux-address', 'printer=10.7.0.66', 'ranged');
      await idle(h1, 'r1', '--network', 'ranged');
      await idle(h2, 'r2', '--network', 'ranged', '--ip', '10.7.0.200');
      assert.equal(await addressOf(h1, 'r1'), '10.7.0.64/24');
      assert.equal(await addressOf(h2, 'r2'), '10.7.0.200/24');
      await idle(h2, 'r3', '--network', 'ranged');
      assert.equal(await addressOf(h2, 'r3'), '10.7.0.67/24');
      assert.ok(await pings(h1, 'r1', '10.7.0.67'));
      const kept = await h1.attempt(['skein', 'run', '-d', '--network', 'ranged', '--ip', '10.7.0.66', '--', 'true']);
      assert.match(kept.stderr, /10\.7\.0\.66 is kept for printer/);
    },
  );

  step('O5: on several subnets, of both families, containers reach each other on the link', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const subnets = ['10.8.0.0/29', '10.9.0.0/24', 'fd00:8::/64', 'fd00:9::/64'];
    await skein(h1, 'network', 'create', ...subnets.flatMap((subnet) => ['--subnet', subnet]), 'several');
    await idle(h1, 's1', '--network', 'several');
    await idle(h2, 's2', '--network', 'several', '--ip', '10.9.0.9', '--ip6', 'fd00:9::9');
    assert.ok(await pings(h1, 's1', '10.9.0.9'), 'from the first subnet to the second');
    assert.match(await inside(h1, 's1', 'ping', '-c1', '-W5', 'fd00:9::9'), / ttl=64 /);
    assert.match(await inside(h2, 's2', 'ping', '-c1', '-W5', '10.8.0.2'), / ttl=64 /);
    // 10.8.0.0/29 has five addresses for containers; who comes then gets one of the next subnet.
    for (let n = 3; n <= 7; n++) await idle(h1, `s${n}`, '--network', 'several');
    assert.equal(await addressOf(h1, 's6'), '10.8.0.6/29');
    assert.equal(await addressOf(h1, 's7'), '10.9.0.2/24');
    assert.ok(await pings(h1, 's7', '10.8.0.2'));
  });

  step('F5: a route to another subnet that was removed is put back', async (lab, t) => {
    const h1 = lab.host('h1');
    const key = await skein(h1, 'inspect', '-f', '{{.NetworkSettings.SandboxKey}}', 's1');
    await h1.exec(['nsenter', `--net=${key}`, 'ip', 'route', 'del', '10.9.0.0/24']);
    const took = await until(
      'the route',
      async () => /^10\.9\.0\.0\/24/m.test(await inside(h1, 's1', 'ip', 'route')),
      30_000,
    );
    t.diagnostic(`put back after ${took} ms`);
  });

  step(
    'O14: on an internal network there is no eth1, no default route and no way out, only each other',
    async (lab) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      await skein(h1, 'network', 'create', '--internal', 'inner');
      await skein(h1, 'network', 'create', 'outer');
      await idle(h1, 'i1', '--network', 'inner');
      await idle(h2, 'i2', '--network', 'inner');
      const [network] = JSON.parse(await skein(h2, 'network', 'inspect', 'inner'));
      const address = (await addressOf(h2, 'i2')).replace(/\/.*/, '');
      assert.equal(network.Internal, true);
      assert.doesNotMatch(await inside(h1, 'i1', 'ip', 'link'), /eth1/);
      assert.doesNotMatch(await inside(h1, 'i1', 'ip', 'route'), /default/);
      assert.equal(await inside(h1, 'i1', 'ip', '-6', 'route', 'show', 'default'), '');
      assert.ok(await pings(h1, 'i1', address));
      assert.equal(await pings(h1, 'i1', outside), false);
      assert.equal(await pings(h1, 'i1', '172.18.0.1'), false);
    },
  );

  step(
    'O14, O16: the way out comes and goes with the networks that have one, also over a restart of the daemon',
    async (lab) => {
      const h1 = lab.host('h1');
      await skein(h1, 'network', 'connect', 'outer', 'i1');
      assert.ok(await pings(h1, 'i1', outside));
      await h1.daemon.kill('SIGKILL');
      await h1.daemon.start();
      assert.ok(await pings(h1, 'i1', outside));
      await skein(h1, 'network', 'disconnect', 'outer', 'i1');
      assert.doesNotMatch(await inside(h1, 'i1', 'ip', 'route'), /default/);
      assert.equal(await pings(h1, 'i1', outside), false);
    },
  );

  step('O8: the MTU that was asked for is that of the containers, one that no path carries is refused', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const option = (mtu: number) => ['-o', `com.docker.network.driver.mtu=${mtu}`];
    await skein(h1, 'network', 'create', ...option(1300), 'small');
    await idle(h2, 'm1', '--network', 'small');
    assert.match(await inside(h2, 'm1', 'ip', 'link', 'show', 'eth0'), / mtu 1300 /);
    const large = await h1.attempt(['skein', 'network', 'create', ...option(9000), 'large']);
    assert.match(large.stderr, /an MTU of 9000 bytes is too large: the path of host h\d carries 1500 bytes/);
  });

  step(
    'O8: a host with a smaller path lowers the MTU for all, running containers too, but not one that was asked for',
    async (lab) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      const mtu = async (host: typeof h1, name: string) =>
        Number(/ mtu (\d+) /.exec(await inside(host, name, 'ip', 'link', 'show', 'eth0'))?.[1]);
      await skein(h1, 'network', 'create', 'shrinking');
      await skein(h1, 'network', 'create', '-o', 'com.docker.network.driver.mtu=1440', 'rigid');
      await idle(h1, 'w1', '--network', 'shrinking');
      assert.equal(await mtu(h1, 'w1'), 1450);
      await h2.exec(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
      await h2.daemon.kill('SIGKILL');
      await h2.daemon.start();
      const refused = await h2.attempt(['skein', 'run', '-d', '--network', 'rigid', '--', 'true']);
      assert.match(refused.stderr, /1440 bytes is too large: the path of host h2 carries 1400 bytes/);
      await idle(h2, 'w2', '--network', 'shrinking');
      assert.equal(await mtu(h2, 'w2'), 1350);
      await until('the interface on h1 follows', async () => (await mtu(h1, 'w1')) === 1350);
      const [, address = ''] = /^(.*)\/\d+$/.exec(await addressOf(h2, 'w2')) ?? [];
      const whole = await h1.attempt(['skein', 'exec', 'w1', 'ping', '-c1', '-W2', '-M', 'do', '-s', '1322', address]);
      assert.equal(whole.code, 0, whole.stdout);
    },
  );

  step('O5: a subnet that holds a host is refused by name, one inside a route is made with a warning', async (lab) => {
    const h1 = lab.host('h1');
    const over = await h1.attempt(['skein', 'network', 'create', '--subnet', '192.168.0.0/16', 'over']);
    assert.match(
      over.stderr,
      /subnet 192\.168\.0\.0\/16 overlaps the network between the hosts: host h1 has its address/,
    );
    assert.equal(over.code, 1);
    const warned = await h1.attempt(['skein', 'network', 'create', '--subnet', '192.168.205.128/25', 'inside']);
    assert.match(
      warned.stderr,
      /warning: subnet 192\.168\.205\.128\/25 shares addresses with the route .* of hosts h1, h2/,
    );
    assert.match(warned.stdout, /^[0-9a-f]{64}\n$/);
  });
});

async function addressOf(host: Parameters<typeof inside>[0], container: string): Promise<string> {
  const shown = await inside(host, container, 'ip', '-4', '-o', 'addr', 'show', 'eth0');
  return / inet (\S+)/.exec(shown)?.[1] ?? assert.fail(shown);
}
