import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../lib/errors.ts';
import { type Attributes, decodeAttributes } from '../netlink/attribute.ts';
import { NLM_F, NLMSG, type NlMsg, nlmsg } from '../netlink/message.ts';
import type { Request } from '../netlink/socket.ts';
import { addresses, IFA_F, ifaddrmsg } from './addresses.ts';
import { IFF, IFLA, ifinfomsg } from './link.ts';
import { links } from './links.ts';
import { fdb, fdbmsg, NTF, NUD, ndmsg, neighbours } from './neighbours.ts';
import { decodeLinkIndex, decodeNotification } from './notification.ts';
import { RT_SCOPE, RT_TABLE, RTN, RTPROT, routes, rtmsg } from './routes.ts';
import { AF, RTM } from './rtnetlink.ts';

/** What iproute2 6.1 and the kernel said to each other; `scripts/capture-netlink.ts` wrote it down. */
const captured: readonly { command: string; sent: string; received: string[] }[] = JSON.parse(
  readFileSync(new URL('captured.json', import.meta.url), 'utf8'),
);

function find(command: string) {
  return captured.find((c) => c.command === command) ?? assert.fail(`${command} was not captured`);
}

function sent(command: string): NlMsg {
  return nlmsg.decode(Buffer.from(find(command).sent, 'hex'))[0] ?? assert.fail(`${command} sent nothing`);
}

/** What came back but acknowledgements and the like. */
function received(command: string): readonly NlMsg[] {
  const messages = find(command).received.flatMap((hex) => nlmsg.decode(Buffer.from(hex, 'hex')));
  return messages.filter(({ type }) => type >= NLMSG.MIN_TYPE);
}

const veth =
  'ip link add veth0 address 02:00:00:00:00:02 mtu 1450 group 7 type veth ' +
  'peer name eth0 netns captured address 02:00:00:00:00:03 mtu 1400';
const vxlan0 =
  'ip link add vxlan0 netns captured address 02:00:00:00:00:04 mtu 1450 type vxlan id 4097 local 192.0.2.1 dstport 4789 nolearning proxy';
/** Which descriptor the tool had open for the other namespace. */
const netnsFd = 4;
const br0 = 2;
const veth0 = 3;
const vxlan1 = 4;

