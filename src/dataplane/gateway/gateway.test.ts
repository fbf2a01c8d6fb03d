import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { linkLocalOf } from '../../lib/link-local.ts';
import type { Piece, PortPiece } from '../dataplane.ts';
import { macFor } from '../mac.ts';
import { exitOf, network, piecesFor, portOf, sandboxOf } from '../sample.ts';
import { isRoot, Testbed, type TestHost } from '../testbed.ts';
import { arp, ethernet, icmpv6, ipv4, ipv6, udp, udp6 } from '../testbed-frames.ts';

const one = '10.9.0.1';
const outside = { ip: '10.9.0.9', ip6: 'fd99::9' };
/** With a way out; it attacks. */
const attacker = { number: 1, data: one };
/** On two networks, with a way out, and it forwards. */
const victim = { number: 2, data: one };
/** On an internal network alone. */
const inner = { number: 3, data: one };
/** On the second network. */
const far = { number: 4, data: one };
const second = {
  ...network,
  id: '77aa00bb11cc',
  namespace: '2-77aa00bb11',
  vni: 257,
  gateways: ['10.0.1.1/24', 'fd02::1/64'],
};
const onSecond = (of: typeof far): PortPiece => ({
  ...{ ...portOf(of), network: second.id, endpoint: `s${of.number}`, interface: 'eth2', port: `veth${of.number}` },
  ...{ mac: `02:42:0a:00:01:1${of.number}`, addresses: [`10.0.1.1${of.number}/24`, `fd02::1${of.number}/64`] },
});
const pieces: readonly Piece[] = [
  ...piecesFor(attacker, []),
  ...[victim, inner, far].map((of): Piece => ({ kind: 'sandbox', id: sandboxOf(of) })),
  second,
  { ...portOf(victim), port: 'veth1' },
  { ...portOf(inner), port: 'veth2' },
  ...[victim, far].map(onSecond),
  exitOf(victim, 3),
];

const exit = exitOf(attacker);
const bridge = macFor('gateway bridge');
const [IP, ARP, IP6, UDP, ICMP6] = [0x0800, 0x0806, 0x86dd, 17, 58];
const nowhere = Buffer.alloc(8);
const local = linkLocalOf(exit.mac);

/** A frame, where it comes from, and where and as what it would be seen. */
interface Attack {
  readonly by: { readonly sandbox: string; readonly interface: string };
  readonly frame: Buffer;
  readonly at: { readonly namespace?: string; readonly device: string };
  readonly seen: string;
}

const byExit = { sandbox: sandboxOf(attacker), interface: 'eth1' };
const byInner = { sandbox: sandboxOf(inner), interface: 'eth0' };
const onBridge = { device: 'skein_gwbridge' };
const toVictim = (type: number, packet: Buffer) => ethernet(portOf(victim).mac, portOf(inner).mac, type, packet);
const toHost = (type: number, packet: Buffer, mac = exit.mac) => ethernet(bridge, mac, type, packet);
const datagram6 = (from: string, to: string) => ipv6(from, to, UDP, udp6({ from, to }, 1, 2, nowhere));

/** Loose, with the other container as its next place. */
const sourceRoute = Buffer.of(131, 7, 4, 172, 18, 0, 3, 0);

