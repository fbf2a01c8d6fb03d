import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Piece } from '../dataplane.ts';
import { network, piecesFor, portOf, sandboxOf } from '../sample.ts';
import { allowedCpus, isRoot, Testbed, type TestHost, until } from '../testbed.ts';
import {
  addressBytes,
  destinationOptions,
  ethernet,
  fragment6,
  icmp,
  icmp6,
  ipv4,
  ipv6,
  udp,
  udp6,
  vxlan,
} from '../testbed-frames.ts';

const ICMP = 1;
const UDP = 17;
const FRAGMENT = 44;
const ICMP6 = 58;
const DESTINATION_OPTIONS = 60;
const [IP, IP6] = [0x0800, 0x86dd];

interface Ends {
  readonly from: string;
  readonly to: string;
}

/** What differs by the family underneath. `fragments` cuts what a packet carries in two, the first part that long. */
const families = {
  IPv4: {
    addresses: { one: '10.9.0.1', two: '10.9.0.2', other: '10.9.0.101', stranger: '10.9.0.3', apart: '10.9.0.4' },
    ...{ length: 24, table: 'ip skein', socket: 'udp4', gateway: '172.18.0.1', inside: '172.18.0.2' },
    ...{ ethertype: IP, icmp: ICMP, flush: 'ip route flush cache' },
    all: { address: '10.9.0.255', mac: 'ff:ff:ff:ff:ff:ff' },
    packet: ({ from, to }: Ends, next: number, body: Buffer) => ipv4(from, to, next, body),
    fragments({ from, to }: Ends, next: number, body: Buffer, cut: number) {
      const id = randomInt(1 << 16);
      return [
        ipv4(from, to, next, body.subarray(0, cut), { id, moreFragments: true }),
        ipv4(from, to, next, body.subarray(cut), { id, fragmentOffset: cut }),
      ];
    },
    withOptions: ({ from, to }: Ends, next: number, body: Buffer) =>
      ipv4(from, to, next, body, { options: Buffer.alloc(8, 1) }),
    datagram: (_: Ends, port: number, payload: Buffer) => udp(port, 4789, payload),
    tooBig: (_: Ends, quoted: Buffer) => icmp(3, 4, Buffer.concat([word(tooMuch), quoted])),
  },
  IPv6: {
    addresses: { one: 'fd99::1', two: 'fd99::2', other: 'fd99::101', stranger: 'fd99::3', apart: 'fd99::4' },
    ...{ length: 64, table: 'ip6 skein', socket: 'udp6', gateway: 'fd18::1', inside: 'fd18::2' },
    ...{ ethertype: IP6, icmp: ICMP6, flush: 'ip -6 route flush cache' },
    all: { address: 'ff02::1', mac: '33:33:00:00:00:01' },
    packet: ({ from, to }: Ends, next: number, body: Buffer) => ipv6(from, to, next, body, 64),
    fragments({ from, to }: Ends, next: number, body: Buffer, cut: number) {
      const id = randomInt(1 << 16);
      const [first, rest] = [
        { id, fragmentOffset: 0, moreFragments: true },
        { id, fragmentOffset: cut, moreFragments: false },
      ];
      return [
        ipv6(from, to, FRAGMENT, fragment6(next, first, body.subarray(0, cut)), 64),
        ipv6(from, to, FRAGMENT, fragment6(next, rest, body.subarray(cut)), 64),
      ];
    },
    withOptions: ({ from, to }: Ends, next: number, body: Buffer) =>
      ipv6(from, to, DESTINATION_OPTIONS, destinationOptions(next, body), 64),
    datagram: (ends: Ends, port: number, payload: Buffer) => udp6(ends, port, 4789, payload),
    tooBig: (ends: Ends, quoted: Buffer) => icmp6(ends, 2, Buffer.concat([word(tooMuch), quoted])),
  },
};

/** What is said to be the most that a way carries. */
const tooMuch = 1300;

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

