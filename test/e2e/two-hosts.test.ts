import assert from 'node:assert/strict';
import { join } from 'node:path';
import { attempt } from '../../src/lab/run.ts';
import { ask, idle, inside, inspectNetwork, namespaces, pings, serve, skein, testInLab, until } from './testbed.ts';

const launcher = join(import.meta.dirname, '../../skein');

testInLab('two hosts over etcd', {}, (step) => {
  step('O2: each host shows both', async (lab) => {
    for (const host of lab.hosts) {
      const names = await skein(host, 'host', 'ls', '--format', '{{.Name}} {{.State}}');
      assert.deepEqual(names.split('\n'), ['h1 alive', 'h2 alive']);
    }
  });

  step('O3: a network made on one host is on the other at once, and a removed one gone as quickly', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const id = await skein(h1, 'network', 'create', '-d', 'overlay', 'demo');
    assert.match(id, /^[0-9a-f]{64}$/);
    const line = new RegExp(`^${id.slice(0, 12)} +demo +overlay +global$`, 'm');
    assert.match(await skein(h2, 'network', 'ls'), line);
    assert.match(await skein(h1, 'network', 'ls'), line);
    await skein(h2, 'network', 'create', 'passing');
    await skein(h1, 'network', 'rm', 'passing');
    assert.doesNotMatch(await skein(h2, 'network', 'ls'), /passing/);
  });

  step('O11: nothing of a network is in a kernel before its first container there', async (lab) => {
    for (const host of lab.hosts) {
      assert.deepEqual(await namespaces(host), []);
      assert.doesNotMatch((await host.exec(['ip', '-o', 'link'])).stdout, /vxlan|skein_gwbridge|veth/);
    }
  });

  step('O6, O8: containers get addresses in order over all hosts, two interfaces and their MTUs', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    const links = await inside(h1, 'test1', 'busybox', 'ip', 'link');
    assert.match(links, /eth0@.* mtu 1450 [\s\S]*eth1@.* mtu 1500 /);
    assert.match(links, /02:42:0a:00:00:02/);
    const addresses = async (host = h1, name = 'test1') =>
      (await inside(host, name, 'busybox', 'ip', '-4', 'addr')).match(/\d+\.\d+\.\d+\.\d+\/\d+/g);
    assert.deepEqual(await addresses(), ['127.0.0.1/8', '10.0.0.2/24', '172.18.0.2/16']);
    assert.deepEqual(await addresses(h2, 'test2'), ['127.0.0.1/8', '10.0.0.3/24', '172.18.0.2/16']);
    assert.match(await inside(h1, 'test1', 'ip', 'route'), /^default via 172\.18\.0\.1 dev eth1/m);
    assert.match(await inside(h1, 'test1', 'ip', 'route'), /^10\.0\.0\.0\/24 dev eth0 .*scope link/m);
  });

  step('O8: a container reaches its gateway, and the outside under the address of its host', async (lab) => {
    const h2 = lab.host('h2');
    for (const address of ['172.18.0.1', '203.0.113.7', '2001:db8:7::7']) {
      assert.ok(await pings(h2, 'test2', address), address);
    }
    assert.equal(await inside(h2, 'test2', 'busybox', 'nc', '203.0.113.7', '80'), '192.168.205.11');
  });

  step('O9: ping with TTL 64, TCP and UDP from host to host, also packets of the whole MTU', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    assert.match(await inside(h1, 'test1', 'ping', '-c1', '-W5', '10.0.0.3'), / ttl=64 /);
    assert.match(
      await inside(h1, 'test1', 'ping', '-c1', '-W5', '-M', 'do', '-s', '1422', '10.0.0.3'),
      / 0% packet loss/,
    );
    await serve(h2, 'test2');
    await until('TCP is answered', async () => (await ask(h1, 'test1', '10.0.0.3', 'tcp')) === 'hello over tcp');
    assert.equal(await ask(h1, 'test1', '10.0.0.3', 'udp'), 'hello over udp');
  });

  step('O10: a name is used once, on any host, and nothing of the attempt is left', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const before = await inspectNetwork(h1, 'demo');
    for (const host of [h1, h2]) {
      const { code, stderr } = await host.attempt([
        'skein',
        'run',
        '-d',
        '--name',
        'test1',
        '--network',
        'demo',
        '--',
        'true',
      ]);
      assert.equal(code, 125);
      if (host === h2) assert.equal(stderr, 'skein: service endpoint with name test1 already exists on host h1\n');
    }
    assert.equal(await skein(h2, 'ps', '-a', '--format', '{{.Names}}'), 'test2');
    assert.equal((await namespaces(h2)).length, 2);
    assert.deepEqual(await inspectNetwork(h1, 'demo'), before);
  });

  step('O12: a namespace for the network, named alike on both hosts, and one for each container', async (lab) => {
    const { Id } = await inspectNetwork(lab.host('h1'), 'demo');
    for (const host of lab.hosts) {
      const found = await namespaces(host);
      assert.deepEqual(
        found.filter((name) => name.includes('-')),
        [`1-${Id.slice(0, 10)}`],
      );
      assert.equal(found.filter((name) => /^[0-9a-f]{12}$/.test(name)).length, 1);
      const links = await host.exec(['ip', '-n', `1-${Id.slice(0, 10)}`, '-d', '-o', 'link']);
      assert.match(links.stdout, / br0: .*mtu 1450/);
      assert.match(links.stdout, / vxlan0@?.*: .* vxlan id 256 local 192\.168\.205\.1[01] .*nolearning proxy/);
      assert.match(links.stdout, / veth0@.*master br0/);
      const key = await skein(
        host,
        'inspect',
        '-f',
        '{{.NetworkSettings.SandboxKey}}',
        host.name === 'h1' ? 'test1' : 'test2',
      );
      assert.match(key, /^\/run\/skein\/netns\/[0-9a-f]{12}$/);
      assert.match(
        (await host.exec(['nsenter', `--net=${key}`, 'ip', '-br', 'addr'])).stdout,
        /^eth0@.* 10\.0\.0\.[23]\/24/m,
      );
    }
  });

  step('O13: the host does not reach the overlay, and networks do not reach each other', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    assert.notEqual((await h1.attempt(['ping', '-c1', '-W1', '10.0.0.3'])).code, 0);
    await skein(h1, 'network', 'create', '--subnet', '10.9.0.0/24', 'other');
    await idle(h2, 'apart', '--network', 'other');
    assert.match(await inside(h2, 'apart', 'busybox', 'ip', 'addr', 'show', 'dev', 'eth0'), / 10\.9\.0\.2\/24 /);
    assert.equal(await pings(h2, 'apart', '10.0.0.3'), false);
    assert.equal(await pings(h1, 'test1', '10.9.0.2'), false);
  });

  step('O13: a container cannot take the address of another', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await idle(h2, 'thief', '--network', 'demo');
    assert.ok(await pings(h2, 'thief', '10.0.0.2'));
    const key = await skein(h2, 'inspect', '-f', '{{.NetworkSettings.SandboxKey}}', 'thief');
    const as = (command: string) => h2.attempt(['nsenter', `--net=${key}`, 'sh', '-c', command]);
    assert.notEqual((await as('ip addr add 10.0.0.3/24 dev eth0; ping -c1 -W1 -I 10.0.0.3 10.0.0.2')).code, 0);
    await as('ip link set eth0 address 02:42:0a:00:00:03');
    assert.ok(await pings(h1, 'test1', '10.0.0.3'), 'the one that is robbed is reached all the same');
    const own = async () => (await as('ip addr show dev eth0')).stdout;
    await until('its own addresses are back', async () => /02:42:0a:00:00:04[\s\S]* 10\.0\.0\.4\//.test(await own()));
    assert.doesNotMatch(await own(), /10\.0\.0\.3\//);
    await skein(h2, 'rm', '-f', 'thief');
  });

  step('O14: containers do not reach each other over the gateway bridge', async (lab) => {
    const h2 = lab.host('h2');
    const other = /172\.18\.\d+\.\d+/.exec(
      await inside(h2, 'apart', 'busybox', 'ip', '-4', 'addr', 'show', 'dev', 'eth1'),
    )?.[0];
    assert.ok(other);
    assert.equal(await pings(h2, 'test2', other), false);
    const bridge = await inspectNetwork(h2, 'skein_gwbridge');
    assert.match(JSON.stringify(bridge.Options), /enable_icc.*false/);
    assert.match(JSON.stringify(bridge.Options), /enable_ip_masquerade.*true/);
    assert.ok(Object.values(bridge.Containers).every(({ Name }) => /^gateway_[0-9a-f]{12}$/.test(Name)));
  });

  step('O16: networks with containers stay; connect and disconnect give and take interfaces', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    assert.notEqual((await h1.attempt(['skein', 'network', 'rm', 'other'])).code, 0);
    await skein(h1, 'network', 'connect', 'other', 'test1');
    assert.match(await inside(h1, 'test1', 'ip', '-br', 'link'), /^eth2@/m);
    assert.ok(await pings(h1, 'test1', '10.9.0.2'));
    await skein(h1, 'network', 'disconnect', 'other', 'test1');
    assert.doesNotMatch(await inside(h1, 'test1', 'ip', '-br', 'link'), /^eth2@/m);
    assert.ok(await pings(h1, 'test1', '10.0.0.3'));
    assert.equal(await pings(h2, 'apart', '10.9.0.3'), false);
  });

  step('-H speaks to a host of a lab from outside', async (lab) => {
    const out = await attempt([launcher, '-H', `${lab.name}/h2`, 'ps', '--format', '{{.Names}}']);
    assert.deepEqual(out.stdout.trim().split('\n').toSorted(), ['apart', 'test2']);
  });

  step('O11: nothing of a network is left in a kernel after its last container', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h2, 'rm', '-f', 'test2', 'apart');
    await until('the namespaces are gone', async () => (await namespaces(h2)).length === 0);
    assert.doesNotMatch((await h2.exec(['ip', '-o', 'link'])).stdout, /vxlan|veth/);
    assert.equal((await namespaces(h1)).length, 2);
    await skein(h1, 'rm', '-f', 'test1');
    await skein(h1, 'network', 'rm', 'demo', 'other');
    assert.doesNotMatch(await skein(h2, 'network', 'ls'), /demo|other/);
  });
});
