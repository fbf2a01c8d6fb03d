import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, inside, pings, skein, testInLab, until } from './testbed.ts';

const port = 4790;
const data = (i: number) => `192.168.205.${110 + i}`;
const launch = (i: number, ...flags: readonly string[]) =>
  ['skein', 'launch', '--detach', '--cluster-advertise', 'eth0:2376', '--data-address', data(i), ...flags] as const;

testInLab(
  'three hosts of two addresses each, and others that use VXLAN there',
  { hosts: 3, daemons: false },
  (step) => {
    step('O1: advertised and data address differ, and the first host settles the data port', async (lab) => {
      for (const [i, host] of lab.hosts.entries()) {
        await host.exec(['ip', 'addr', 'add', `${data(i)}/24`, 'dev', 'eth0']);
        // Somebody else's network on our port, between the same hosts.
        const other = `id 42 dstport ${port} local ${host.address} remote ${lab.hosts[i === 0 ? 1 : 0]?.address}`;
        await host.exec([
          'sh',
          '-euc',
          `ip link add other type vxlan ${other}; ip addr add 10.50.0.${i + 1}/24 dev other`,
        ]);
      }
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      for (const host of [h1, h2]) await host.exec(['ip', 'link', 'set', 'other', 'up']);
      await h1.exec(launch(0, '--data-port', String(port)));
      await h2.exec(launch(1));
      await skein(h1, 'network', 'create', '--subnet', '10.0.0.0/24', 'demo');
      for (const [i, host] of [h1, h2].entries()) {
        assert.match(await skein(host, 'status'), new RegExp(`Address: +${host.address}:2376, data ${data(i)}`));
        await idle(host, `test${i + 1}`, '--network', 'demo');
      }
      await until('h1 reaches h2', () => pings(h1, 'test1', '10.0.0.3'));
      assert.match(await inside(h2, 'test2', 'ping', '-c1', '-W5', '10.0.0.2'), / ttl=64 /);
      // Nothing of ours goes to the other address or from it, though that is the one the kernel would choose.
      const source = await h1.exec(['ip', 'route', 'get', data(1)]);
      assert.match(source.stdout, new RegExp(` src ${h1.address} `));
      // Counted, not dropped: a rule that drops would get one of ours before it.
      const ours = `udp dport ${port} @th,96,24 != 42`;
      const input = `table ip seen {
      counter wrong { }
      counter right { }
      chain o {
        type filter hook output priority 0
        ${ours} ip daddr ${h2.address} counter name wrong
        ${ours} ip saddr != ${data(0)} counter name wrong
        ${ours} ip saddr ${data(0)} ip daddr ${data(1)} counter name right
      }
    }\n`;
      await h1.exec(['nft', '-f', '-'], { input });
      assert.ok(await pings(h1, 'test1', '10.0.0.3'));
      const counted = async (name: string) => (await h1.exec(['nft', 'list', 'counter', 'ip', 'seen', name])).stdout;
      assert.match(await counted('wrong'), /\bpackets 0 /);
      assert.doesNotMatch(await counted('right'), /\bpackets 0 /);
    });

    step('the other network on the same port works beside ours, before and after', async (lab) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      const reaches = async (host: LabHost, to: string) => (await host.attempt(['ping', '-c1', '-W2', to])).code === 0;
      await until('h1 reaches h2 over it', () => reaches(h1, '10.50.0.2'));
      await until('h2 reaches h1 over it', () => reaches(h2, '10.50.0.1'));
      assert.equal(await skein(h1, 'status', '--format', '{{range .paths}}{{.sentence}}{{end}}'), '');
    });

    step('a host with another data port is refused with both', async (lab) => {
      const { code, stderr } = await lab.host('h3').attempt(launch(2, '--data-port', '4789'));
      assert.equal(code, 1);
      assert.match(stderr, /cannot join with --data-port 4789: cluster [0-9a-f]{12} uses UDP port 4790 on all hosts/);
    });

    step('a device that shares the port with none is named, and what to do', async (lab, t) => {
      const h3 = lab.host('h3');
      await h3.exec(['sh', '-euc', `ip link add ext type vxlan external dstport ${port}; ip link set ext up`]);
      await h3.exec(launch(2));
      const sentence = /^Problems: +UDP port 4790 is taken on this host .*collect-metadata/m;
      const took = await until('the status says so', async () => sentence.test(await skein(h3, 'status')), 30_000);
      t.diagnostic(`told after ${took} ms`);
      assert.match((await h3.attempt(['skein', 'doctor'])).stdout, /UDP port 4790 is taken/);
    });
  },
);
