import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { isKernelError, KernelError } from '../kernel/kernel-error.ts';
import { Refusal } from '../lib/errors.ts';
import { keyOf, type Piece } from './dataplane.ts';
import { exitOf, hostOn, network, piecesFor, portOf, remoteOf, sandboxOf } from './sample.ts';
import { isRoot, Testbed, type TestHost, until } from './testbed.ts';

const h1 = { number: 1, data: '10.9.0.1' };
const h2 = { number: 2, data: '10.9.0.2' };
const h3 = { number: 3, data: '10.9.0.3' };
const h5 = { number: 5, data: '10.9.0.5' };
const here = sandboxOf(h1);
const full = piecesFor(h1, [h2]);
const second = { ...network, id: '77aa00bb11cc', namespace: '2-77aa00bb11', vni: 257 };

/** A second container here, on both networks; the second network has the first one's subnets. */
const another: readonly Piece[] = [
  { kind: 'sandbox', id: sandboxOf(h3) },
  second,
  { ...portOf(h3), network: second.id },
  { ...portOf({ ...h3, number: 4 }), endpoint: 'e4', port: 'veth1', interface: 'eth2', sandbox: sandboxOf(h3) },
  exitOf(h3, 3),
];

const without = (pieces: readonly Piece[], ...kinds: readonly Piece['kind'][]) =>
  pieces.filter(({ kind }) => !kinds.includes(kind));

/** One container here, and one there, in subnets that do not reach each other. */
const apart = without(full, 'exit', 'gateway').map((piece) => {
  if (piece.kind === 'port') return { ...piece, addresses: ['10.0.0.11/24'] };
  if (piece.kind === 'remote') return { ...piece, addresses: ['10.0.0.12'] };
  return piece.kind === 'network' ? { ...piece, gateways: [], apart: ['10.0.0.0/24', '10.32.0.0/12'] } : piece;
});

/** And a second one here in two others. */
const furtherApart: readonly Piece[] = [
  ...apart.map((piece) =>
    piece.kind === 'network' ? { ...piece, apart: ['10.0.0.0/24', '10.32.0.0/12', '10.0.1.0/24'] } : piece,
  ),
  { kind: 'sandbox', id: sandboxOf(h5) },
  { ...portOf(h5), port: 'veth1', addresses: ['10.0.1.13/24', '10.32.0.13/12'] },
];

/** States that a host may be in, by name. */
const states: Record<string, readonly Piece[]> = {
  nothing: [],
  'an underlay': [{ kind: 'underlay', data: h1.data, port: 4789 }],
  'one container': full,
  'one container without a way out': without(full, 'exit', 'gateway'),
  'two containers on two networks': [...full, ...another],
  'another port and peer': [
    { kind: 'underlay', data: h1.data, port: 4790 },
    ...without(piecesFor(h1, [h3]), 'underlay'),
  ],
  'a smaller MTU, another address': full.map((piece) =>
    piece.kind === 'network'
      ? { ...piece, mtu: 1300, gateways: ['10.0.0.254/24'] }
      : piece.kind === 'port'
        ? { ...piece, mac: '02:42:0a:00:00:99', addresses: ['10.0.0.99/24'] }
        : piece,
  ),
  'the host on the network': [...full, ...hostOn('masqueraded')],
  'the host, for those who have no way out': [...without(full, 'exit', 'gateway'), ...hostOn()],
  'the host, with what it forwards as it came': [...full, ...hostOn('as-it-came')],
  'subnets that are apart': apart,
  'one subnet more, and who is in two': furtherApart,
  'an interface of another name': full.map((piece) =>
    piece.kind === 'port' ? { ...piece, interface: 'eth7', port: 'veth3' } : piece,
  ),
  'the container moved away': [
    ...without(full, 'port', 'remote', 'exit'),
    { ...remoteOf({ ...h1, data: h3.data }), endpoint: 'moved' },
    remoteOf(h2),
  ],
};

const kernel = new URL('../kernel', import.meta.url).pathname;
const switchOn = [
  `const { ethtool } = await import('${kernel}/ethtool.ts')`,
  `const { openSyscalls } = await import('${kernel}/syscall.ts')`,
  `ethtool.setGro(openSyscalls(), 'vxlan0', true)`,
].join('; ');