const ours: readonly (readonly [command: string, request: Request | undefined])[] = [
  [
    'ip link add br0 address 02:00:00:00:00:01 mtu 1450 type bridge mcast_snooping 0 ageing_time 100',
    links.addMessage({
      name: 'br0',
      address: '02:00:00:00:00:01',
      mtu: 1450,
      info: { kind: 'bridge', bridge: { mcastSnooping: false, ageingTime: 100 } },
    }),
  ],
  [
    veth,
    links.addMessage({
      name: 'veth0',
      address: '02:00:00:00:00:02',
      mtu: 1450,
      group: 7,
      info: { kind: 'veth', peer: { name: 'eth0', netnsFd, address: '02:00:00:00:00:03', mtu: 1400 } },
    }),
  ],
  [
    'ip link add veth1 numtxqueues 1 numrxqueues 1 type veth peer name eth1 netns captured numtxqueues 1 numrxqueues 1',
    links.addMessage({
      name: 'veth1',
      queues: 1,
      info: { kind: 'veth', peer: { name: 'eth1', netnsFd, queues: 1 } },
    }),
  ],
  [
    vxlan0,
    links.addMessage({
      name: 'vxlan0',
      netnsFd,
      address: '02:00:00:00:00:04',
      mtu: 1450,
      info: { kind: 'vxlan', vxlan: { id: 4097, local: '192.0.2.1', port: 4789, learning: false, proxy: true } },
    }),
  ],
  [
    'ip link add vxlan1 type vxlan id 4098 local fd00::1 dstport 4789 nolearning proxy ttl 64 udpcsum',
    links.addMessage({
      name: 'vxlan1',
      info: {
        kind: 'vxlan',
        vxlan: { id: 4098, local: 'fd00::1', port: 4789, learning: false, proxy: true, ttl: 64, udpCsum: true },
      },
    }),
  ],
  ['ip link set veth0 master br0', links.setMessages(veth0, { master: br0 })[0]],
  ['ip link set veth0 up', links.setMessages(veth0, { up: true })[0]],
  ['ip link set veth0 mtu 1', links.setMessages(veth0, { mtu: 1 })[0]],
  ['ip link delete dev br0', links.removeMessage(br0)],
  ['ip address add 10.0.0.1/24 dev br0', addresses.addMessage({ index: br0, address: '10.0.0.1/24' })],
  [
    'ip address add fd00::1/64 dev br0 nodad',
    addresses.addMessage({ index: br0, address: 'fd00::1/64', flags: IFA_F.NODAD }),
  ],
  [
    'ip route add default via 10.0.0.2 dev br0 proto static',
    routes.addMessage({ dst: '0.0.0.0/0', via: '10.0.0.2', oif: br0 }),
  ],
  [
    'ip route add 10.7.0.0/16 dev br0 proto static src 10.0.0.1',
    routes.addMessage({ dst: '10.7.0.0/16', oif: br0, prefsrc: '10.0.0.1' }),
  ],
  [
    'ip route add fd07::/16 via fd00::2 dev br0 proto static',
    routes.addMessage({ dst: 'fd07::/16', via: 'fd00::2', oif: br0 }),
  ],
  [
    'ip route add 10.8.0.0/16 via inet6 fd00::3 dev br0 proto static',
    routes.addMessage({ dst: '10.8.0.0/16', via: 'fd00::3', oif: br0 }),
  ],
  ['ip route delete 10.7.0.0/16 dev br0', routes.removeMessage({ dst: '10.7.0.0/16', oif: br0 })],
  [
    'ip neighbour replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev br0 nud permanent',
    neighbours.addMessage({ index: br0, address: '10.0.0.9', mac: '02:00:00:00:00:09' }),
  ],
  [
    'ip neighbour replace fd00::9 lladdr 02:00:00:00:00:09 dev br0 nud permanent',
    neighbours.addMessage({ index: br0, address: 'fd00::9', mac: '02:00:00:00:00:09' }),
  ],
  [
    'bridge fdb replace 02:00:00:00:00:08 dev veth0 master static',
    fdb.addMessage({ index: veth0, mac: '02:00:00:00:00:08', state: NUD.NOARP | NUD.REACHABLE }),
  ],
  [
    'bridge fdb replace 02:00:00:00:00:07 dev vxlan1 dst fd00::7 self permanent',
    fdb.addMessage({ index: vxlan1, mac: '02:00:00:00:00:07', dst: 'fd00::7', state: NUD.NOARP | NUD.PERMANENT }),
  ],
  [
    'bridge fdb delete 02:00:00:00:00:07 dev vxlan1 dst fd00::7 self',
    fdb.removeMessage({ index: vxlan1, mac: '02:00:00:00:00:07', dst: 'fd00::7', state: NUD.NOARP | NUD.PERMANENT }),
  ],
];

for (const [command, request] of ours) {
  test(`we ask the kernel what \`${command}\` asks`, () => {
    assert.ok(request);
    const golden = sent(command);
    assert.equal(request.type, golden.type);
    assert.equal(request.flags ?? 0, golden.flags & ~(NLM_F.REQUEST | NLM_F.ACK));
    assert.deepEqual(decodeNotification(request), decodeNotification(golden));
  });
}

test('what the decoder of links does not look at is the same too: where a veth peer and a vxlan device go', () => {
  const attributesOf = (payload: Uint8Array) => decodeAttributes(payload.subarray(16), 'test');
  const peerOf = (attributes: Attributes) =>
    attributes.nested(IFLA.LINKINFO)?.nested(2)?.bytes(1) ?? assert.fail('no peer');
  const requestOf = (command: string) => ours.find(([c]) => c === command)?.[1] ?? assert.fail(command);
  for (const payload of [sent(veth).payload, requestOf(veth).payload]) {
    const peer = peerOf(attributesOf(payload));
    const { name, address, mtu } = ifinfomsg.decode(peer);
    assert.deepEqual({ name, address, mtu }, { name: 'eth0', address: '02:00:00:00:00:03', mtu: 1400 });
    assert.equal(attributesOf(peer).u32(IFLA.NET_NS_FD), netnsFd);
  }
  for (const payload of [sent(vxlan0).payload, requestOf(vxlan0).payload]) {
    assert.equal(attributesOf(payload).u32(IFLA.NET_NS_FD), netnsFd);
  }
});

