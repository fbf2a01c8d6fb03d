import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { keyOf, type Piece, type PortPiece } from '../dataplane.ts';
import { exitOf, hostOn, network, piecesFor, portOf, sandboxOf } from '../sample.ts';
import { isRoot, Testbed, type TestHost, until } from '../testbed.ts';
import { ethernet, ipv4, ipv6, udp, udp6 } from '../testbed-frames.ts';

const one = { number: 1, data: '10.9.0.1' };
const two = { number: 2, data: '10.9.0.2' };
/** On a second network, which the host is on too, with a way out. */
const far = { number: 4, data: one.data };
/** On a third one, which is internal: nothing is forwarded there. */
const inner = { number: 6, data: one.data };
const outside = { ip: '10.9.0.9', ip6: 'fd99::9' };
const device = 'skein-3d430f333';
const on = (n: 1 | 2, id: string) => ({
  ...{ ...network, id, namespace: `${n + 1}-${id.slice(0, 10)}`, vni: 256 + n },
  gateways: [`10.0.${n}.1/24`, `fd0${n + 1}::1/64`],
});
const second = on(1, '77aa00bb11cc');
const third = on(2, '88aa00bb11cc');
const portOn = (n: 1 | 2, of: typeof far, sandbox = sandboxOf(of)): PortPiece => ({
  ...{ ...portOf(of), sandbox, network: (n === 1 ? second : third).id, endpoint: `s${n}${of.number}` },
  ...{ port: `veth${of.number}`, mac: `02:42:0a:00:0${n}:1${of.number}` },
  addresses: [`10.0.${n}.1${of.number}/24`, `fd0${n + 1}::1${of.number}/64`],
});
const hostOnSecond: PortPiece = {
  ...{ ...portOn(1, { number: 5, data: one.data }, 'b00000000001'), interface: 'skein-77aa00bb1' },
  forwards: 'masqueraded',
};
const hostOnThird: PortPiece = {
  ...portOn(2, { number: 5, data: one.data }, 'b00000000001'),
  interface: 'skein-88aa00bb1',
};
const others: readonly Piece[] = [
  ...piecesFor(one, [two]),
  ...[far, inner].map((of): Piece => ({ kind: 'sandbox', id: sandboxOf(of) })),
  ...[second, third, portOn(1, far), portOn(2, inner), exitOf(far, 3)],
];
const hosts: readonly Piece[] = [...hostOn('masqueraded'), hostOnSecond, hostOnThird];

const [IP, IP6, UDP] = [0x0800, 0x86dd, 17];
const nowhere = Buffer.alloc(8);
const own = portOf(one);
const toHost = (type: number, packet: Buffer) => ethernet('02:42:0a:00:00:05', own.mac, type, packet);
const datagram6 = (from: string, to: string, port: number) =>
  ipv6(from, to, UDP, udp6({ from, to }, 1, port, nowhere), 64);
/** Loose, with the outside as its next place. */
const sourceRoute = Buffer.of(131, 7, 4, 10, 9, 0, 9, 0);

/** To the host's interface, from a container on its network, each to a port of its own. */
const attacks: Record<string, (port: number) => Buffer> = {
  'to 127.0.0.1 of a host that lets this in': (port) => to4('127.0.0.1', port),
  'to another address of the host': (port) => to4(one.data, port),
  'to another IPv6 address of the host': (port) => to6('fd99::1', port),
  'to the gateway bridge': (port) => to4('172.18.0.1', port),
  "to the host's address on another network": (port) => to4('10.0.1.15', port),
  "to the host's IPv6 address on another network": (port) => to6('fd02::15', port),
  'to the outside': (port) => to4(outside.ip, port),
  'to the outside over IPv6': (port) => to6(outside.ip6, port),
  'to the outside, by way of a host that follows source routes': (port) => to4('10.0.0.5', port, sourceRoute),
  'to another network': (port) => to4('10.0.1.14', port),
  'to another network over IPv6': (port) => to6('fd02::14', port),
  'to an internal network': (port) => to4('10.0.2.16', port),
};

function to4(to: string, port: number, options?: Buffer): Buffer {
  return toHost(IP, ipv4('10.0.0.11', to, UDP, udp(1, port, nowhere), options && { options }));
}

function to6(to: string, port: number): Buffer {
  return toHost(IP6, datagram6('fd01::11', to, port));
}