/** What hands can take away, and what of it a container would notice. */
const damages: Record<string, string> = {
  'the port': `ip -n ${network.namespace} link del veth0`,
  "the port's rules": `ip netns exec ${network.namespace} nft delete table netdev skein`,
  'the lock of the port': `ip netns exec ${network.namespace} bridge link set dev veth0 locked off learning on`,
  "the container's address": `ip -n ${here} addr del 10.0.0.11/24 dev eth0`,
  "the container's interface set down": `ip -n ${here} link set eth0 down`,
  "the container's MTU": `ip -n ${here} link set eth0 mtu 1000`,
  "the container's default route": `ip -n ${here} route del default`,
  "the container's connected route": `ip -n ${here} route del 10.0.0.0/24`,
  "the container's connected IPv6 route": `ip -n ${here} -6 route del fd01::/64 dev eth0`,
  "the gateway bridge's connected route": 'ip route del 172.18.0.0/16',
  'the bridge': `ip -n ${network.namespace} link del br0`,
  'the vxlan device': `ip -n ${network.namespace} link del vxlan0`,
  'the redirects': `ip netns exec ${network.namespace} tc qdisc del dev vxlan0 clsact`,
  'what leads to the redirects': `ip netns exec ${network.namespace} tc filter del dev vxlan0 ingress prio 1 handle 800::800 protocol all u32`,
  'what leads to the redirects from the bridge': `ip netns exec ${network.namespace} tc filter del dev vxlan0 egress`,
  'the shortcut': `ip netns exec ${network.namespace} tc qdisc del dev veth0 clsact`,
  'an address of the shortcut': `ip netns exec ${network.namespace} tc filter del dev veth0 ingress prio 2`,
  'a shortcut that lets more pass': `ip netns exec ${network.namespace} tc filter add dev veth0 ingress prio 1 protocol ip u32 match ip protocol 6 0xff action mirred egress redirect dev vxlan0`,
  'one redirect': `ip netns exec ${network.namespace} tc filter del dev vxlan0 ingress prio 1 handle 1:11:800 protocol all u32`,
  'an aggregation of packets switched on': `ip netns exec ${network.namespace} ${process.execPath} --input-type=module -e "${switchOn}"`,
  'an FDB entry': `ip netns exec ${network.namespace} bridge fdb del 02:42:0a:00:00:12 dev vxlan0 dst ${h2.data} self`,
  "a bridge's FDB entry": `ip netns exec ${network.namespace} bridge fdb del 02:42:0a:00:00:11 dev veth0 master`,
  'a neighbour entry': `ip -n ${network.namespace} neigh del 10.0.0.12 dev vxlan0`,
  'a setting of the container': `ip netns exec ${here} sysctl -qw net.ipv6.conf.default.accept_ra=1`,
  "a setting of the container's interface": `ip netns exec ${here} sysctl -qw net.ipv4.neigh.eth0.retrans_time_ms=1000`,
  'a bridge setting': `ip netns exec ${network.namespace} sysctl -qw net.bridge.bridge-nf-call-iptables=1`,
  'all rules of the host': 'nft flush ruleset',
  'a peer': `nft delete element ip skein peers { ${h2.data} }`,
  'a rule': 'nft flush chain ip skein guard-forward',
  'the gateway bridge': 'ip link del skein_gwbridge',
  'the way out': 'ip link del veth0000002',
  forwarding: 'sysctl -qw net.ipv4.ip_forward=0',
  "the network's namespace": `ip netns del ${network.namespace}; umount -l /run/skein/netns/${network.namespace}; rm -f /run/skein/netns/${network.namespace}`,
  "the container's namespace": `umount -l /run/skein/netns/${here}; rm /run/skein/netns/${here}`,
  'nothing, but something is added': `ip -n ${network.namespace} link add stray type bridge; ip -n ${network.namespace} addr add 10.7.7.7/24 dev br0; nft add element ip skein peers { 10.66.66.66 }`,
};

/** The same of a network with subnets that are apart. */
const damagesApart: Record<string, string> = {
  'the way to answer a subnet': `ip -n ${network.namespace} route del 10.0.0.0/24 dev br0`,
  'what a subnet is kept from': `ip netns exec ${network.namespace} nft flush chain netdev skein send4-10-0-0-0-24`,
  'that others are not heard': `ip netns exec ${here} sysctl -qw net.ipv4.conf.eth0.rp_filter=0`,
  'the shortcut': `ip netns exec ${network.namespace} tc qdisc del dev veth0 clsact`,
};

