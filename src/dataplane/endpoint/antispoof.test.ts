import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { linkLocalOf } from '../../lib/link-local.ts';
import type { ExitPiece, PortPiece } from '../dataplane.ts';
import { bridgeMac } from '../overlay/network.ts';
import { exitOf, network, piecesFor, portOf, sandboxOf } from '../sample.ts';
import { isRoot, Testbed, type TestHost } from '../testbed.ts';
import {
  addressBytes,
  arp,
  destinationOptions,
  ethernet,
  fragment6,
  type Ipv4Header,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  udp,
  vlan,
} from '../testbed-frames.ts';

const attacker = { number: 1, data: '10.9.0.1' };
const victim = { number: 2, data: '10.9.0.1' };
const own = portOf(attacker);
const target: PortPiece = { ...portOf(victim), port: 'veth1' };
const exit: ExitPiece = exitOf(victim, 3);
const [ownIp, ownIp6, hisIp, hisIp6] = ['10.0.0.11', 'fd01::11', '10.0.0.12', 'fd01::12'];
const local = linkLocalOf(own.mac);
const others = '02:42:0a:00:00:99';
const toAll = 'ff:ff:ff:ff:ff:ff';
const toAllNodes = '33:33:00:00:00:01';
const allNodes = 'ff02::1';
const nowhere = Buffer.alloc(8);
const IP = 0x0800;
const ARP = 0x0806;
const IP6 = 0x86dd;
const VLAN = 0x8100;
const ICMP = 1;
const IGMP = 2;
const UDP = 17;
const FRAGMENT = 44;
const ICMP6 = 58;
const DESTINATION_OPTIONS = 60;