describe('the host on a network', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let host: TestHost;
  let peer: TestHost;
  let stranger: TestHost;
  const send = (namespace: string | undefined, by: string, frames: readonly Buffer[]) => {
    const script = new URL('../testbed-send.ts', import.meta.url).pathname;
    const command = `${process.execPath} ${script} ${by} ${frames.map((frame) => frame.toString('hex')).join(' ')}`;
    if (namespace === undefined) host.sh(command);
    else host.in(namespace, command);
  };
  const portAt = (i: number) => 5000 + i;

  /** @returns how many datagrams of each attack came in somewhere on the host, or went out of it */
  const arrivals = (): Record<string, number> => {
    const names = Object.keys(attacks);
    const rules = ['in', 'out'].flatMap((chain) =>
      names.map((_, i) => `add rule inet probe ${chain} udp dport ${portAt(i)} counter;`),
    );
    host.sh(
      `nft 'add table inet probe; delete table inet probe; add table inet probe;
        add chain inet probe in { type filter hook input priority 500; };
        add chain inet probe out { type filter hook postrouting priority 500; }; ${rules.join(' ')}'`,
    );
    send(
      sandboxOf(one),
      'eth0',
      names.map((name, i) => attacks[name]?.(portAt(i)) ?? nowhere),
    );
    host.in(sandboxOf(one), 'ping -c1 -W2 10.0.0.5');
    const listed = host.sh('nft list table inet probe');
    const seen = (i: number) => [...listed.matchAll(new RegExp(`udp dport ${portAt(i)} counter packets (\\d+)`, 'g'))];
    return Object.fromEntries(
      names.map((name, i) => [name, seen(i).reduce((sum, [, count]) => sum + Number(count), 0)]),
    );
  };
  /** Counts pings in a container by where they say that they come from. */
  const countPings = (at: TestHost, sandbox: string, ...sources: readonly string[]) => {
    const rules = sources.map(
      (source) =>
        `add rule inet probe in ${source.includes(':') ? 'icmpv6 type echo-request ip6' : 'icmp type echo-request ip'} saddr ${source} counter;`,
    );
    at.in(
      sandbox,
      `nft "add table inet probe; delete table inet probe; add table inet probe;
        add chain inet probe in { type filter hook input priority 0; }; ${rules.join(' ')}"`,
    );
    return () =>
      [...at.in(sandbox, 'nft list table inet probe').matchAll(/counter packets (\d+)/g)].map(([, n]) => Number(n));
  };

  before(async () => {
    testbed = await Testbed.open();
    host = await testbed.host(`${one.data}/24`, 'fd99::1/64');
    peer = await testbed.host(`${two.data}/24`, 'fd99::2/64');
    stranger = await testbed.host(`${outside.ip}/24`, `${outside.ip6}/64`);
    stranger.sh(`ip route add 10.0.0.0/16 via ${one.data}`);
    stranger.sh('ip route add fd01::/64 via fd99::1; ip route add fd03::/64 via fd99::1');
    await host.set([...others, ...hosts]);
    await peer.set([
      ...piecesFor(two, [one]),
      {
        ...{ kind: 'remote', network: network.id, endpoint: 'x1', mac: '02:42:0a:00:00:05', via: one.data },
        addresses: ['10.0.0.5', 'fd01::5'],
      },
    ]);
    // As some programs set them.
    host.sh('sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.all.accept_source_route=1');
  });
  after(() => testbed.close());

  test('reaches containers of every host, and they reach it', () => {
    for (const address of ['10.0.0.11', 'fd01::11', '10.0.0.12', 'fd01::12', '10.0.1.14', '10.0.2.16', 'fd03::16']) {
      host.sh(`ping -c1 -W2 ${address}`);
    }
    for (const address of ['10.0.0.5', 'fd01::5']) {
      host.in(sandboxOf(one), `ping -c1 -W2 ${address}`);
      peer.in(sandboxOf(two), `ping -c1 -W2 ${address}`);
    }
    host.in(sandboxOf(inner), 'ping -c1 -W2 10.0.2.15');
  });

  test('has its own address there whatever else it speaks from', () => {
    const counted = countPings(host, sandboxOf(one), '10.0.0.5', 'fd01::5');
    host.sh(`ping -c1 -W2 -I ${one.data} 10.0.0.11; ping -c1 -W2 -I fd99::1 fd01::11`);
    assert.deepEqual(
      counted().map((count) => count > 0),
      [true, true],
    );
  });

  test('lets in who routes packets through it, with its own address', () => {
    const counted = countPings(peer, sandboxOf(two), '10.0.0.5', 'fd01::5', outside.ip, outside.ip6);
    stranger.sh('ping -c1 -W2 10.0.0.12; ping -c1 -W2 fd01::12');
    assert.deepEqual(counted(), [1, 1, 0, 0]);
  });

  test('forwards nothing to an internal network', () => {
    for (const address of ['10.0.2.16', 'fd03::16']) assert.throws(() => stranger.sh(`ping -c1 -W0.4 ${address}`));
  });

  test('gives containers no way to anywhere else', () => {
    assert.deepEqual(arrivals(), Object.fromEntries(Object.keys(attacks).map((name) => [name, 0])));
  });

  test('does not answer for its other addresses', () => {
    host.in(sandboxOf(one), 'ip addr add 10.9.0.200/24 dev eth0 nodad');
    assert.ok(!host.succeeds(sandboxOf(one), `ping -c1 -W0.4 -I 10.9.0.200 ${one.data}`));
    host.in(sandboxOf(one), 'ip addr del 10.9.0.200/24 dev eth0');
  });

  test("is no way from another network by its own container's way out", () => {
    // The attacker is on the second network alone, and has a way out; nor does it get there by the host's interface.
    for (const via of ['172.18.0.1', '10.0.1.15']) {
      host.in(sandboxOf(far), `ip route replace 10.0.0.11/32 via ${via}`);
      assert.ok(!host.succeeds(sandboxOf(far), 'ping -c1 -W0.4 10.0.0.11'), via);
    }
    host.in(sandboxOf(far), 'ip route del 10.0.0.11/32');
  });

  test('what someone of the host translates is let through, both ways', () => {
    host.sh(`nft 'add table ip theirs; add chain ip theirs pre { type nat hook prerouting priority -100; };
      add rule ip theirs pre ip daddr 10.0.0.5 udp dport 53 dnat to ${outside.ip};
      add rule ip theirs pre ip daddr ${one.data} udp dport 54 dnat to 10.0.2.16'`);
    const probe = (at: TestHost, namespace: string | undefined, port: number) => {
      const text = `nft "add table inet probe; delete table inet probe; add table inet probe;
        add chain inet probe in { type filter hook input priority 500; }; add rule inet probe in udp dport ${port} counter"`;
      if (namespace === undefined) at.sh(text);
      else at.in(namespace, text);
    };
    probe(stranger, undefined, 53);
    probe(host, sandboxOf(inner), 54);
    host.in(sandboxOf(one), 'echo x > /dev/udp/10.0.0.5/53 || bash -c "echo x > /dev/udp/10.0.0.5/53"');
    stranger.sh(`bash -c "echo x > /dev/udp/${one.data}/54"`);
    assert.match(stranger.sh('nft list table inet probe'), /packets 1 /);
    assert.match(host.in(sandboxOf(inner), 'nft list table inet probe'), /packets 1 /);
    host.sh('nft delete table ip theirs');
  });

  test('sends nothing in the name of a container, even what it forwards as it came', async () => {
    const frame = (type: number, packet: Buffer) => ethernet('02:42:0a:00:00:11', '02:42:0a:00:00:05', type, packet);
    const sources = ['192.168.7.7', '10.0.0.12', '10.0.0.1', '127.0.0.1', 'fd77::7', 'fd01::12', '::1', 'fe80::7'];
    const frames = sources.map((from) =>
      from.includes(':')
        ? frame(IP6, datagram6(from, 'fd01::11', 9))
        : frame(IP, ipv4(from, '10.0.0.11', UDP, udp(1, 9, nowhere))),
    );
    const arrived = () => {
      const rules = sources.map(
        (from) => `add rule netdev probe in ${from.includes(':') ? 'ip6' : 'ip'} saddr ${from} counter;`,
      );
      host.in(
        sandboxOf(one),
        `nft "add table netdev probe; delete table netdev probe; add table netdev probe;
          add chain netdev probe in { type filter hook ingress device eth0 priority -500; }; ${rules.join(' ')}"`,
      );
      send(undefined, device, frames);
      host.sh('ping -c1 -W2 10.0.0.11');
      const listed = host.in(sandboxOf(one), 'nft list table netdev probe; nft delete table netdev probe');
      return [...listed.matchAll(/counter packets (\d+)/g)].map(([, count]) => Number(count));
    };
    assert.deepEqual(
      arrived(),
      sources.map(() => 0),
    );
    await host.dataplane.change({ put: hostOn('as-it-came') });
    assert.deepEqual(arrived(), [1, 0, 0, 0, 1, 0, 0, 0]);

    const counted = countPings(host, sandboxOf(one), '10.0.0.5', outside.ip, outside.ip6);
    host.in(sandboxOf(one), `ip route add ${outside.ip}/32 via 10.0.0.5; ip route add ${outside.ip6}/128 via fd01::5`);
    stranger.sh('ping -c1 -W2 10.0.0.11; ping -c1 -W2 fd01::11');
    assert.deepEqual(counted(), [0, 1, 1]);
    host.in(sandboxOf(one), `ip route del ${outside.ip}/32; ip route del ${outside.ip6}/128`);
    await host.dataplane.change({ put: hostOn('masqueraded') });
    assert.deepEqual(await host.dataplane.repair(), { steps: [] });
  });

  test('passes on nothing for where names are answered', async () => {
    host.sh('ping -c1 -W2 10.0.0.11; ping -c1 -W2 fd01::11');
    stranger.sh(`ip route add 169.254.53.53 via ${one.data}; ip route add fd53::53 via fd99::1`);
    for (const address of ['169.254.53.53', 'fd53::53']) {
      host.sh(`ping -c1 -W2 ${address}`);
      assert.match(stranger.sh(`ping -c1 -W0.3 ${address} || true`), / 0 received/);
    }
  });

  test('is put right by itself, and routes of others by its interface are left alone', async () => {
    host.sh(`ip route add 192.168.70.0/24 dev ${device}; ip route add 192.168.71.0/24 via 10.0.0.12`);
    assert.deepEqual(await host.dataplane.repair(), { steps: [] });
    assert.match(host.sh('ip route'), /192\.168\.70\.0[\s\S]*192\.168\.71\.0/);
    // What is taken away is put right within 10 s.
    const patience = 30_000;
    for (const damage of [
      `ip addr del 10.0.0.5/24 dev ${device}`,
      `ip link set ${device} down`,
      `ip link del ${device}`,
      'nft flush chain ip skein exposed-in',
      'nft flush set ip skein exposed-forwarded',
    ]) {
      host.sh(damage);
      await until(
        () => !damage.startsWith('nft') || /drop/.test(host.sh('nft list chain ip skein exposed-in')),
        damage,
        patience,
      );
      await until(() => /10.0.0.5/.test(host.sh(`ip addr show ${device} up 2>/dev/null || true`)), damage, patience);
    }
    await host.dataplane.repair();
    host.sh('ping -c1 -W2 10.0.0.12');
    stranger.sh('ping -c1 -W2 10.0.0.12');
  });

  test('would be a way to all of that without its rules', async () => {
    await host.kill();
    host.sh(
      ['ip', 'ip6']
        .map((family) => ['in', 'forward'].map((chain) => `nft flush chain ${family} skein exposed-${chain}`).join(';'))
        .join(';'),
    );
    host.sh(`sysctl -qw net.ipv4.conf.${device}.accept_source_route=1`);
    assert.deepEqual(
      Object.entries(arrivals()).filter(([, count]) => count === 0),
      [],
    );
    host.in(sandboxOf(far), 'ip route add 10.0.0.11/32 via 172.18.0.1; ping -c1 -W2 10.0.0.11');
    stranger.sh('ping -c1 -W2 10.0.2.16');
    stranger.sh('ping -c1 -W2 169.254.53.53; ping -c1 -W2 fd53::53');
  });

  test('leaves nothing', async () => {
    await host.set(others);
    const expected = host.state();
    await host.set([...others, ...hosts]);
    assert.notEqual(host.state(), expected);
    await host.dataplane.change({ remove: [...hosts].toReversed().map(keyOf) });
    // Links are deleted a little later.
    await until(() => host.state() === expected, `${expected}\n\nwhere there is\n\n${host.state()}`);
  });
});