for (const [family, of] of Object.entries(families)) {
  describe(`the guard over ${family}`, { skip: !isRoot && 'needs root' }, () => {
    const { one, two, other, stranger, apart } = of.addresses;
    const h1 = { number: 1, data: one };
    const h2 = { number: 2, data: two };
    const victim = portOf(h1);
    /** A frame for the victim, as one of the network's own, and the same in VXLAN. */
    const inner = ethernet(
      victim.mac,
      portOf(h2).mac,
      IP,
      ipv4('10.0.0.66', '10.0.0.11', UDP, udp(1, 2, Buffer.alloc(8))),
    );
    const forged = vxlan(network.vni, inner);
    /** What a VXLAN packet is made of, and the packet. */
    const carried = (from: string, to: string, payload = forged, port = 4789) =>
      [{ from, to }, UDP, of.datagram({ from, to }, port, payload)] as const;
    const tunnel = (...parts: Parameters<typeof carried>) => [of.packet(...carried(...parts))];
    let testbed: Testbed;
    let a: TestHost;
    let b: TestHost;
    let c: TestHost;
    let d: TestHost;
    const target = sandboxOf(h1);
    const script = new URL('../testbed-send.ts', import.meta.url).pathname;

    const say = (to: string) =>
      `${process.execPath} -e "const s = require('dgram').createSocket('${of.socket}'); s.send(Buffer.from('${forged.toString('hex')}', 'hex'), 4789, '${to}', () => s.close())"`;
    const unprivileged = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
    const macOf = (host: TestHost, device: string) =>
      /ether (\S+)/.exec(host.sh(`ip link show dev ${device}`))?.[1] ?? '';
    /**
     * Sends packets to an interface of host `a`, `u0` unless said, or to a MAC, in a namespace of the sender's if one
     * is said.
     */
    const sendRaw = (
      from: TestHost,
      device: string,
      mac: string,
      packets: readonly Buffer[],
      to = 'u0',
      namespace?: string,
    ) => {
      const destination = to.includes(':') ? to : macOf(a, to);
      const frames = packets.map((packet) => ethernet(destination, mac, of.ethertype, packet).toString('hex'));
      const command = `${process.execPath} ${script} ${device} ${frames.join(' ')}`;
      if (namespace === undefined) from.sh(command);
      else from.in(namespace, command);
    };
    const watch = () =>
      a.in(
        target,
        `nft 'add table netdev probe; delete table netdev probe; add table netdev probe;
        add chain netdev probe in { type filter hook ingress device "eth0" priority -500; };
        add rule netdev probe in ip saddr 10.0.0.66 counter'`,
      );
    const seen = () => Number(/packets (\d+)/.exec(a.in(target, 'nft list table netdev probe'))?.[1]);
    /** What was sent before has arrived, on whichever CPU: each has its packets wait in order. */
    const fence = () => {
      for (const cpu of allowedCpus()) b.in(sandboxOf(h2), `taskset -c ${cpu} ping -c1 -W2 10.0.0.11`);
    };

    /** Who else may try: each would succeed if it were not for the guards of the hosts that are named. */
    const attacks: Record<string, { guards: () => readonly TestHost[]; run: () => void }> = {
      'a host that is no peer': { guards: () => [a], run: () => c.sh(say(h1.data)) },
      'a process of this host': { guards: () => [a], run: () => a.sh(say(h1.data)) },
      'a process of this host that is not privileged': {
        guards: () => [a],
        run: () => a.sh(`${unprivileged} ${say(h1.data)}`),
      },
      "a process of a peer's that is not privileged": {
        guards: () => [b],
        run: () => b.sh(`${unprivileged} ${say(h1.data)}`),
      },
      'a container of this host, by way of the gateway bridge': {
        guards: () => [a],
        run: () => a.in(target, say(h1.data)),
      },
      'a container of this host, to the address of the gateway bridge': {
        guards: () => [a],
        run: () => a.in(target, say(of.gateway)),
      },
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
        run: () => sendRaw(b, 'u0', macOf(b, 'u0'), tunnel(two, other)),
      },
      'a host that is no peer, to all': {
        guards: () => [a],
        run: () => sendRaw(c, 'u0', macOf(c, 'u0'), tunnel(stranger, of.all.address), of.all.mac),
      },
      'a host that is no peer, behind options': {
        guards: () => [a],
        run: () => sendRaw(c, 'u0', macOf(c, 'u0'), [of.withOptions(...carried(stranger, one))]),
      },
      "a host that is no peer, with this host's own address": {
        guards: () => [a],
        run: () => sendRaw(c, 'u0', macOf(c, 'u0'), tunnel(one, one)),
      },
      'a peer that has no container on the network': {
        guards: () => [a],
        run: () => d.sh(say(h1.data)),
      },
      'a neighbour of this host that pretends to be a peer, on an interface that does not lead there': {
        guards: () => [a],
        run: () => sendRaw(a, 'd1', '02:00:00:00:00:77', tunnel(two, one), 'd0', 'neighbour'),
      },
      'a host that is no peer, in fragments of which the first shows no VNI': {
        guards: () => [a],
        run: () => sendRaw(c, 'u0', macOf(c, 'u0'), of.fragments(...carried(stranger, one), 8)),
      },
      'a host that is no peer, in fragments of which the first shows the VNI': {
        guards: () => [a],
        run: () => sendRaw(c, 'u0', macOf(c, 'u0'), of.fragments(...carried(stranger, one), 24)),
      },
    };

    before(async () => {
      testbed = await Testbed.open();
      a = await testbed.host(`${one}/${of.length}`, `${other}/${of.length}`);
      b = await testbed.host(`${two}/${of.length}`);
      c = await testbed.host(`${stranger}/${of.length}`);
      d = await testbed.host(`${apart}/${of.length}`);
      // Otherwise the kernel alone would refuse packets with this host's own IPv4 address.
      a.sh('sysctl -qw net.ipv4.conf.u0.accept_local=1');
      // What is masqueraded has the data address.
      a.sh(`ip addr change ${other}/${of.length} dev u0 preferred_lft 0`);
      a.sh(`ip netns add neighbour; ip link add d0 type veth peer name d1 netns neighbour; ip link set d0 up
      ip addr add 192.168.77.1/24 dev d0; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.d0.rp_filter=0
      ip netns exec neighbour ip link set d1 up`);
      const member: Piece = { kind: 'peer', data: apart };
      await Promise.all([a.set([...piecesFor(h1, [h2]), member]), b.set(piecesFor(h2, [h1]))]);
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

    test('of frames that a peer sends in, lets pass those from one host, to the port that has their MAC', () => {
      const frame = (to: string, from: string) =>
        ethernet(to, from, IP, ipv4('10.0.0.66', '10.0.0.11', UDP, udp(1, 2, Buffer.alloc(8))));
      const send = (inside: Buffer) => sendRaw(b, 'u0', macOf(b, 'u0'), tunnel(two, one, vxlan(network.vni, inside)));
      const cases: readonly [what: string, frame: Buffer, passes: boolean][] = [
        ['of a peer', frame(victim.mac, portOf(h2).mac), true],
        ['from a group', frame(victim.mac, '03:42:0a:00:00:12'), false],
        ['to all', frame('ff:ff:ff:ff:ff:ff', portOf(h2).mac), true],
        ['to all, from a group', frame('ff:ff:ff:ff:ff:ff', '03:42:0a:00:00:12'), false],
        [
          'to a MAC that differs in its first bytes',
          frame(victim.mac.replace('02:42', '02:43'), portOf(h2).mac),
          false,
        ],
        ['to a MAC of another host', frame(portOf(h2).mac, portOf(h2).mac), false],
      ];
      for (const [what, inside, passes] of cases) {
        watch();
        send(inside);
        fence();
        assert.equal(seen(), passes ? 1 : 0, what);
      }
    });

    const unsummed = () =>
      sendRaw(b, 'u0', macOf(b, 'u0'), [of.packet({ from: two, to: one }, UDP, udp(4789, 4789, forged))]);
    test('takes datagrams without a checksum over IPv4 alone, where VXLAN has none', () => {
      watch();
      unsummed();
      fence();
      assert.equal(seen(), family === 'IPv4' ? 1 : 0);
    });

    test('leaves other networks on the same port alone', () => {
      for (const [host, own, remote, inside] of [
        [a, h1.data, stranger, '192.168.9.1/24'],
        [c, stranger, h1.data, '192.168.9.3/24'],
      ] as const) {
        host.sh(
          `ip link add x0 type vxlan id 999 local ${own} remote ${remote} dstport 4789 && ip addr add ${inside} dev x0 && ip link set x0 mtu 1400 up`,
        );
      }
      c.sh('ping -c1 -W2 192.168.9.1');
      c.sh('ping -c1 -W2 -s 3000 192.168.9.1');
    });

    test('does not track tunnel packets', () => {
      fence();
      const tracked = a
        .sh('cat /proc/net/nf_conntrack')
        .split('\n')
        .filter((line) => line.includes('dport=4789'));
      const ends = (line: string) => [one, two].every((address) => line.includes(`=${spelled(address)} `));
      assert.deepEqual(tracked.filter(ends), []);
    });

    /** A container and a host that is no peer tell this host that its packets to some place are too big, in one piece and not. */
    const tellTooBig = (place: string): void => {
      const [quoted = Buffer.alloc(0)] = tunnel(one, place);
      const message = (from: string) => [{ from, to: one }, of.icmp, of.tooBig({ from, to: one }, quoted)] as const;
      sendRaw(a, 'eth1', '02:42:ac:12:00:02', [of.packet(...message(of.inside))], 'skein_gwbridge', target);
      sendRaw(c, 'u0', macOf(c, 'u0'), [of.packet(...message(stranger))]);
      sendRaw(c, 'u0', macOf(c, 'u0'), of.fragments(...message(stranger), 24));
    };
    const pathTo = (address: string) => a.sh(`ip route get ${address}`);
    const passesLarge = () => a.succeeds(target, 'ping -c1 -W1 -M do -s 1350 10.0.0.12');

    test("leaves others' networks between the same addresses alone, whoever speaks on them", () => {
      for (const [host, own, remote, inside] of [
        [a, one, two, '192.168.10.1/24'],
        [b, two, one, '192.168.10.2/24'],
      ] as const) {
        host.sh(
          `ip link add x1 type vxlan id 998 local ${own} remote ${remote} dstport 4789 && ip addr add ${inside} dev x1 && ip link set x1 mtu 1400 up`,
        );
      }
      for (const size of [56, 3000]) b.sh(`ping -c1 -W2 -s ${size} 192.168.10.1`);
      b.sh(`${unprivileged} ping -c1 -W2 192.168.10.1`);
      for (const host of [a, b]) host.sh('ip link del x1');
    });

    test('lets no container send to a peer in a tunnel, whatever its VNI', () => {
      a.sh(`nft add table inet counted; nft add counter inet counted c
      nft add chain inet counted p '{ type filter hook prerouting priority -500; }'
      nft add rule inet counted p udp dport 4789 @th,96,24 997 counter name c`);
      const header = String.raw`\x08\0\0\0\0\x03\xe5\0`;
      const send = () => b.in(sandboxOf(h2), `bash -c 'printf "${header}12345678" >/dev/udp/${h1.data}/4789'`);
      const arrived = () => /packets (\d+)/.exec(a.sh('nft list counter inet counted c'))?.[1];
      send();
      fence();
      assert.equal(arrived(), '0');
      const rules = b.sh(`nft list table ${of.table}`);
      b.sh(`nft flush chain ${of.table} guard-forward`);
      send();
      fence();
      assert.equal(arrived(), '1', 'and it is the guard that stops it');
      b.sh(`nft delete table ${of.table}; echo '${rules}' | nft -f -`);
      a.sh('nft delete table inet counted');
    });

    test('hears from nobody, containers neither, that packets to a peer are too big', () => {
      tellTooBig(two);
      assert.doesNotMatch(pathTo(two), /mtu/);
      assert.ok(passesLarge());
      // Not because the host is deaf.
      tellTooBig(stranger);
      assert.match(pathTo(stranger), /mtu 1300/);
      a.sh(of.flush);
    });

    const steal = `const s = require('dgram').createSocket('${of.socket}'); s.bind(4789, () => s.send('x', 5000, '${two}', () => s.close()))`;
    /** What a peer sends from port 5000, after a container has spoken to it there from the port of tunnels. */
    const stolen = () => {
      a.in(target, `${process.execPath} -e "${steal}"`);
      watch();
      sendRaw(b, 'u0', macOf(b, 'u0'), tunnel(two, one, forged, 5000));
      fence();
      return seen() === 0;
    };

    test("lets no container have the tunnel's packets by masquerading as its port", () => {
      assert.ok(!stolen());
    });

    test('lets nobody from outside in to a sandbox by way of the gateway bridge', () => {
      c.sh(`ip route add ${of.inside} via ${one}`);
      assert.throws(() => c.sh(`ping -c1 -W1 ${of.inside}`));
      a.sh(`ping -c1 -W2 ${of.inside}`);
    });

    test('is what stops them: each attack succeeds without it', async () => {
      await Promise.all([a.kill(), b.kill()]);
      const whole = a.sh(`nft list table ${of.table}`);
      const load = (rules: string) => a.sh(`nft delete table ${of.table}; echo '${rules}' | nft -f -`);
      load(whole.replaceAll(' notrack', ''));
      assert.ok(stolen());
      load(whole);
      a.sh(`nft flush chain ${of.table} guard-in`);
      tellTooBig(two);
      assert.match(pathTo(two), /mtu 1300/);
      assert.ok(!passesLarge());
      load(whole);
      a.sh(of.flush);
      // The container was told, too.
      a.in(target, 'ip route flush cache');
      assert.ok(passesLarge());
      a.sh(`nft flush chain ${of.table} gateway-forward`);
      c.sh(`ping -c1 -W2 ${of.inside}`);
      load(whole);

      const chains = ['guard-in', 'guard-out', 'guard-forward'];
      for (const [name, { guards, run }] of Object.entries(attacks)) {
        const rules = guards().map((host) => host.sh(`nft list table ${of.table}`));
        for (const host of guards()) for (const chain of chains) host.sh(`nft flush chain ${of.table} ${chain}`);
        watch();
        run();
        fence();
        assert.ok(seen() > 0, name);
        for (const [i, host] of guards().entries())
          host.sh(`nft delete table ${of.table}; echo '${rules[i]}' | nft -f -`);
        watch();
        run();
        fence();
        assert.equal(seen(), 0, `${name}, with the guard back`);
      }

      const { namespace, vni } = network;
      // The other network's device would have to be alike, on one port.
      a.sh('ip link del x0');
      a.in(namespace, 'ip link del vxlan0');
      a.sh(`ip link add vxlan0 netns ${namespace} type vxlan id ${vni} local ${one} dstport 4789 udp6zerocsumrx`);
      a.in(namespace, 'ip link set vxlan0 master br0 up');
      watch();
      unsummed();
      await until(() => seen() === 1, 'the datagram without a checksum');
    });
  });
}

/** As /proc/net/nf_conntrack writes an address. */
function spelled(address: string): string {
  if (!address.includes(':')) return address;
  const hex = addressBytes(address).toString('hex');
  return (hex.match(/.{4}/g) ?? []).join(':');
}