test('where iproute2 has the same order, we send the very bytes that it sends', () => {
  for (const command of [
    'ip link set veth0 up',
    'ip address add 10.0.0.1/24 dev br0',
    'ip neighbour replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev br0 nud permanent',
    'ip neighbour replace fd00::9 lladdr 02:00:00:00:00:09 dev br0 nud permanent',
    'bridge fdb replace 02:00:00:00:00:07 dev vxlan1 dst fd00::7 self permanent',
  ]) {
    const request = ours.find(([c]) => c === command)?.[1];
    assert.deepEqual(
      Buffer.from(request?.payload ?? []).toString('hex'),
      Buffer.from(sent(command).payload).toString('hex'),
    );
  }
});

test('a bridge port gets the very attributes that iproute2 sends', () => {
  // Only the kind differs: iproute2 says "bridge_slave" as the link's own, which the kernel does not look at.
  const slaveData = (payload: Uint8Array) =>
    decodeAttributes(payload.subarray(16), 'test').nested(IFLA.LINKINFO)?.bytes(5) ?? assert.fail('no slave data');
  const golden = sent('ip link set veth0 type bridge_slave learning off isolated on locked on').payload;
  const [request] = links.setMessages(veth0, { bridgePort: { learning: false, isolated: true, locked: true } });
  assert.ok(request);
  assert.deepEqual(Buffer.from(slaveData(request.payload)), Buffer.from(slaveData(golden)));
  assert.equal(ifinfomsg.decode(request.payload).index, ifinfomsg.decode(golden).index);
});

const main = { table: RT_TABLE.MAIN, type: RTN.UNICAST };
const ownStatic = { ...main, protocol: RTPROT.STATIC };

