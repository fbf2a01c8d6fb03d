import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PortPiece } from '../dataplane.ts';
import { bridgeMac } from '../overlay/network.ts';
import { network, piecesFor, portOf, remoteOf, sandboxOf } from '../sample.ts';
import { isRoot, Testbed, type TestHost } from '../testbed.ts';
import { destinationOptions, ethernet, fragment6, ipv4, ipv6, tcp, udp, vlan } from '../testbed-frames.ts';

const h1 = { number: 1, data: '10.9.0.1' };
const h2 = { number: 2, data: '10.9.0.2' };
const second = { number: 3, data: '10.9.0.1' };
const own = portOf(h1);
const [ownIp, ownIp6] = ['10.0.0.11', 'fd01::11'];
const neighbour: PortPiece = { ...portOf(second), port: 'veth1' };
const IP = 0x0800;
const IP6 = 0x86dd;
const VLAN = 0x8100;
const UNKNOWN = 0x88b5;
const TCP = 6;
const UDP = 17;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
const syn = tcp(1234, 80);
const later = { fragmentOffset: 8, moreFragments: false, id: 1 };
const others = '02:42:0a:00:00:99';

interface Victim {
  readonly mac: string;
  readonly ip: string;
  readonly ip6: string;
}
type Frame = (victim: Victim) => Buffer;

/** What a container may not send, and what of it would be seen where it arrives. */
const attacks: Record<string, { frame: Frame; seen: string }> = {
  "another's IPv4 address": {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, IP, ipv4('10.0.0.99', ip, TCP, syn)),
    seen: 'ip saddr 10.0.0.99',
  },
  "another's IPv6 address": {
    frame: ({ mac, ip6 }) => ethernet(mac, own.mac, IP6, ipv6('fd01::99', ip6, TCP, syn)),
    seen: 'ip6 saddr fd01::99',
  },
  "another's MAC, with IPv4": {
    frame: ({ mac, ip }) => ethernet(mac, others, IP, ipv4(ownIp, ip, TCP, syn)),
    seen: `ether saddr ${others} ip saddr ${ownIp}`,
  },
  "another's MAC, with IPv6": {
    frame: ({ mac, ip6 }) => ethernet(mac, others, IP6, ipv6(ownIp6, ip6, TCP, syn)),
    seen: `ether saddr ${others} ip6 saddr ${ownIp6}`,
  },
  "the gateway's MAC and address": {
    frame: ({ mac, ip }) => ethernet(mac, bridgeMac(network), IP, ipv4('10.0.0.1', ip, TCP, syn)),
    seen: `ether saddr ${bridgeMac(network)} ip saddr 10.0.0.1`,
  },
  "a later fragment of another's": {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, IP, ipv4('10.0.0.98', ip, TCP, syn, later)),
    seen: 'ip saddr 10.0.0.98',
  },
  "a later fragment of another's, with IPv6": {
    frame: ({ mac, ip6 }) => ethernet(mac, own.mac, IP6, ipv6('fd01::98', ip6, FRAGMENT, fragment6(TCP, later, syn))),
    seen: 'ip6 saddr fd01::98',
  },
  "another's address behind a VLAN tag": {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, VLAN, vlan(5, IP, ipv4('10.0.0.97', ip, TCP, syn))),
    seen: 'ip saddr 10.0.0.97',
  },
  "another's MAC behind a VLAN tag": {
    frame: ({ mac, ip }) => ethernet(mac, others, VLAN, vlan(5, IP, ipv4(ownIp, ip, TCP, syn))),
    seen: `ether saddr ${others} vlan id 5`,
  },
  'what looks like its own IPv4, as another protocol': {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, UNKNOWN, ipv4(ownIp, ip, TCP, syn)),
    seen: `meta protocol ${UNKNOWN}`,
  },
  "another's IPv6 address, its own IPv4 address where IPv4 has it": {
    frame: ({ mac, ip6 }) => ethernet(mac, own.mac, IP6, ipv6('fd01::a00:b:0:99', ip6, TCP, syn)),
    seen: 'ip6 saddr fd01::a00:b:0:99',
  },
};

