import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { keyOf, type Piece } from './dataplane.ts';
import { exitOf, network, piecesFor, portOf, sandboxOf } from './sample.ts';
import { isRoot, Testbed, type TestHost } from './testbed.ts';

const underlays = {
  IPv4: { one: '10.9.0.1', two: '10.9.0.2', length: 24, mtu: 1450 },
  IPv6: { one: 'fd99::1', two: 'fd99::2', length: 64, mtu: 1430 },
};

for (const [family, { one, two, length, mtu }] of Object.entries(underlays)) {
  describe(`two hosts over ${family}`, { skip: !isRoot && 'needs root' }, () => {
    const h1 = { number: 1, data: one };
    const h2 = { number: 2, data: two };
    const here = sandboxOf(h1);
    const withMtu = (pieces: readonly Piece[]) => pieces.map((p) => (p.kind === 'network' ? { ...p, mtu } : p));
    let testbed: Testbed;
    let a: TestHost;
    let b: TestHost;

    before(async () => {
      testbed = await Testbed.open();
      a = await testbed.host(`${one}/${length}`);
      b = await testbed.host(`${two}/${length}`);
      await Promise.all([a.set(withMtu(piecesFor(h1, [h2]))), b.set(withMtu(piecesFor(h2, [h1])))]);
    });
    after(() => testbed.close());

    test('containers reach each other by IPv4 and IPv6 with TTL 64', () => {
      assert.match(a.in(here, 'ping -c1 -W2 10.0.0.12'), /ttl=64/);
      assert.match(a.in(here, 'ping -c1 -W2 fd01::12'), /ttl=64/);
    });

    test('the MTU is as given, and a packet that fills it passes whole', () => {
      assert.match(a.in(here, 'ip link show eth0'), new RegExp(`mtu ${mtu} `));
      a.in(here, `ping -c1 -W2 -M do -s ${mtu - 28} 10.0.0.12`);
      a.in(here, `ping -c1 -W2 -M do -s ${mtu - 48} fd01::12`);
      assert.ok(!a.succeeds(here, `ping -c1 -W1 -M do -s ${mtu - 27} 10.0.0.12`));
    });

    test('a large datagram passes in fragments', () => {
      a.in(here, 'ping -c1 -W2 -s 4000 10.0.0.12');
      a.in(here, 'ping -c1 -W2 -s 4000 fd01::12');
    });

    test('TCP carries data both ways', () => {
      for (const address of ['10.0.0.12', 'fd01::12']) {
        const server = `require('net').createServer(s => s.pipe(s)).listen(7, '${address}')`;
        b.in(sandboxOf(h2), `${process.execPath} -e "${server}" >/dev/null 2>&1 & echo $! > /run/server`);
        const client = `const c = require('net').connect(7, '${address}'); let n = 0;
          c.on('error', () => process.exit(2)); c.on('data', (d) => { n += d.length; if (n === 1e6) { console.log(n); c.end(); } });
          c.write(Buffer.alloc(1e6));`.replaceAll('\n', ' ');
        const attempt = `for i in $(seq 50); do ${process.execPath} -e "${client}" && break; sleep 0.1; done`;
        assert.equal(a.in(here, attempt).trim(), '1000000');
        b.sh('kill $(cat /run/server)');
      }
    });

    test('what comes from another host goes past the bridge; where it cannot, over it', async () => {
      const show = 'tc -s filter show dev vxlan0 ingress';
      const packets = () => Number(/mirred[\s\S]*?Sent \d+ bytes (\d+) pkt/.exec(a.in(network.namespace, show))?.[1]);
      for (const address of ['10.0.0.12', 'fd01::12']) {
        const before = packets();
        a.in(here, `ping -c5 -i0.01 -W2 ${address}`);
        assert.ok(packets() >= before + 5, `${before} and 5 are no more than ${packets()}`);
      }
      await a.kill();
      a.in(network.namespace, 'tc filter del dev vxlan0 ingress');
      for (const address of ['10.0.0.12', 'fd01::12']) a.in(here, `ping -c1 -W2 ${address}`);
      await a.set(withMtu(piecesFor(h1, [h2])));
      assert.ok(packets() >= 0);
    });

    test('the gateway of the network answers on each host itself', () => {
      a.in(here, 'ping -c1 -W2 10.0.0.1');
      a.in(here, 'ping -c1 -W2 fd01::1');
      assert.match(a.in(here, 'ip neigh show 10.0.0.1'), /5e:/);
    });

    test('the host does not reach the overlay', () => {
      assert.throws(() => a.sh('ping -c1 -W1 10.0.0.11'));
      assert.throws(() => a.sh('ping -c1 -W1 fd01::11'));
    });

    test('a container leaves by the gateway bridge, and its address stays inside', () => {
      b.sh(`ip addr add ${family === 'IPv4' ? '198.51.100.7/32' : '2001:db8::7/128'} dev lo nodad`);
      const outside = family === 'IPv4' ? '198.51.100.7' : '2001:db8::7';
      a.sh(`ip ${family === 'IPv4' ? '' : '-6'} route add ${outside} via ${two}`);
      a.in(here, `ping -c1 -W2 ${outside}`);
    });

    test('ip netns sees the sandbox and the network', () => {
      assert.match(a.sh('ip netns'), /1-3d430f3338/);
      assert.match(a.sh('ls /run/skein/netns'), /a00000000001/);
    });

    test('a host that forwards goes on listening to router advertisements, where it did', () => {
      assert.equal(a.sh('sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.u0.accept_ra'), '1\n2\n');
    });

    test('the kernel holds exactly what was asked for: setting it again takes no step', async () => {
      assert.deepEqual(await a.set(withMtu(piecesFor(h1, [h2]))), { steps: [] });
      assert.deepEqual(await a.dataplane.repair(), { steps: [] });
    });

    test('a detached port is cut off at once and its names are free', async () => {
      await a.dataplane.change({ remove: [keyOf(portOf(h1)), keyOf(exitOf(h1))] });
      assert.ok(!a.succeeds(here, 'ping -c1 -W1 10.0.0.12'));
      await a.dataplane.change({ put: [portOf(h1), exitOf(h1)] });
      a.in(here, 'ping -c1 -W2 10.0.0.12');
    });

    test('removing everything leaves nothing', async () => {
      await a.set([]);
      assert.equal(
        a.sh('ip netns; ls /run/skein/netns /run/netns; nft list ruleset').replaceAll(/\/run.*\n|\n/g, ''),
        '',
      );
      assert.doesNotMatch(a.sh('ip -o link'), /skein|veth|vxlan|dead/);
      const settings = 'net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.u0.accept_ra';
      assert.equal(a.sh(`sysctl -n ${settings}; ls /run/state`), '0\n0\n1\n');
      assert.equal(await a.dataplane.look().then(({ interfaces }) => interfaces.length), 2);
    });

    test('what was removed can be made again at once, with the same VNI', async () => {
      const pieces = withMtu(piecesFor(h1, [h2]));
      await a.set(pieces);
      await a.set([]);
      await a.set(pieces);
      a.in(here, 'ping -c1 -W2 10.0.0.12');
      assert.equal(network.vni, 256);
    });
  });
}