/** What a container may not send, and what of it would be seen where it arrives. */
const attacks: Record<string, { frame: Buffer; seen: string }> = {
  // In another's name.
  "another's IPv4 address": { frame: packet4('10.0.0.99'), seen: 'ip saddr 10.0.0.99' },
  "the gateway's IPv4 address": { frame: packet4('10.0.0.1'), seen: 'ip saddr 10.0.0.1' },
  'no IPv4 address': {
    frame: ethernet(toAll, own.mac, IP, ipv4('0.0.0.0', '255.255.255.255', UDP, udp(68, 67, nowhere))),
    seen: 'ip saddr 0.0.0.0',
  },
  'an IPv4 address of lo': { frame: packet4('127.0.0.1'), seen: 'ip saddr 127.0.0.1' },
  "another's IPv4 address behind options": {
    frame: packet4('10.0.0.98', udp(1, 2, nowhere), { options: Buffer.alloc(40, 1) }),
    seen: 'ip saddr 10.0.0.98',
  },
  "another's IPv4 address in a header that says it is longer than the frame": {
    frame: ethernet(target.mac, own.mac, IP, headerThatLies('10.0.0.97')),
    seen: 'ip saddr 10.0.0.97',
  },
  "another's MAC": {
    frame: ethernet(target.mac, others, IP, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere))),
    seen: `ether saddr ${others}`,
  },
  'the MAC of who receives it': {
    frame: ethernet(toAll, target.mac, IP, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere))),
    seen: `ether saddr ${target.mac}`,
  },
  "the gateway's MAC": {
    frame: ethernet(target.mac, bridgeMac(network), IP, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere))),
    seen: `ether saddr ${bridgeMac(network)} ip saddr ${ownIp}`,
  },
  "another's IPv6 address": { frame: packet6('fd01::99'), seen: 'ip6 saddr fd01::99' },
  "the gateway's IPv6 address": { frame: packet6('fd01::1'), seen: 'ip6 saddr fd01::1' },
  "another's link-local address": { frame: packet6(linkLocalOf(others)), seen: `ip6 saddr ${linkLocalOf(others)}` },
  'no IPv6 address': { frame: packet6('::'), seen: 'ip6 saddr :: udp dport 2' },

  // ARP and neighbour discovery for others.
  "an ARP answer for the gateway's address": {
    frame: says(arp(2, { mac: own.mac, ip: '10.0.0.1' }, { mac: target.mac, ip: hisIp }), target.mac),
    seen: `arp operation reply arp saddr ether ${own.mac} arp saddr ip 10.0.0.1`,
  },
  "an ARP announcement of the gateway's address": {
    frame: says(arp(1, { mac: own.mac, ip: '10.0.0.1' }, { mac: '00:00:00:00:00:00', ip: '10.0.0.1' }), toAll),
    seen: `arp operation request arp saddr ether ${own.mac} arp saddr ip 10.0.0.1`,
  },
  "an ARP answer with another's MAC": {
    frame: says(arp(2, { mac: others, ip: ownIp }, { mac: target.mac, ip: hisIp }), target.mac),
    seen: `arp saddr ether ${others}`,
  },
  "an ARP answer for another's address behind a VLAN tag": {
    frame: ethernet(
      target.mac,
      own.mac,
      VLAN,
      vlan(5, ARP, arp(2, { mac: own.mac, ip: '10.0.0.96' }, { mac: target.mac, ip: hisIp })),
    ),
    seen: 'arp saddr ip 10.0.0.96',
  },
  "a neighbour advertisement for the gateway's address": {
    frame: message6(ownIp6, hisIp6, icmpv6(136, advert('fd01::1'))),
    seen: `icmpv6 type nd-neighbor-advert @th,64,128 0xfd010000000000000000000000000001`,
  },
  "a neighbour advertisement to all for another's address, from its link-local one": {
    frame: message6(local, allNodes, icmpv6(136, advert('fd01::99')), toAllNodes),
    seen: 'icmpv6 type nd-neighbor-advert @th,64,128 0xfd010000000000000000000000000099',
  },
  "a neighbour advertisement for another's address that is in the second fragment": {
    frame: firstFragment(7001, ICMP6, icmpv6(136, advert('fd01::1')).subarray(0, 8)),
    seen: 'frag id 7001',
  },

  // What only routers say.
  'a router advertisement': {
    frame: message6(local, allNodes, icmpv6(134, Buffer.alloc(12)), toAllNodes),
    seen: 'ip6 nexthdr 58 icmpv6 type nd-router-advert',
  },
  'a router advertisement behind destination options': {
    frame: ethernet(
      toAllNodes,
      own.mac,
      IP6,
      ipv6(local, allNodes, DESTINATION_OPTIONS, destinationOptions(ICMP6, icmpv6(134, Buffer.alloc(12)))),
    ),
    seen: `ip6 nexthdr ${DESTINATION_OPTIONS} icmpv6 type nd-router-advert`,
  },
  'a router advertisement in fragments': {
    frame: firstFragment(7002, ICMP6, icmpv6(134, Buffer.alloc(12))),
    seen: 'frag id 7002',
  },
  'a router advertisement that is in the second fragment': {
    frame: firstFragment(7003, DESTINATION_OPTIONS, destinationOptions(ICMP6, Buffer.alloc(0))),
    seen: 'frag id 7003',
  },
  'a router advertisement in the second fragment, behind headers that go on there': {
    frame: firstFragment(7004, DESTINATION_OPTIONS, destinationOptions(DESTINATION_OPTIONS, Buffer.alloc(0))),
    seen: 'frag id 7004',
  },
  'a redirect': { frame: message6(local, hisIp6, icmpv6(137, Buffer.alloc(36))), seen: 'icmpv6 type nd-redirect' },
  "an IPv4 redirect in the gateway's name": {
    frame: packet4('10.0.0.1', icmp(5, 1, Buffer.alloc(32)), { protocol: ICMP }),
    seen: 'icmp type redirect',
  },
  'a question of a multicast router': {
    frame: message6(local, allNodes, icmpv6(130, Buffer.alloc(20)), toAllNodes),
    seen: 'icmpv6 type mld-listener-query',
  },
  'a question of an IPv4 multicast router': {
    frame: ethernet(
      '01:00:5e:00:00:01',
      own.mac,
      IP,
      ipv4(ownIp, '224.0.0.1', IGMP, Buffer.of(0x11, 100, 0, 0, 0, 0, 0, 0)),
    ),
    seen: 'igmp type membership-query',
  },

  // What a DHCP client hears.
  'a DHCP answer': { frame: packet4(ownIp, udp(67, 68, nowhere)), seen: 'udp sport 67 udp dport 68' },
  'a DHCP answer from another port': {
    frame: packet4(ownIp, udp(1067, 68, nowhere)),
    seen: 'udp sport 1067 udp dport 68',
  },
  'a DHCP answer in fragments': {
    frame: packet4(ownIp, udp(2067, 68, nowhere), { moreFragments: true, id: 9 }),
    seen: 'udp sport 2067 udp dport 68',
  },
  'a DHCPv6 answer': { frame: packet6(local, udp(547, 546, nowhere)), seen: 'udp sport 547 udp dport 546' },
  'a DHCPv6 answer from another port': {
    frame: packet6(local, udp(1547, 546, nowhere)),
    seen: 'udp sport 1547 udp dport 546',
  },
  'a DHCPv6 answer that is in the second fragment': {
    frame: firstFragment(7005, DESTINATION_OPTIONS, destinationOptions(UDP, Buffer.alloc(0))),
    seen: 'frag id 7005',
  },

  // What is neither IP nor ARP.
  'a BPDU of a spanning tree': {
    frame: ethernet('01:80:c2:00:00:00', own.mac, 38, Buffer.concat([Buffer.of(0x42, 0x42, 3), Buffer.alloc(35)])),
    seen: 'ether daddr 01:80:c2:00:00:00',
  },
  ...Object.fromEntries(
    Object.entries({
      LLDP: 0x88cc,
      EAPOL: 0x888e,
      'flow control': 0x8808,
      RARP: 0x8035,
      MPLS: 0x8847,
      PPPoE: 0x8863,
      MACsec: 0x88e5,
      'Ethernet in Ethernet': 0x6558,
      'a loopback test': 0x9000,
      'a type of nobody': 0x88b5,
    }).map(([name, type]) => [
      `a frame of ${name}`,
      {
        frame: ethernet(target.mac, own.mac, type, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere))),
        seen: `meta protocol ${type}`,
      },
    ]),
  ),
  'a packet of its own behind two VLAN tags': {
    frame: ethernet(target.mac, own.mac, VLAN, vlan(6, VLAN, vlan(5, IP, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere))))),
    seen: `ether saddr ${own.mac} vlan id 6`,
  },
  'a packet of its own behind a VLAN tag of a provider and one of a customer': {
    frame: ethernet(toAll, own.mac, 0x88a8, vlan(7, VLAN, vlan(5, IP, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere))))),
    seen: `ether daddr ${toAll} meta protocol ${VLAN}`,
  },
};