/** What it may send. */
const allowed: Record<string, { frame: Frame; seen: string; short: boolean }> = {
  'TCP over IPv4': {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, IP, ipv4(ownIp, ip, TCP, syn)),
    ...{ seen: `ip saddr ${ownIp} tcp sport 1234`, short: true },
  },
  'TCP over IPv6': {
    frame: ({ mac, ip6 }) => ethernet(mac, own.mac, IP6, ipv6(ownIp6, ip6, TCP, syn)),
    ...{ seen: `ip6 saddr ${ownIp6} tcp sport 1234`, short: true },
  },
  'a later fragment of TCP': {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, IP, ipv4(ownIp, ip, TCP, tcp(1236, 80), later)),
    ...{ seen: `ip saddr ${ownIp} ip frag-off 1`, short: true },
  },
  'a fragment of TCP over IPv6': {
    frame: ({ mac, ip6 }) => ethernet(mac, own.mac, IP6, ipv6(ownIp6, ip6, FRAGMENT, fragment6(TCP, later, syn))),
    ...{ seen: `ip6 saddr ${ownIp6} frag frag-off 1`, short: false },
  },
  'TCP behind destination options': {
    frame: ({ mac, ip6 }) =>
      ethernet(mac, own.mac, IP6, ipv6(ownIp6, ip6, DESTINATION_OPTIONS, destinationOptions(TCP, syn))),
    ...{ seen: `ip6 saddr ${ownIp6} ip6 nexthdr ${DESTINATION_OPTIONS}`, short: false },
  },
  UDP: {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, IP, ipv4(ownIp, ip, UDP, udp(1234, 80, Buffer.alloc(8)))),
    ...{ seen: `ip saddr ${ownIp} udp sport 1234`, short: false },
  },
  'TCP behind a VLAN tag': {
    frame: ({ mac, ip }) => ethernet(mac, own.mac, VLAN, vlan(5, IP, ipv4(ownIp, ip, TCP, tcp(1235, 80)))),
    ...{ seen: `ip saddr ${ownIp} tcp sport 1235`, short: false },
  },
};