describe('the data plane', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let a: TestHost;
  let b: TestHost;

  before(async () => {
    testbed = await Testbed.open();
    a = await testbed.host(`${h1.data}/24`);
    b = await testbed.host(`${h2.data}/24`);
    await b.set(piecesFor(h2, [h1]));
  });
  after(() => testbed.close());
  beforeEach(() => a.set(full));

  test('makes the same of a state whatever was there before', async () => {
    const expected = new Map<string, string>();
    for (const [name, pieces] of Object.entries(states)) {
      await a.set([]);
      await a.set(pieces);
      expected.set(name, a.state());
    }
    const random = randomFrom(42);
    const names = Object.keys(states);
    for (let i = 0; i < 40; i++) {
      const name = names[random(names.length)] ?? '';
      await a.set(shuffled(states[name] ?? [], random));
      assert.equal(a.state(), expected.get(name), name);
      assert.deepEqual(await a.dataplane.repair(), { steps: [] });
    }
  });

  test('comes to the same by changes as by setting', async () => {
    for (const pieces of [states['two containers on two networks'] ?? [], furtherApart]) {
      await a.set(pieces);
      const expected = a.state();
      await a.set([]);
      for (const piece of pieces) await a.dataplane.change({ put: [piece] });
      assert.equal(a.state(), expected);
      for (const piece of pieces.toReversed()) await a.dataplane.change({ remove: [keyOf(piece)] });
      await a.set([]);
      assert.doesNotMatch(a.state(), /skein|veth|vxlan/);
    }
  });

  test('keeps networks with equal subnets apart', async () => {
    await a.set(states['two containers on two networks'] ?? []);
    assert.ok(!a.succeeds(sandboxOf(h3), 'ping -c1 -W1 -I eth0 10.0.0.11'));
    a.in(sandboxOf(h3), 'ping -c1 -W2 -I eth2 10.0.0.11');
  });

  test('after a crash takes no step, and no packet is lost meanwhile', async () => {
    const ping = a.start(here, 'ping -i 0.005 -c 300 10.0.0.12');
    await a.kill();
    assert.deepEqual(await a.set(full), { steps: [] });
    assert.match(await ping, /300 packets transmitted, 300 received/);
  });

  test('makes the vxlan device anew, and TCP between containers of this host loses no packet', async () => {
    const there = sandboxOf(h3);
    await a.set([...full, { kind: 'sandbox', id: there }, { ...portOf(h3), port: 'veth1' }]);
    const echo = "require('net').createServer((s) => s.on('error', process.exit).pipe(s)).listen(7000)";
    const serving = a.start(there, `timeout 20 ${process.execPath} -e "${echo}" || true`);
    const talk = `const s = require('net').connect(7000, '10.0.0.13', () => s.write('x')).setNoDelay();
      s.on('data', () => s.write('x'));`;
    const counted = (namespace: string, field: string) =>
      Number(new RegExp(`^${field} +(\\d+)`, 'm').exec(a.in(namespace, 'nstat -asz'))?.[1]);
    const sent = () => counted(here, 'TcpOutSegs');
    const lost = () => [here, there].map((namespace) => counted(namespace, 'TcpRetransSegs'));
    const goesOn = async () => {
      const before = sent();
      await until(() => sent() > before + 100, 'the talk going on');
    };
    const made = () => a.sh(`ip -n ${network.namespace} -o link show vxlan0`).split(':', 1)[0];
    await until(() => a.in(there, 'ss -tln').includes(':7000'), 'the server');
    const before = lost();
    const talking = a.start(here, `timeout 15 ${process.execPath} -e "${talk}" || true`);
    await goesOn();
    for (const port of [4790, 4791, 4789]) {
      const former = made();
      await a.dataplane.change({ put: [{ kind: 'underlay', data: h1.data, port }] });
      assert.notEqual(made(), former);
      await goesOn();
    }
    assert.deepEqual(lost(), before);
    a.in(there, 'ss -K sport = :7000');
    await Promise.all([talking, serving]);
  });

  test('removes at a restart what was asked for no more, and what was half cut off', async () => {
    await a.set(states['two containers on two networks'] ?? []);
    await a.dataplane.change({ remove: [keyOf(portOf(h1))] });
    await a.kill();
    const { steps } = await a.set(without(full, 'port'));
    assert.ok(
      steps.some((step) => step.includes('netns 2-77aa00bb11')),
      steps.join('\n'),
    );
    assert.doesNotMatch(a.state(), /dead-/);
    assert.deepEqual(await a.set(without(full, 'port')), { steps: [] });
  });

  test('keeps subnets apart that are to be, with no step at a restart; puts right what of that is taken away', async () => {
    const there = sandboxOf(h5);
    await a.set(furtherApart);
    const whole = a.state();
    assert.match(
      a.sh(`ip netns exec ${network.namespace} nft list chain netdev skein send4-10-0-1-0-24`),
      /10\.0\.0\.0\/24/,
    );
    await a.kill();
    assert.deepEqual(await a.set(furtherApart), { steps: [] });
    for (const [what, command] of Object.entries(damagesApart)) {
      await a.kill();
      a.sh(command);
      assert.ok((await a.set(furtherApart)).steps.length > 0, what);
      assert.equal(a.state(), whole, what);
    }
    a.sh(`ip -n ${here} route add 10.0.1.0/24 dev eth0; ip -n ${there} route add 10.0.0.0/24 dev eth0`);
    assert.ok(!a.succeeds(here, 'ping -c1 -W1 10.0.1.13'));
    assert.ok(!a.succeeds(there, 'ping -c1 -W1 -I 10.32.0.13 10.0.0.11'));
    await a.dataplane.change({ remove: [keyOf({ ...portOf(h5), kind: 'port' })] });
    const chains = a.sh(`ip netns exec ${network.namespace} nft list chains`);
    assert.match(chains, /send4-10-0-0-0-24/);
    assert.doesNotMatch(chains, /send4-10-0-1-0-24/);
    // With the routes of the containers' own.
    await a.set([]);
  });

  for (const [what, command] of Object.entries(damages)) {
    test(`puts right: ${what}`, async () => {
      const whole = a.state();
      // Nobody listens while the damage is done: `set` finds it, not the notification.
      await a.kill();
      a.sh(command);
      const { steps } = await a.set(full);
      assert.ok(steps.length > 0);
      assert.equal(a.state(), whole);
      assert.deepEqual(await a.set(full), { steps: [] });
      b.in(sandboxOf(h2), 'ping -c1 -W2 10.0.0.11');
      a.in(here, 'ping -c1 -W2 172.18.0.1');
    });
  }

  for (const what of [
    'the port',
    'an FDB entry',
    'a neighbour entry',
    'all rules of the host',
    'the gateway bridge',
    'a peer',
    'the bridge',
    'the vxlan device',
    'the way out',
    "a bridge's FDB entry",
    "the port's rules",
    "the container's interface set down",
    'the redirects',
    'one redirect',
  ]) {
    test(`hears of it and puts it right unasked: ${what}`, async () => {
      const whole = a.state();
      a.sh(damages[what] ?? '');
      await until(() => a.state() === whole, 'repair', 15_000);
    });
  }

  for (const [what, name] of [
    ['a container', here],
    ['a network', network.namespace],
  ] as const) {
    test(`pins the namespace of ${what} again, and it is the same one`, async () => {
      const whole = a.state();
      const pin = `/run/skein/netns/${name}`;
      const inode = a.sh(`stat -Lc %i ${pin}`);
      const process = a.start(here, 'ping -i 0.05 -w 3 10.0.0.12');
      await until(() => a.succeeds(here, 'ping -c1 -W1 10.0.0.12'), 'traffic');
      a.sh(`umount -l ${pin}; rm ${pin} /run/netns/${name}`);
      const { steps } = await a.dataplane.repair();
      assert.deepEqual(steps, [`the pin of namespace ${name}`]);
      assert.equal(a.sh(`stat -Lc %i ${pin}`), inode);
      assert.equal(a.state(), whole);
      assert.match(await process, / 0% packet loss/);
    });
  }

  test('puts right seldom what is taken away again and again, and in the end', async (t) => {
    // A peer that no other test takes away.
    await a.set(piecesFor(h1, [h2, h3]));
    const whole = a.state();
    const times: number[] = [];
    for (let i = 0; i < 6; i++) {
      a.sh(`nft delete element ip skein peers { ${h3.data} }`);
      const began = Date.now();
      await until(() => a.state() === whole, 'repair', 20_000);
      times.push(Date.now() - began);
    }
    t.diagnostic(`put right after ${times.join(', ')} ms`);
    assert.ok((times.at(-1) ?? 0) > 1_500);
  });

  test("leaves what is in the host's own VXLAN devices, which are others'", async () => {
    await a.set(full);
    a.sh(`ip link add other type vxlan id 42 dstport 4789 local ${h1.data} remote ${h2.data}; ip link set other up
      bridge fdb add 02:00:00:00:00:42 dev other dst 10.9.0.9`);
    const before = a.sh('bridge fdb show dev other');
    assert.match(before, /^00:00:00:00:00:00 dst 10\.9\.0\.2 self permanent$/m);
    assert.deepEqual((await a.dataplane.repair()).steps, []);
    assert.equal(a.sh('bridge fdb show dev other'), before);
    a.sh('ip link del other');
  });

  test('takes back a change that fails half-way', async () => {
    const whole = a.state();
    const bad: Piece = { ...portOf(h3), sandbox: here, port: 'veth5', interface: 'a-name-that-is-too-long' };
    const put: readonly Piece[] = [second, { kind: 'sandbox', id: 'b00000000001' }, bad];
    await assert.rejects(
      a.dataplane.change({ put }),
      (error) => error instanceof KernelError && error.message.includes('a-name-that-is-too-long'),
    );
    assert.equal(a.state(), whole);
    assert.deepEqual(await a.dataplane.repair(), { steps: [] });
  });

  test('takes back a change when an interface of that name is already there', async () => {
    a.in(here, 'ip link add eth3 type bridge');
    const whole = a.state();
    const bad: Piece = { ...portOf(h3), sandbox: here, port: 'veth5', interface: 'eth3' };
    await assert.rejects(a.dataplane.change({ put: [bad] }), (error) => isKernelError(error, 'EEXIST'));
    assert.equal(a.state(), whole);
    a.in(here, 'ip link del eth3');
  });

  test('adopts a namespace, pins it, and leaves alone what it did not make', async () => {
    a.sh('ip netns add foreign; ip -n foreign link add own0 type bridge; ip -n foreign link set lo up');
    const identity = await a.dataplane.adopt({ path: '/run/netns/foreign' });
    const id = 'c00000000001';
    const mine = { ...portOf(h3), sandbox: id, port: 'veth5' };
    await a.dataplane.change({ put: [{ kind: 'sandbox', id, adopted: identity }, mine] });
    a.sh('ip netns exec foreign ping -c1 -W2 10.0.0.11');
    await a.kill();
    const pieces: readonly Piece[] = [...full, { kind: 'sandbox', id, adopted: identity }, mine];
    assert.deepEqual(await a.set(pieces), { steps: [] });
    a.sh('ip netns exec foreign sysctl -qw net.ipv6.conf.eth0.accept_ra=1 net.ipv6.conf.eth0.disable_ipv6=1');
    const { steps } = await a.dataplane.repair();
    for (const name of ['accept_ra', 'disable_ipv6']) {
      assert.ok(
        steps.some((step) => step.startsWith(`change ${id} sysctl net/ipv6/conf/eth0/${name} `)),
        steps.join('; '),
      );
    }
    await a.set(full);
    assert.equal(a.sh('ip -n foreign -br link').split('\n').filter(Boolean).length, 2);
    a.sh('ip netns del foreign');
  });

  test('attaches an adopted namespace again after it was detached, with the same names in it', async () => {
    a.sh('ip netns add foreign');
    const id = 'c00000000001';
    const identity = await a.dataplane.adopt({ path: '/run/netns/foreign' });
    const mine: readonly Piece[] = [
      { kind: 'sandbox', id, adopted: identity },
      { ...portOf(h3), sandbox: id, port: 'veth5' },
      { ...exitOf(h3, 3), sandbox: id },
    ];
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await a.dataplane.adopt({ path: '/run/netns/foreign' }), identity);
      await a.dataplane.change({ put: mine });
      a.sh('ip netns exec foreign ping -c1 -W2 10.0.0.11');
      await a.dataplane.change({ remove: mine.map(keyOf) });
      assert.doesNotMatch(a.sh('ip -n foreign -br link'), /eth[0-9]/);
    }
    assert.deepEqual(await a.dataplane.repair(), { steps: [] });
    a.sh('ip netns del foreign');
  });

  test('makes changes while it repairs, and neither takes the other for damage', async () => {
    const whole = a.state();
    const more = states['two containers on two networks']?.filter((piece) => !full.includes(piece)) ?? [];
    for (let round = 0; round < 10; round++) {
      const repaired = a.dataplane.repair();
      await a.dataplane.change({ put: more });
      await a.dataplane.change({ remove: more.map(keyOf) });
      assert.deepEqual(await repaired, { steps: [] });
    }
    await until(() => a.state() === whole, 'deletion of the links that were cut off');
    assert.deepEqual(await a.dataplane.repair(), { steps: [] });
  });

  test('says of a change that the kernel refuses what the kernel says', async () => {
    const id = 'c00000000002';
    a.sh(
      'ip netns add foreign; ip -n foreign link add own0 type bridge; ip -n foreign addr add fd18::1/128 dev own0; ip -n foreign link set own0 up',
    );
    const identity = await a.dataplane.adopt({ path: '/run/netns/foreign' });
    const put: readonly Piece[] = [
      { kind: 'sandbox', id, adopted: identity },
      { ...exitOf(h3, 3), sandbox: id },
    ];
    await assert.rejects(a.dataplane.change({ put }), /Gateway can not be a local address/);
    a.sh('ip netns del foreign');
  });

  test('refuses to adopt what is no foreign network namespace', async () => {
    a.sh('mkfifo /run/pipe');
    for (const source of [
      { path: '/run/pipe' },
      { path: '/run/nowhere' },
      { path: '/etc/passwd' },
      { path: '/proc/self/ns/mnt' },
      { path: '/proc/self/ns/net' },
      { pid: 2 ** 22 },
    ]) {
      await assert.rejects(a.dataplane.adopt(source), (error) => error instanceof Refusal && error.kind === 'invalid');
    }
  });

  test('looks at the host', async () => {
    const closed = [
      ['blackhole', '10.88.0.0/16'],
      ['unreachable', '10.88.1.0/24'],
      ['prohibit', '10.88.2.0/24'],
      ['throw', '10.88.3.0/24'],
      ['blackhole', 'fd88::/48'],
    ] as const;
    a.sh(closed.map(([type, prefix]) => `ip route add ${type} ${prefix}`).join('; '));
    a.sh('ip route add 10.89.0.0/16 via 10.9.0.77; ip route add default via 10.9.0.78');
    const view = await a.dataplane.look();
    assert.deepEqual(
      view.closed.map(({ type, prefix }) => `${type} ${prefix}`).sort(),
      closed.map((words) => words.join(' ')).sort(),
    );
    assert.deepEqual(view.hops.map(({ address, interface: device }) => `${address} ${device}`).sort(), [
      '10.9.0.77 u0',
      '10.9.0.78 u0',
    ]);
    assert.ok(!view.routes.some(({ prefix }) => prefix.startsWith('10.88.')));
    a.sh(closed.map(([type, prefix]) => `ip route del ${type} ${prefix}`).join('; '));
    a.sh('ip route del 10.89.0.0/16; ip route del default');
    const underlay = view.interfaces.find(({ name }) => name === 'u0');
    assert.equal(underlay?.mtu, 1500);
    assert.ok(underlay?.addresses.includes('10.9.0.1/24'));
    assert.ok(view.routes.some(({ prefix, interface: device }) => prefix === '10.9.0.0/24' && device === 'u0'));
    assert.match(view.bootId, /^[0-9a-f-]{36}$/);
  });

  test('ends when it is closed, also twice; what is there stays, and asking it more is an error', async () => {
    const whole = a.state();
    await Promise.all([a.dataplane.close(), a.dataplane.close()]);
    await assert.rejects(a.dataplane.repair(), /closed/);
    assert.equal(a.state(), whole);
    await a.kill();
  });
});

/** The same numbers every time: a failure can be looked at again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

function shuffled<T>(values: readonly T[], random: (below: number) => number): T[] {
  const rest = [...values];
  return values.flatMap(() => rest.splice(random(rest.length), 1));
}