const attacks: Record<string, Attack> = {
  "another container's address, to the host": {
    frame: toHost(IP, ipv4('172.18.0.3', '172.18.0.1', UDP, udp(1, 2, nowhere))),
    ...{ by: byExit, at: onBridge, seen: 'ip saddr 172.18.0.3 udp dport 2' },
  },
  "another container's IPv6 address, to the host": {
    frame: toHost(IP6, datagram6('fd18::3', 'fd18::1')),
    ...{ by: byExit, at: onBridge, seen: 'ip6 saddr fd18::3 udp dport 2' },
  },
  "a peer's address, to the host": {
    frame: toHost(IP, ipv4('10.9.0.2', one, UDP, udp(1, 2, nowhere))),
    ...{ by: byExit, at: onBridge, seen: 'ip saddr 10.9.0.2' },
  },
  "another container's MAC, to the host": {
    frame: toHost(IP, ipv4('172.18.0.2', '172.18.0.1', UDP, udp(1, 2, nowhere)), '02:42:ac:12:00:03'),
    ...{ by: byExit, at: onBridge, seen: 'ether saddr 02:42:ac:12:00:03 udp dport 2' },
  },
  "an ARP answer for another container's address, to the host": {
    frame: toHost(ARP, arp(2, { mac: exit.mac, ip: '172.18.0.3' }, { mac: bridge, ip: '172.18.0.1' })),
    ...{ by: byExit, at: onBridge, seen: 'arp saddr ip 172.18.0.3' },
  },
  'a router advertisement, to the host': {
    frame: toHost(IP6, ipv6(local, 'ff02::1', ICMP6, icmpv6(134, Buffer.alloc(12)))),
    ...{ by: byExit, at: onBridge, seen: 'icmpv6 type nd-router-advert' },
  },
  'a DHCP answer, to the host': {
    frame: toHost(IP, ipv4('172.18.0.2', '172.18.0.1', UDP, udp(67, 68, nowhere))),
    ...{ by: byExit, at: onBridge, seen: 'udp dport 68' },
  },
  'to 127.0.0.1 of a host that lets this in': {
    frame: toHost(IP, ipv4('172.18.0.2', '127.0.0.1', UDP, udp(1, 2, nowhere))),
    ...{ by: byExit, at: onBridge, seen: 'ip daddr 127.0.0.1' },
  },
  'to another container, by way of a host that follows source routes': {
    frame: toHost(IP, ipv4('172.18.0.2', '172.18.0.1', UDP, udp(1, 2, nowhere), { options: sourceRoute })),
    ...{ by: byExit, at: { namespace: sandboxOf(victim), device: 'eth1' }, seen: 'ip saddr 172.18.0.2 udp dport 2' },
  },
  'from an internal network to the outside, by way of a container that forwards': {
    frame: toVictim(IP, ipv4('10.0.0.13', outside.ip, UDP, udp(1, 2, nowhere))),
    ...{ by: byInner, at: onBridge, seen: 'ip saddr 10.0.0.13' },
  },
  'from an internal network to the outside over IPv6, by way of a container that forwards': {
    frame: toVictim(IP6, datagram6('fd01::13', outside.ip6)),
    ...{ by: byInner, at: onBridge, seen: 'ip6 saddr fd01::13' },
  },
  'from one network to another, by way of a container that forwards': {
    frame: toVictim(IP, ipv4('10.0.0.13', '10.0.1.14', UDP, udp(1, 2, nowhere))),
    ...{ by: byInner, at: { namespace: sandboxOf(far), device: 'eth2' }, seen: 'ip saddr 10.0.0.13' },
  },
  'from one network to another over IPv6, by way of a container that forwards': {
    frame: toVictim(IP6, datagram6('fd01::13', 'fd02::14')),
    ...{ by: byInner, at: { namespace: sandboxOf(far), device: 'eth2' }, seen: 'ip6 saddr fd01::13' },
  },
};