/** What the kernel showed, and what it means. */
const shown: readonly (readonly [command: string, decode: (payload: Uint8Array) => unknown, expected: unknown])[] = [
  [
    'ip -d link show dev br0',
    (payload) => ifinfomsg.decode(payload),
    [
      {
        ...{ index: br0, name: 'br0', flags: 0x1003, address: '02:00:00:00:00:01', mtu: 1450, group: 0 },
        info: { kind: 'bridge', bridge: { mcastSnooping: false, stpState: 0, ageingTime: 100 } },
        ipv6: { acceptRa: 1, disableIpv6: 0 },
      },
    ],
  ],
  [
    'ip -d link show dev veth0',
    (payload) => ifinfomsg.decode(payload),
    [
      {
        ...{ index: veth0, name: 'veth0', flags: 0x1003, address: '02:00:00:00:00:02', mtu: 1450, group: 7 },
        ...{ master: br0, link: 2, linkNetnsid: 0, info: { kind: 'veth' } },
        bridgePort: {
          ...{ learning: false, unicastFlood: true, mcastFlood: true, bcastFlood: true },
          ...{ neighSuppress: false, isolated: true, locked: true },
        },
        ipv6: { acceptRa: 1, disableIpv6: 0 },
      },
    ],
  ],
  [
    'ip -n captured -d link show dev vxlan0',
    (payload) => ifinfomsg.decode(payload),
    [
      {
        ...{ index: 3, name: 'vxlan0', flags: 0x1002, address: '02:00:00:00:00:04', mtu: 1450, group: 0 },
        ...{ link: 3, linkNetnsid: 0 },
        info: {
          kind: 'vxlan',
          vxlan: { id: 4097, local: '192.0.2.1', port: 4789, learning: false, proxy: true, ttl: 0, udpCsum: true },
        },
        ipv6: { acceptRa: 1, disableIpv6: 0 },
      },
    ],
  ],
  [
    'ip address show dev br0',
    (payload) => ifaddrmsg.decode(payload),
    [
      { index: br0, address: '10.0.0.1/24', flags: IFA_F.PERMANENT, scope: 0 },
      { index: br0, address: 'fd00::1/64', flags: IFA_F.PERMANENT | IFA_F.NODAD, scope: 0 },
    ],
  ],
  [
    'ip route show table main',
    (payload) => rtmsg.decode(payload),
    [
      { ...ownStatic, dst: '0.0.0.0/0', via: '10.0.0.2', oif: br0, scope: RT_SCOPE.UNIVERSE },
      { ...main, protocol: RTPROT.KERNEL, dst: '10.0.0.0/24', oif: br0, prefsrc: '10.0.0.1', scope: RT_SCOPE.LINK },
      { ...ownStatic, dst: '10.7.0.0/16', oif: br0, prefsrc: '10.0.0.1', scope: RT_SCOPE.LINK },
      { ...ownStatic, dst: '10.8.0.0/16', via: 'fd00::3', oif: br0, scope: RT_SCOPE.UNIVERSE },
      {
        ...{ ...ownStatic, dst: '10.9.0.0/16', scope: RT_SCOPE.UNIVERSE },
        multipath: [
          { via: '10.0.0.2', oif: br0 },
          { via: '10.0.0.3', oif: br0 },
        ],
      },
    ],
  ],
  [
    'ip -6 route show table main',
    (payload) => rtmsg.decode(payload),
    [
      { ...main, protocol: RTPROT.KERNEL, dst: 'fd00::/64', oif: br0, priority: 256, scope: RT_SCOPE.UNIVERSE },
      { ...ownStatic, dst: 'fd07::/16', via: 'fd00::2', oif: br0, priority: 1024, scope: RT_SCOPE.UNIVERSE },
    ],
  ],
  [
    'ip neighbour show dev br0 nud permanent',
    (payload) => ndmsg.decode(payload),
    [
      { index: br0, address: '10.0.0.9', mac: '02:00:00:00:00:09', state: NUD.PERMANENT, flags: 0 },
      { index: br0, address: 'ff02::16', mac: '33:33:00:00:00:16', state: NUD.NOARP, flags: 0 },
      { index: br0, address: 'fd00::9', mac: '02:00:00:00:00:09', state: NUD.PERMANENT, flags: 0 },
    ],
  ],
  [
    'bridge fdb show dev veth0',
    (payload) => fdbmsg.decode(payload),
    [
      { index: veth0, mac: '02:00:00:00:00:08', master: br0, state: NUD.NOARP, flags: 0 },
      { index: veth0, mac: '02:00:00:00:00:02', master: br0, state: NUD.PERMANENT, flags: 0 },
      { index: veth0, mac: '33:33:00:00:00:01', state: NUD.PERMANENT, flags: NTF.SELF },
      { index: veth0, mac: '01:00:5e:00:00:01', state: NUD.PERMANENT, flags: NTF.SELF },
    ],
  ],
  [
    'bridge fdb show dev vxlan1',
    (payload) => fdbmsg.decode(payload),
    [
      {
        ...{ index: vxlan1, mac: '02:00:00:00:00:07', dst: 'fd00::7' },
        ...{ state: NUD.NOARP | NUD.PERMANENT, flags: NTF.SELF },
      },
    ],
  ],
];

for (const [command, decode, expected] of shown) {
  test(`what the kernel answers to \`${command}\` is decoded`, () => {
    assert.deepEqual(
      received(command).map(({ payload }) => decode(payload)),
      expected,
    );
  });
}

/** Every message captured that a decoder of ours reads, either way. */
const messages = captured
  .flatMap(({ command }) => [sent(command), ...received(command)])
  .filter((message) => message.payload.length > 0 && !isQuery(message) && decodeNotification(message) !== undefined);

function isQuery({ type }: NlMsg): boolean {
  return type % 4 === 2;
}