describe('the shortcut of a port', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let a: TestHost;
  let b: TestHost;
  const from = sandboxOf(h1);
  const tc = (command: string) => a.in(network.namespace, `tc ${command}`);

  const send = (frames: readonly Buffer[]) => {
    const script = new URL('../testbed-send.ts', import.meta.url).pathname;
    const texts = frames.map((frame) => frame.toString('hex')).join(' ');
    a.in(from, `${process.execPath} ${script} eth0 ${texts}`);
  };
  /** How many packets took the shortcut. */
  const shortened = () => {
    const sent = tc('-s filter show dev veth0 ingress').matchAll(/Sent \d+ bytes (\d+) pkt/g);
    return [...sent].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  before(async () => {
    testbed = await Testbed.open();
    a = await testbed.host(`${h1.data}/24`);
    b = await testbed.host(`${h2.data}/24`);
    await a.set([...piecesFor(h1, [h2]), { kind: 'sandbox', id: sandboxOf(second) }, neighbour]);
    await b.set([...piecesFor(h2, [h1]), remoteOf(second)]);
  });
  after(() => testbed.close());

  const places: Record<string, Place> = {
    'a container of this host': {
      victim: { mac: neighbour.mac, ip: '10.0.0.13', ip6: 'fd01::13' },
      ...{ host: () => a, sandbox: sandboxOf(second) },
    },
    'a container of another host': {
      victim: { mac: portOf(h2).mac, ip: '10.0.0.12', ip6: 'fd01::12' },
      ...{ host: () => b, sandbox: sandboxOf(h2) },
    },
  };

  /** @returns how many frames of each name arrived */
  function arrivals(
    { victim, host, sandbox }: Place,
    sent: Readonly<Record<string, { readonly frame: Frame; readonly seen: string }>>,
  ): Record<string, number> {
    const rules = Object.values(sent).map(({ seen }) => `add rule netdev probe in ${seen} counter;`);
    host().in(
      sandbox,
      `nft 'add table netdev probe; delete table netdev probe; add table netdev probe;
        add chain netdev probe in { type filter hook ingress device "eth0" priority -500; }; ${rules.join(' ')}'`,
    );
    send(Object.values(sent).map(({ frame }) => frame(victim)));
    // What was sent before has arrived when this has.
    a.in(from, `ping -c1 -W2 ${victim.ip}`);
    const counted = [
      ...host()
        .in(sandbox, 'nft list table netdev probe')
        .matchAll(/counter packets (\d+)/g),
    ];
    return Object.fromEntries(Object.keys(sent).map((name, i) => [name, Number(counted[i]?.[1])]));
  }
  const each = (sent: Record<string, unknown>, count: number) =>
    Object.fromEntries(Object.keys(sent).map((name) => [name, count]));

  for (const [where, place] of Object.entries(places)) {
    test(`is the way of its own TCP to ${where}, and of nothing else that may be sent there`, () => {
      for (const way of [true, false]) {
        const sent = Object.fromEntries(Object.entries(allowed).filter(([, { short }]) => short === way));
        const before = shortened();
        assert.deepEqual(arrivals(place, sent), each(sent, 1));
        assert.equal(shortened() - before, way ? Object.keys(sent).length : 0);
      }
    });

    test(`is no way of what is not its own to ${where}`, () => {
      const before = shortened();
      assert.deepEqual(arrivals(place, attacks), each(attacks, 0));
      assert.equal(shortened(), before);
    });
  }

  test('leaves frames to all to the bridge, and the gateway, which answers TCP', () => {
    const before = shortened();
    send([ethernet('ff:ff:ff:ff:ff:ff', own.mac, IP, ipv4(ownIp, '10.0.0.13', TCP, syn))]);
    const script = "require('net').connect(9, process.argv[1]).on('error', (e) => console.log(e.code))";
    for (const address of ['10.0.0.1', 'fd01::1']) {
      assert.equal(a.in(from, `timeout 9 ${process.execPath} -e "${script}" ${address}`).trim(), 'ECONNREFUSED');
    }
    assert.equal(shortened(), before);
  });

  test('to a MAC that nobody has leads nowhere', () => {
    const received = () => Number(b.in(network.namespace, 'cat /sys/class/net/vxlan0/statistics/rx_packets'));
    const [before, way] = [received(), shortened()];
    send([ethernet('02:42:0a:00:00:77', own.mac, IP, ipv4(ownIp, '10.0.0.77', TCP, syn))]);
    assert.equal(shortened(), way + 1);
    a.in(from, 'ping -c1 -W2 10.0.0.13');
    assert.equal(received(), before);
  });

  test('of an address that is another one now lets the former pass no more', async () => {
    const place = places['a container of another host'] ?? assert.fail();
    const { frame, seen } = allowed['TCP over IPv4'] ?? assert.fail();
    const sent = { former: { frame, seen } };
    const [moved, kept] = [['10.0.0.21/24', 'fd01::11/64'], own.addresses];
    await a.dataplane.change({ put: [{ ...own, addresses: moved }] });
    // The fence answers to the new address only if the other host knows it.
    await b.dataplane.change({ put: [{ ...remoteOf(h1), addresses: moved }] });
    assert.deepEqual(arrivals(place, sent), { former: 0 });
    await a.dataplane.change({ put: [{ ...own, addresses: kept }] });
    await b.dataplane.change({ put: [remoteOf(h1)] });
    assert.deepEqual(arrivals(place, sent), { former: 1 });
  });

  test('would let all attacks pass if it did not compare the source, though the rules are there', async () => {
    await a.kill();
    tc('qdisc del dev veth0 clsact; tc qdisc add dev veth0 clsact');
    const ping = 'protocol ip prio 1 u32 match ip protocol 1 0xff flowid 1:1';
    tc(`filter add dev veth0 ingress ${ping}`);
    tc(
      'filter add dev veth0 ingress protocol all prio 2 u32 match u16 0x0242 0xffff at -14 match u32 0 0 action mirred egress redirect dev vxlan0',
    );
    for (const place of Object.values(places)) assert.deepEqual(arrivals(place, attacks), each(attacks, 1));
  });

  test('leaves attacks to the rules: they arrive when there are none', () => {
    tc('qdisc del dev veth0 clsact');
    a.in(network.namespace, 'nft delete table netdev skein; bridge link set dev veth0 locked off');
    for (const place of Object.values(places)) assert.deepEqual(arrivals(place, attacks), each(attacks, 1));
  });
});

interface Place {
  readonly victim: Victim;
  readonly host: () => TestHost;
  readonly sandbox: string;
}
