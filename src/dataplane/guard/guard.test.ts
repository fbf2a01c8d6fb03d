import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { exitOf, network, piecesFor, portOf, sandboxOf } from '../sample.ts';
import { isRoot, Testbed, type TestHost } from '../testbed.ts';
import { ethernet, ipv4, udp, vxlan } from '../testbed-frames.ts';

const h1 = { number: 1, data: '10.9.0.1' };
const h2 = { number: 2, data: '10.9.0.2' };
const other = '10.9.0.101';
const stranger = '10.9.0.3';
const victim = portOf(h1);
const UDP = 17;
const IP = 0x0800;

/** A frame for the victim, as one of the network's own, and the same in VXLAN. */
const inner = ethernet(victim.mac, portOf(h2).mac, IP, ipv4('10.0.0.66', '10.0.0.11', UDP, udp(1, 2, Buffer.alloc(8))));
const forged = vxlan(network.vni, inner);

describe('the guard', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let a: TestHost;
  let b: TestHost;
  let c: TestHost;
  const target = sandboxOf(h1);
  const script = new URL('../testbed-send.ts', import.meta.url).pathname;

  const say = (to: string) =>
    `${process.execPath} -e "const s = require('dgram').createSocket('udp4'); s.send(Buffer.from('${forged.toString('hex')}', 'hex'), 4789, '${to}', () => s.close())"`;
  const macOf = (host: TestHost, device: string) =>
    /ether (\S+)/.exec(host.sh(`ip link show dev ${device}`))?.[1] ?? '';
  const watch = () =>
    a.in(
      target,
      `nft 'add table netdev probe; delete table netdev probe; add table netdev probe;
        add chain netdev probe in { type filter hook ingress device "eth0" priority -500; };
        add rule netdev probe in ip saddr 10.0.0.66 counter'`,
    );
  const seen = () => Number(/packets (\d+)/.exec(a.in(target, 'nft list table netdev probe'))?.[1]);
  const fence = () => b.in(sandboxOf(h2), 'ping -c1 -W2 10.0.0.11');

  /** Who else may try: each would succeed if it were not for the guards of the hosts that are named. */
  const attacks: Record<string, { guards: () => readonly TestHost[]; run: () => void }> = {
    'a host that is no peer': { guards: () => [a], run: () => c.sh(say(h1.data)) },
    'a process of this host': { guards: () => [a], run: () => a.sh(say(h1.data)) },
    "a process of a peer's": { guards: () => [b], run: () => b.sh(say(h1.data)) },
    "a container of a peer's, relayed and masqueraded": {
      guards: () => [b],
      run: () => b.in(sandboxOf(h2), say(h1.data)),
    },
    "a container of a peer's, to another address of this host": {
      guards: () => [a, b],
      run: () => b.in(sandboxOf(h2), say(other)),
    },
    'a peer, to another address than the data address': {
      guards: () => [a],
      run: () => {
        const packet = ipv4(h2.data, other, UDP, udp(4789, 4789, forged));
        const frame = ethernet(macOf(a, 'u0'), macOf(b, 'u0'), IP, packet);
        b.sh(`${process.execPath} ${script} u0 ${frame.toString('hex')}`);
      },
    },
    'a neighbour of this host that pretends to be a peer, on an interface that does not lead there': {
      guards: () => [a],
      run: () => {
        const packet = ipv4(h2.data, h1.data, UDP, udp(4789, 4789, forged));
        const frame = ethernet(macOf(a, 'd0'), '02:00:00:00:00:77', IP, packet);
        a.in('neighbour', `${process.execPath} ${script} d1 ${frame.toString('hex')}`);
      },
    },
    'a host that is no peer, in fragments': {
      guards: () => [a],
      run: () => {
        const whole = udp(4789, 4789, forged);
        const pieces = [
          ipv4(stranger, h1.data, UDP, whole.subarray(0, 8), { moreFragments: true }),
          ipv4(stranger, h1.data, UDP, whole.subarray(8), { fragmentOffset: 8 }),
        ];
        const frames = pieces.map((p) => ethernet(macOf(a, 'u0'), macOf(c, 'u0'), IP, p).toString('hex'));
        c.sh(`${process.execPath} ${script} u0 ${frames.join(' ')}`);
      },
    },
  };

  before(async () => {
    testbed = await Testbed.open();
    a = await testbed.host(`${h1.data}/24`, `${other}/24`);
    b = await testbed.host(`${h2.data}/24`);
    c = await testbed.host(`${stranger}/24`);
    a.sh(`ip netns add neighbour; ip link add d0 type veth peer name d1 netns neighbour; ip link set d0 up
      ip addr add 192.168.77.1/24 dev d0; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.d0.rp_filter=0
      ip netns exec neighbour ip link set d1 up`);
    await Promise.all([a.set(piecesFor(h1, [h2])), b.set(piecesFor(h2, [h1]))]);
    fence();
  });
  after(() => testbed.close());

  for (const [name, { run }] of Object.entries(attacks)) {
    test(`lets no packet of ours in from ${name}`, () => {
      watch();
      run();
      fence();
      assert.equal(seen(), 0);
    });
  }

  test('leaves other networks on the same port alone', () => {
    for (const [host, own, remote, inside] of [
      [a, h1.data, stranger, '192.168.9.1/24'],
      [c, stranger, h1.data, '192.168.9.3/24'],
    ] as const) {
      host.sh(
        `ip link add x0 type vxlan id 999 local ${own} remote ${remote} dstport 4789 && ip addr add ${inside} dev x0 && ip link set x0 up`,
      );
    }
    c.sh('ping -c1 -W2 192.168.9.1');
    c.sh('ping -c1 -W2 -s 3000 192.168.9.1');
  });

  test('does not track tunnel packets', () => {
    fence();
    const tracked = a.sh('cat /proc/net/nf_conntrack');
    assert.doesNotMatch(tracked, /src=10\.9\.0\.(1 dst=10\.9\.0\.2|2 dst=10\.9\.0\.1) .*dport=4789/);
  });

  test('lets nobody from outside in to a sandbox by way of the gateway bridge', () => {
    b.sh(`ip route add 172.18.0.2/32 via ${h1.data} || true`);
    c.sh(`ip route add 172.18.0.0/16 via ${h1.data}`);
    assert.throws(() => c.sh('ping -c1 -W1 172.18.0.2'));
    a.sh('ping -c1 -W2 172.18.0.2');
    assert.equal(exitOf(h1).addresses[0], '172.18.0.2/16');
  });

  test('is what stops them: each attack succeeds without it', async () => {
    await Promise.all([a.kill(), b.kill()]);
    const chains = ['guard-in', 'guard-out', 'guard-forward'];
    for (const [name, { guards, run }] of Object.entries(attacks)) {
      const rules = guards().map((host) => host.sh('nft list table ip skein'));
      for (const host of guards()) for (const chain of chains) host.sh(`nft flush chain ip skein ${chain}`);
      watch();
      run();
      fence();
      assert.ok(seen() > 0, name);
      for (const [i, host] of guards().entries()) host.sh(`nft delete table ip skein; echo '${rules[i]}' | nft -f -`);
      watch();
      run();
      fence();
      assert.equal(seen(), 0, `${name}, with the guard back`);
    }
  });
});