/** To the victim, from the container's own MAC. */
function packet4(
  from: string,
  payload = udp(1, 2, nowhere),
  { protocol = UDP, ...header }: Ipv4Header & { protocol?: number } = {},
): Buffer {
  return ethernet(target.mac, own.mac, IP, ipv4(from, hisIp, protocol, payload, header));
}

function packet6(from: string, payload = udp(1, 2, nowhere)): Buffer {
  return ethernet(target.mac, own.mac, IP6, ipv6(from, hisIp6, UDP, payload));
}

function message6(from: string, to: string, message: Buffer, mac = target.mac): Buffer {
  return ethernet(mac, own.mac, IP6, ipv6(from, to, ICMP6, message));
}

function firstFragment(id: number, next: number, payload: Buffer): Buffer {
  const header = { id, fragmentOffset: 0, moreFragments: true };
  return ethernet(target.mac, own.mac, IP6, ipv6(local, hisIp6, FRAGMENT, fragment6(next, header, payload)));
}

function says(message: Buffer, to: string): Buffer {
  return ethernet(to, own.mac, ARP, message);
}

/** What a neighbour advertisement says, to be believed. */
function advert(address: string): Buffer {
  return Buffer.concat([Buffer.of(0x20, 0, 0, 0), addressBytes(address)]);
}

function headerThatLies(from: string): Buffer {
  const packet = ipv4(from, hisIp, UDP, udp(1, 2, nowhere));
  packet.writeUInt8(0x4f, 0);
  packet.writeUInt16BE(1400, 2);
  return packet;
}

describe('a port', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let host: TestHost;
  const [from, to] = [sandboxOf(attacker), sandboxOf(victim)];

  const send = (frames: readonly Buffer[]) => {
    const script = new URL('../testbed-send.ts', import.meta.url).pathname;
    const texts = frames.map((frame) => frame.toString('hex')).join(' ');
    host.in(from, `${process.execPath} ${script} eth0 ${texts}`);
  };
  /** @returns how many frames of each name arrived */
  const arrivals = (sent: typeof attacks): Record<string, number> => {
    const rules = Object.values(sent).map(({ seen }) => `add rule netdev probe in ${seen} counter;`);
    host.in(
      to,
      `nft 'add table netdev probe; delete table netdev probe; add table netdev probe;
        add chain netdev probe in { type filter hook ingress device "eth0" priority -500; }; ${rules.join(' ')}'`,
    );
    send(Object.values(sent).map(({ frame }) => frame));
    fence();
    const counted = [...host.in(to, 'nft list table netdev probe').matchAll(/counter packets (\d+)/g)];
    return Object.fromEntries(Object.keys(sent).map((name, i) => [name, Number(counted[i]?.[1])]));
  };
  /** What was sent before has arrived when this has. */
  const fence = () => host.in(from, `ping -c1 -W2 ${hisIp}`);

  before(async () => {
    testbed = await Testbed.open();
    host = await testbed.host('10.9.0.1/24');
    await host.set([...piecesFor(attacker, []), { kind: 'sandbox', id: to }, target, exit]);
  });
  after(() => testbed.close());

  test('lets through none of these frames', () => {
    assert.deepEqual(arrivals(attacks), Object.fromEntries(Object.keys(attacks).map((name) => [name, 0])));
  });

  /** @returns how many MACs the bridge learned of a container that sends from many. */
  const learned = () => {
    const macs = Array.from({ length: 200 }, (_, i) => `02:42:ff:00:00:${i.toString(16).padStart(2, '0')}`);
    send(macs.map((mac) => ethernet(toAll, mac, IP, ipv4(ownIp, hisIp, UDP, udp(1, 2, nowhere)))));
    fence();
    return host.in(network.namespace, 'bridge fdb show br br0').match(/02:42:ff:/g)?.length ?? 0;
  };

  test('learns no MACs', () => {
    assert.equal(learned(), 0);
  });

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
    const stopped = Object.entries(arrivals(attacks)).filter(([, count]) => count === 0);
    assert.deepEqual(stopped, []);
    host.in(network.namespace, 'bridge link set dev veth0 learning on');
    assert.equal(learned(), 200);
    host.sh('nft flush chain ip skein gateway-forward');
    host.in(from, 'ping -c1 -W2 172.18.0.3');
    host.in(from, 'ip route del 172.18.0.3');
    host.in(to, 'ip route del 172.18.0.2');
    host.sh('bridge link set dev veth0000002 isolated off; bridge link set dev veth0000003 isolated off');
    host.in(from, 'ping -c1 -W2 172.18.0.3');
  });
});
