import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ExitPiece, PortPiece } from '../dataplane.ts';
import { linkLocalOf } from '../mac.ts';
import { exitOf, network, piecesFor, portOf, sandboxOf } from '../sample.ts';
import { isRoot, Testbed, type TestHost } from '../testbed.ts';
import { addressBytes, arp, ethernet, icmpv6, ipv4, ipv6, udp } from '../testbed-frames.ts';

const attacker = { number: 1, data: '10.9.0.1' };
const victim = { number: 2, data: '10.9.0.1' };
const own = portOf(attacker);
const target: PortPiece = { ...portOf(victim), port: 'veth1' };
const exit: ExitPiece = exitOf(victim, 3);
const [ownIp, ownIp6, hisIp, hisIp6] = ['10.0.0.11', 'fd01::11', '10.0.0.12', 'fd01::12'];
const local = linkLocalOf(own.mac);
const allNodes = { mac: '33:33:00:00:00:01', ip: 'ff02::1' };
const nowhere = Buffer.alloc(8);
const IP = 0x0800;
const IP6 = 0x86dd;
const UDP = 17;
const ICMP6 = 58;

/** What a container may not send, and what of it would be seen where it arrives. */
const attacks: Record<string, { frame: Buffer; seen: string }> = {
  "another's IPv4 address": {
    frame: ethernet(target.mac, own.mac, IP, ipv4('10.0.0.99', hisIp, UDP, udp(1, 2, nowhere))),
    seen: 'ip saddr 10.0.0.99',
  },
  'no IPv4 address': {
    frame: ethernet(target.mac, own.mac, IP, ipv4('0.0.0.0', '255.255.255.255', UDP, udp(68, 67, nowhere))),
    seen: 'ip saddr 0.0.0.0',
  },
  "another's MAC": {
    frame: ethernet(target.mac, '02:42:0a:00:00:99', IP, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere))),
    seen: 'ether saddr 02:42:0a:00:00:99',
  },
  "another's IPv6 address": {
    frame: ethernet(target.mac, own.mac, IP6, ipv6('fd01::99', hisIp6, UDP, udp(1, 2, nowhere))),
    seen: 'ip6 saddr fd01::99',
  },
  "an ARP answer for the gateway's address": {
    frame: ethernet(
      target.mac,
      own.mac,
      0x0806,
      arp(2, { mac: own.mac, ip: '10.0.0.1' }, { mac: target.mac, ip: hisIp }),
    ),
    seen: `arp saddr ether ${own.mac} arp saddr ip 10.0.0.1`,
  },
  "an ARP answer with another's MAC": {
    frame: ethernet(
      target.mac,
      own.mac,
      0x0806,
      arp(2, { mac: '02:42:0a:00:00:99', ip: ownIp }, { mac: target.mac, ip: hisIp }),
    ),
    seen: 'arp saddr ether 02:42:0a:00:00:99',
  },
  'a router advertisement': {
    frame: ethernet(allNodes.mac, own.mac, IP6, ipv6(local, allNodes.ip, ICMP6, icmpv6(134, Buffer.alloc(12)))),
    seen: 'icmpv6 type nd-router-advert',
  },
  'a redirect': {
    frame: ethernet(target.mac, own.mac, IP6, ipv6(local, hisIp6, ICMP6, icmpv6(137, Buffer.alloc(36)))),
    seen: 'icmpv6 type nd-redirect',
  },
  "a neighbour advertisement for another's address": {
    frame: ethernet(
      target.mac,
      own.mac,
      IP6,
      ipv6(ownIp6, hisIp6, ICMP6, icmpv6(136, Buffer.concat([Buffer.of(0x20, 0, 0, 0), addressBytes('fd01::1')]))),
    ),
    seen: `icmpv6 type nd-neighbor-advert ip6 saddr ${ownIp6} @th,64,128 0xfd010000000000000000000000000001`,
  },
  'a DHCP answer': {
    frame: ethernet(target.mac, own.mac, IP, ipv4(ownIp, hisIp, UDP, udp(67, 68, nowhere))),
    seen: 'udp sport 67',
  },
  'a DHCPv6 answer': {
    frame: ethernet(target.mac, own.mac, IP6, ipv6(local, hisIp6, UDP, udp(547, 546, nowhere))),
    seen: 'udp sport 547',
  },
  'a frame that is no IP': {
    frame: ethernet(target.mac, own.mac, 0x88cc, nowhere),
    seen: 'meta protocol 0x88cc',
  },
};

describe('a port', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let host: TestHost;
  const [from, to] = [sandboxOf(attacker), sandboxOf(victim)];

  const send = (frame: Buffer) => {
    const script = new URL('../testbed-send.ts', import.meta.url).pathname;
    host.in(from, `${process.execPath} ${script} eth0 ${frame.toString('hex')}`);
  };
  const watch = (rule: string) =>
    host.in(
      to,
      `nft 'add table netdev probe; delete table netdev probe; add table netdev probe;
        add chain netdev probe in { type filter hook ingress device "eth0" priority -500; };
        add rule netdev probe in ${rule} counter'`,
    );
  const seen = () => Number(/packets (\d+)/.exec(host.in(to, 'nft list table netdev probe'))?.[1]);
  /** What was sent before has arrived when this has. */
  const fence = () => host.in(from, `ping -c1 -W2 ${hisIp}`);

  before(async () => {
    testbed = await Testbed.open();
    host = await testbed.host('10.9.0.1/24');
    await host.set([...piecesFor(attacker, []), { kind: 'sandbox', id: to }, target, exit]);
  });
  after(() => testbed.close());

  for (const [name, { frame, seen: rule }] of Object.entries(attacks)) {
    test(`lets through no frame with ${name}`, () => {
      watch(rule);
      send(frame);
      fence();
      assert.equal(seen(), 0);
    });
  }

  test('lets through IPv4, IPv6, fragments and ARP of its own', () => {
    for (const address of [hisIp, hisIp6]) host.in(from, `ping -c1 -W2 -s 3000 ${address}`);
    host.in(from, 'ip neigh flush all');
    fence();
  });

  test('on the gateway bridge reaches no other sandbox, neither directly nor by way of the host', () => {
    host.in(from, 'ping -c1 -W2 172.18.0.1');
    assert.ok(!host.succeeds(from, 'ping -c1 -W1 172.18.0.3'));
    host.in(from, 'ip route add 172.18.0.3/32 via 172.18.0.1');
    host.in(to, 'ip route add 172.18.0.2/32 via 172.18.0.1');
    assert.ok(!host.succeeds(from, 'ping -c1 -W1 172.18.0.3'));
    assert.ok(!host.succeeds(from, 'ping -c1 -W1 fd18::3'));
  });

  test('would let all of it through without its rules', async () => {
    await host.kill();
    host.in(network.namespace, 'nft delete table netdev skein; bridge link set dev veth0 locked off');
    // Some succeed so well that the fence would fall with them.
    host.in(to, `ip neigh replace ${ownIp} lladdr ${own.mac} dev eth0 nud permanent`);
    for (const [name, { frame, seen: rule }] of Object.entries(attacks)) {
      watch(rule);
      send(frame);
      fence();
      assert.ok(seen() > 0, name);
    }
    host.sh('nft flush chain ip skein gateway-forward');
    host.in(from, 'ping -c1 -W2 172.18.0.3');
    host.in(from, 'ip route del 172.18.0.3');
    host.in(to, 'ip route del 172.18.0.2');
    host.sh('bridge link set dev veth0000002 isolated off; bridge link set dev veth0000003 isolated off');
    host.in(from, 'ping -c1 -W2 172.18.0.3');
  });
});