/** Sizes of the headers before the attributes, by the first type of a kind. */
const headerSizes = new Map<number, number>([
  [RTM.NEWLINK, 16],
  [RTM.NEWADDR, 8],
  [RTM.NEWROUTE, 12],
  [RTM.NEWNEIGH, 12],
]);

/** Where a message may be cut so that it is only a shorter list of attributes. */
function cuts({ type, payload }: NlMsg): Set<number> {
  const allowed = new Set<number>();
  for (let end = headerSizes.get(type - (type % 4)) ?? assert.fail(`type ${type}`); ; ) {
    allowed.add(end);
    if (end >= payload.length) return allowed;
    const length = Buffer.from(payload).readUInt16LE(end);
    for (let padded = end + length; padded % 4 !== 0; padded++) allowed.add(padded);
    end += Math.ceil(length / 4) * 4;
  }
}

test('a message cut anywhere but between its attributes is a DecodeError', () => {
  assert.ok(messages.length > 40);
  for (const message of messages) {
    const allowed = cuts(message);
    for (let end = 0; end < message.payload.length; end++) {
      const decode = () => decodeNotification({ ...message, payload: message.payload.subarray(0, end) });
      if (!allowed.has(end)) assert.throws(decode, DecodeError, `${end} of ${message.payload.length}`);
      else onlyDecodeErrors(decode);
    }
  }
});

function onlyDecodeErrors(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
  }
}

test('garbage, and messages with bytes changed, are decoded or are a DecodeError', () => {
  const type = fc.constantFrom(...Object.values(RTM));
  fc.assert(
    fc.property(type, fc.uint8Array({ maxLength: 120 }), (kind, payload) =>
      onlyDecodeErrors(() => decodeNotification({ type: kind, payload })),
    ),
  );
  const place = fc.tuple(fc.nat(2000), fc.nat(0xff));
  fc.assert(
    fc.property(fc.constantFrom(...messages), fc.array(place, { minLength: 1, maxLength: 4 }), (message, changes) => {
      const payload = Uint8Array.from(message.payload);
      for (const [at, byte] of changes) payload[at % payload.length] = byte;
      onlyDecodeErrors(() => decodeNotification({ ...message, payload }));
    }),
    { numRuns: 1000 },
  );
});