describe('from a container, the host and other networks', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let host: TestHost;
  let stranger: TestHost;
  const [from, to] = [sandboxOf(attacker), sandboxOf(victim)];
  const run = (namespace: string | undefined, command: string) =>
    namespace === undefined ? host.sh(command) : host.in(namespace, command);

  /** @returns how many frames of each name arrived */
  const arrivals = (): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const [name, { by, frame, at, seen }] of Object.entries(attacks)) {
      run(
        at.namespace,
        `nft 'add table netdev probe; delete table netdev probe; add table netdev probe;
          add chain netdev probe in { type filter hook ingress device "${at.device}" priority -500; };
          add rule netdev probe in ${seen} counter'`,
      );
      const script = new URL('../testbed-send.ts', import.meta.url).pathname;
      host.in(by.sandbox, `${process.execPath} ${script} ${by.interface} ${frame.toString('hex')}`);
      host.in(by.sandbox, `ping -c1 -W2 ${by === byExit ? '172.18.0.1' : '10.0.0.12'}`);
      host.in(to, 'ping -c1 -W2 172.18.0.1 && ping -c1 -W2 10.0.1.14');
      counts[name] = Number(/packets (\d+)/.exec(run(at.namespace, 'nft list table netdev probe'))?.[1]);
    }
    return counts;
  };

  /** What reaches another container over the gateway bridge, or a container from outside. */
  const ways: Record<string, () => boolean> = {
    'the gateway bridge': () => host.succeeds(from, 'ping -c1 -W1 172.18.0.3'),
    'the gateway bridge over IPv6': () => host.succeeds(from, 'ping -c1 -W1 fd18::3'),
    'link-local addresses on the gateway bridge': () =>
      host.succeeds(from, `ping -c1 -W1 ${linkLocalOf('02:42:ac:12:00:03')}%eth1`),
  };

  before(async () => {
    testbed = await Testbed.open();
    host = await testbed.host(`${one}/24`, 'fd99::1/64');
    stranger = await testbed.host(`${outside.ip}/24`, `${outside.ip6}/64`);
    await host.set(pieces);
    host.in(to, 'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
    // As some programs set it, to publish ports on 127.0.0.1.
    host.sh('sysctl -qw net.ipv4.conf.all.route_localnet=1');
    host.sh(
      ['all', 'skein_gwbridge'].map((each) => `sysctl -qw net.ipv4.conf.${each}.accept_source_route=1`).join(';'),
    );
  });
  after(() => testbed.close());

  test('are not reached in any of these ways', () => {
    assert.deepEqual(arrivals(), Object.fromEntries(Object.keys(attacks).map((name) => [name, 0])));
  });

  for (const [name, reaches] of Object.entries(ways)) {
    test(`no other container is reached by ${name}`, () => {
      assert.ok(!reaches());
    });
  }

  test('the outside is, and the host at its gateway address', () => {
    for (const address of ['172.18.0.1', 'fd18::1', outside.ip, outside.ip6]) host.in(from, `ping -c1 -W2 ${address}`);
  });

  const addresses = ['10.0.0.11', 'fd01::11'];
  test('the host does not reach containers on overlays, nor does who routes packets to them through it', () => {
    stranger.sh(`ip route add 10.0.0.0/24 via ${one}; ip route add fd01::/64 via fd99::1`);
    for (const address of addresses) {
      for (const each of [host, stranger]) assert.throws(() => each.sh(`ping -c1 -W1 ${address}`), address);
    }
  });

  test('would be reached without the rules, locks and isolation of ports, and by a cable', async () => {
    await host.kill();
    host.sh(
      'nft delete table netdev skein; for p in veth0000002 veth0000003; do bridge link set dev $p isolated off locked off; done',
    );
    host.in(second.namespace, 'nft delete table netdev skein; bridge link set dev veth2 locked off');
    // These stop what is forwarded, and bridged packets once more where they meet rules of IP.
    host.sh('nft flush chain ip skein gateway-forward; nft flush chain ip6 skein gateway-forward');
    // Some succeed so well that what is looked at afterwards would fall with them.
    host.sh('ip neigh replace 172.18.0.3 lladdr 02:42:ac:12:00:03 dev skein_gwbridge nud permanent');
    const stopped = Object.entries(arrivals()).filter(([, count]) => count === 0);
    assert.deepEqual(stopped, []);
    for (const [name, reaches] of Object.entries(ways)) assert.ok(reaches(), name);

    host.sh(`ip link add cable0 type veth peer name cable1 netns ${network.namespace}; ip link set cable0 up
      ip addr add 10.0.0.250/24 dev cable0; ip addr add fd01::250/64 dev cable0 nodad`);
    host.in(network.namespace, 'ip link set cable1 master br0 up');
    for (const address of addresses) host.sh(`ping -c1 -W2 ${address}`);
  });
});
