import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { ask, idle, inside, inspectNetwork, pings, serve, skein, testInLab, until } from './testbed.ts';

const [one, two] = ['h1', 'h2'];

async function reaches(host: LabHost, address: string, namespace?: string): Promise<boolean> {
  const ping = ['ping', '-c', '1', '-W', '0.5', address];
  return (await host.attempt(namespace === undefined ? ping : ['ip', 'netns', 'exec', namespace, ...ping])).code === 0;
}

async function lookup(host: LabHost, from: string, name: string): Promise<string> {
  return (await host.attempt(['skein', 'dns', 'lookup', '--from', from, name])).stdout.trimEnd();
}

async function links(host: LabHost): Promise<string> {
  return (await host.exec(['ls', '/sys/class/net'])).stdout;
}

testInLab('a host that joins a network itself', {}, (step) => {
  step('reaches its containers on all hosts and is reached by them, by its name too', async (lab) => {
    const [h1, h2] = [lab.host(one), lab.host(two)];
    await skein(h1, 'network', 'create', 'demo', '--ipv6', '--subnet', '10.0.9.0/24', '--subnet', 'fd09::/64');
    await idle(h2, 'far', '--network', 'demo');
    assert.equal(await skein(h1, 'expose'), '10.0.9.3\nfd09::3');
    await idle(h1, 'near', '--network', 'demo');
    await until('the container there is heard of', () => reaches(h1, '10.0.9.2'));
    for (const address of ['fd09::2', '10.0.9.4', 'fd09::4']) assert.ok(await reaches(h1, address), address);
    await serve(h2, 'far');
    const asking = 'exec 3<>/dev/tcp/10.0.9.2/7000; timeout 2 head -c 14 <&3';
    await until('it answers over TCP', async () => {
      return (await h1.attempt(['bash', '-c', asking])).stdout === 'hello over tcp';
    });
    for (const [host, name] of [
      [h1, 'near'],
      [h2, 'far'],
    ] as const) {
      for (const address of ['10.0.9.3', 'fd09::3', one, `${one}.demo.skein.local`]) {
        await until(`${name} reaches ${address}`, () => pings(host, name, address));
      }
    }
    // The host is a questioner as containers are.
    const asked = `const r = new (require('dns').promises.Resolver)(); r.setServers(['169.254.53.53']);
      r.resolve6('far.demo.skein.local').then((all) => process.stdout.write(all.join()))`;
    await until('the host is told where a container is', async () => {
      return (await h1.attempt([process.execPath, '-e', asked])).stdout === 'fd09::2';
    });
    // What listens on the host is reached, for that is what it is for.
    h1.spawn(
      [process.execPath, '-e', "require('net').createServer((s) => s.end('hello over tcp')).listen(7000, '::')"],
      {
        stdio: 'ignore',
      },
    );
    await until(
      'a service of the host is reached',
      async () => (await ask(h2, 'far', '10.0.9.3', 'tcp')) === 'hello over tcp',
    );
  });

  step('is shown, and keeps the network from being removed', async (lab) => {
    const [h1, h2] = [lab.host(one), lab.host(two)];
    for (const host of [h1, h2]) {
      const names = Object.values((await inspectNetwork(host, 'demo')).Containers).map(({ Name }) => Name);
      assert.deepEqual(names.sort(), ['far', one, 'near']);
      const hosts = Object.values((await inspectNetwork(host, 'demo')).Containers).filter(
        ({ Kind }) => Kind === 'host',
      );
      assert.deepEqual(
        hosts.map(({ Name }) => Name),
        [one],
      );
      assert.equal(
        await skein(host, 'dns', 'ls', '-f', 'kind=host', '--format', '{{.Name}} {{.Kind}} {{.Host}}'),
        `${one} host ${one}`,
      );
    }
    assert.match(
      await skein(h1, 'status'),
      /^Exposed: +on demo as h1, 10\.0\.9\.3\/24 fd09::3\/64 \(skein-[0-9a-f]{9}\)$/m,
    );
    assert.doesNotMatch(await skein(h2, 'status'), /Exposed/);
    const { stderr } = await h1.attempt(['skein', 'network', 'rm', 'demo']);
    assert.match(stderr, /active endpoints/);
  });

  step('stays as it is when asked again, and says what is in the way of something else', async (lab) => {
    const h1 = lab.host(one);
    assert.equal(await skein(h1, 'expose', '--network', 'demo', '10.0.9.3'), '10.0.9.3\nfd09::3');
    for (const words of [['10.0.9.77'], ['-h', 'other'], ['--no-masquerade']]) {
      const { code, stderr } = await h1.attempt(['skein', 'expose', ...words]);
      assert.equal(code, 1);
      assert.match(stderr, /already, as h1 with 10\.0\.9\.3 and fd09::3: hide it first/);
    }
    await skein(h1, 'network', 'create', 'other', '--subnet', '192.168.66.0/24');
    assert.match((await h1.attempt(['skein', 'expose'])).stderr, /name one with --network: demo, other/);
    await h1.exec(['ip', 'route', 'add', '192.168.66.8/29', 'dev', 'skein_gwbridge']);
    const { stderr } = await h1.attempt(['skein', 'expose', '--network', 'other']);
    assert.match(
      stderr,
      /192\.168\.66\.0\/24 has addresses that this host reaches otherwise \(192\.168\.66\.8\/29 by skein_gwbridge\)/,
    );
    await h1.exec(['ip', 'route', 'del', '192.168.66.8/29']);
    await skein(h1, 'network', 'rm', 'other');
  });

  step('lets in who is routed through it, with its own address', async (lab) => {
    const [h1, h2] = [lab.host(one), lab.host(two)];
    await h1.exec([
      'sh',
      '-euc',
      `ip netns add behind; ip link add b0 type veth peer name b1 netns behind; ip link set b0 up
       ip addr add 192.168.66.1/24 dev b0; ip -n behind addr add 192.168.66.2/24 dev b1
       ip -n behind link set b1 up; ip -n behind route add default via 192.168.66.1`,
    ]);
    await until('the container is reached', () => reaches(h1, '10.0.9.2', 'behind'));
    assert.ok(await reaches(h1, '10.0.9.4', 'behind'));
    assert.match(await inside(h2, 'far', 'ip', 'neigh'), /^10\.0\.9\.3 /m);
  });

  step('goes on while its daemon is away and after it came back', async (lab) => {
    const [h1, h2] = [lab.host(one), lab.host(two)];
    await h1.daemon.kill('SIGKILL');
    assert.ok(await pings(h2, 'far', '10.0.9.3'));
    assert.ok(await reaches(h1, '10.0.9.2', 'behind'));
    await h1.exec(['sh', '-c', 'ip link del $(ls /sys/class/net | grep ^skein-)']);
    await h1.daemon.start();
    await until('it is back', () => pings(h2, 'far', '10.0.9.3'));
    assert.ok(await reaches(h1, '10.0.9.2', 'behind'));
    assert.equal(await skein(h1, 'expose'), '10.0.9.3\nfd09::3');
  });

  step('is not there any more when it is hidden, and can come back with another name and address', async (lab) => {
    const [h1, h2] = [lab.host(one), lab.host(two)];
    const wrong = await h1.attempt(['skein', 'hide', '--network', 'demo', '10.0.9.77']);
    assert.match(wrong.stderr, /this host has 10\.0\.9\.3 and fd09::3 on that network, not 10\.0\.9\.77/);
    assert.equal(await skein(h1, 'hide', '10.0.9.3'), '10.0.9.3\nfd09::3');
    assert.equal(await skein(h1, 'hide', '--network', 'demo'), '');
    const nowhere = await h1.attempt(['skein', 'hide', '--network', 'demo', '10.0.9.3']);
    assert.match(nowhere.stderr, /this host is not on network demo, with 10\.0\.9\.3 or any other/);
    await idle(h1, one, '--network', 'demo');
    const taken = await h1.attempt(['skein', 'expose']);
    assert.match(taken.stderr, /name h1 already exists on host h1: give this host another .*skein expose -h NAME/);
    await skein(h1, 'rm', '-f', one);
    assert.equal(await skein(h1, 'hide'), '');
    assert.ok(!(await reaches(h1, '10.0.9.4')));
    await until('the interface is deleted', async () => !/skein-|dead/.test(await links(h1)));
    await until('its name is gone', async () => (await lookup(h2, 'far', `${one}.demo.skein.local`)) === '');
    assert.equal(
      await skein(h1, 'expose', '10.0.9.77', 'fd09::77', '-h', 'edge', '--no-masquerade'),
      '10.0.9.77\nfd09::77',
    );
    await until('it is reached', () => pings(h2, 'far', '10.0.9.77'));
    for (const name of ['edge', one]) assert.equal(await lookup(h2, 'far', name), '10.0.9.77\nfd09::77');
    // Without masquerade a container has to know the way back.
    assert.ok(!(await reaches(h1, '10.0.9.4', 'behind')));
    const sandbox = await skein(h1, 'inspect', '-f', '{{.NetworkSettings.SandboxID}}', 'near');
    await h1.exec(['ip', '-n', sandbox, 'route', 'add', '192.168.66.0/24', 'via', '10.0.9.77']);
    assert.ok(await reaches(h1, '10.0.9.4', 'behind'));
    await skein(h1, 'hide');
    await Promise.all([skein(h1, 'rm', '-f', 'near'), skein(h2, 'rm', '-f', 'far')]);
    await skein(h1, 'network', 'rm', 'demo');
  });
});