const name = fc.string({ unit: fc.constantFrom('a', 'z', '0', '-', '.'), minLength: 1, maxLength: 15 });
const u32 = fc.nat(0xffffffff);
const index = fc.integer({ min: 1, max: 0x7fffffff });
const ipv4 = fc.ipV4();
const ipv6 = fc.constantFrom('::', '::1', 'fd00::1', 'fe80::ff:fe00:1', '2001:db8:1:2:3:4:5:6');
const ip = fc.oneof(ipv4, ipv6);
const mac = fc.constantFrom('02:00:00:00:00:01', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00');
const plain = { noNullPrototype: true } as const;

function prefix(address: string, length: number): string {
  return `${address}/${length % (address.includes(':') ? 129 : 33)}`;
}

test('a link survives the way out and back', () => {
  const bridge = fc.record(
    { mcastSnooping: fc.boolean(), stpState: fc.nat(1), ageingTime: u32 },
    { ...plain, requiredKeys: [] },
  );
  const vxlan = fc.record(
    {
      ...{ id: fc.nat(0xffffff), local: ip, port: fc.nat(65535), learning: fc.boolean(), proxy: fc.boolean() },
      ...{ ttl: fc.nat(255), udpCsum: fc.boolean() },
    },
    { ...plain, requiredKeys: ['id', 'port', 'learning', 'proxy'] },
  );
  const info = fc.oneof(
    bridge.map((each) => ({ kind: 'bridge', bridge: each }) as const),
    vxlan.map((each) => ({ kind: 'vxlan', vxlan: each }) as const),
  );
  const link = fc.record({ name, address: mac, mtu: u32, group: u32, master: index, info }, plain);
  fc.assert(
    fc.property(link, fc.boolean(), (each, up) => {
      const decoded = ifinfomsg.decode(ifinfomsg.encodeNew({ ...each, up }));
      assert.deepEqual(decoded, { ...each, index: 0, flags: up ? IFF.UP : 0 });
    }),
  );
});

test('port flags, addresses, routes, neighbours and forwarding entries survive the way out and back', () => {
  const flag = fc.boolean();
  const port = fc.record(
    {
      ...{ learning: flag, unicastFlood: flag, mcastFlood: flag, bcastFlood: flag },
      ...{ isolated: flag, locked: flag, neighSuppress: flag },
    },
    { ...plain, requiredKeys: [] },
  );
  const u8 = fc.nat(255);
  const route = fc.record(
    {
      ...{ via: ip, oif: index, prefsrc: ip, priority: u32 },
      ...{ table: fc.integer({ min: 256, max: 0xffffffff }), protocol: u8, scope: u8, type: u8 },
    },
    { ...plain, requiredKeys: ['table', 'protocol', 'scope', 'type'] },
  );
  const common = { index, state: fc.nat(0xffff), flags: u8, mac };
  const neighbour = fc.record(
    { ...common, address: ip },
    { ...plain, requiredKeys: ['index', 'state', 'flags', 'address'] },
  );
  const entry = fc.record(
    { ...common, dst: ip, vlan: fc.nat(4095) },
    { ...plain, requiredKeys: ['index', 'state', 'flags', 'mac'] },
  );
  fc.assert(
    fc.property(port, route, neighbour, entry, ip, fc.nat(200), (p, r, n, e, address, length) => {
      assert.deepEqual(ifinfomsg.decode(ifinfomsg.encodeBridgePort(7, p)).bridgePort, p);
      const onLink = { index: n.index, address: prefix(address, length), flags: 0x2f2, scope: r.scope };
      assert.deepEqual(ifaddrmsg.decode(ifaddrmsg.encode(onLink)), onLink);
      const withDst = { ...r, dst: length === 0 ? '10.0.0.0/8' : prefix(address, length) };
      const expected = withDst.dst.endsWith('/0')
        ? { ...withDst, dst: withDst.dst.includes(':') ? '::/0' : '0.0.0.0/0' }
        : withDst;
      assert.deepEqual(rtmsg.decode(rtmsg.encode(withDst)), expected);
      assert.deepEqual(ndmsg.decode(ndmsg.encode(n)), n);
      assert.deepEqual(fdbmsg.decode(fdbmsg.encode(e)), e);
    }),
  );
});

test('the link that a message tells of is read without the rest of it', () => {
  const about = messages.map((message) => ({ message, news: decodeNotification(message) }));
  for (const { message, news } of about) {
    const isLink = news?.kind === 'link' || news?.kind === 'port';
    assert.equal(decodeLinkIndex(message), isLink ? news.link.index : undefined);
    if (!isLink) continue;
    for (let end = 0; end < 8; end++) {
      const cut = { ...message, payload: message.payload.subarray(0, end) };
      assert.throws(() => decodeLinkIndex(cut), DecodeError);
    }
  }
  assert.ok(about.filter(({ news }) => news?.kind === 'link' && news.link.index > 0).length > 3);
});

test('what is no rtnetlink message of ours is passed over, and port notifications are told from those of links', () => {
  assert.equal(decodeNotification({ type: 88, payload: new Uint8Array(3) }), undefined);
  const left = Buffer.from(received('ip -d link show dev veth0')[0]?.payload ?? []);
  left[0] = AF.BRIDGE;
  assert.partialDeepStrictEqual(decodeNotification({ type: RTM.DELLINK, payload: left }), { kind: 'port', gone: true });
});

test('a prefix without a length is a mistake of the caller', () => {
  for (const address of ['10.0.0.1', '10.0.0.1/', '10.0.0.1/x', '10.0.0.1/1.5', '10.0.0.1/-1', '10.0.0.1/300']) {
    assert.throws(() => addresses.addMessage({ index: 1, address }), RangeError, address);
  }
});
