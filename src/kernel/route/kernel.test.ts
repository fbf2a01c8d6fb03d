/** The real kernel: in network namespaces that this process alone is in, so that they end with it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { messageOf } from '../../lib/errors.ts';
import { type Netlink, openNetlink, openNotifications } from '../netlink/socket.ts';
import { openSyscalls } from '../syscall.ts';
import { sysctls } from '../sysctl.ts';
import { addresses, IFA_F } from './addresses.ts';
import { IFF, type Link } from './link.ts';
import { links } from './links.ts';
import { fdb, NTF, NUD, neighbours } from './neighbours.ts';
import { decodeNotification, type Notification } from './notification.ts';
import { RT_SCOPE, RT_TABLE, RTN, RTPROT, routes } from './routes.ts';
import { RTNLGRP } from './rtnetlink.ts';

const CLONE_NEWNET = 0x40000000;
const O_CLOEXEC = 0o2000000;

const sys = openSyscalls();
/** The namespace that the test is in, and another one. */
let here: Netlink;
let there: Netlink;
let thereFd: number;

function enterNewNamespace(): Netlink {
  sys.unshare(CLONE_NEWNET);
  return openNetlink(sys);
}

const canUnshare = (() => {
  try {
    sys.unshare(CLONE_NEWNET);
    return true;
  } catch {
    return false;
  }
})();

function get(nl: Netlink, name: string): Link {
  return links.get(nl, name) ?? assert.fail(`there is no ${name}`);
}

/** With a MAC of its own: else it takes a port's, and each change of it flushes its neighbours. */
function addBridge(name = 'br0'): Link {
  links.add(here, {
    name,
    address: '02:00:00:00:00:01',
    up: true,
    info: { kind: 'bridge', bridge: { mcastSnooping: false } },
  });
  return get(here, name);
}

const vxlan = { id: 4097, local: '192.0.2.1', port: 4789, learning: false, proxy: true };

const settings = { acceptRa: 'accept_ra', disableIpv6: 'disable_ipv6' } as const;

describe('the kernel', { skip: canUnshare ? false : 'making network namespaces needs root' }, () => {
  beforeEach(() => {
    there = enterNewNamespace();
    thereFd = sys.open('/proc/thread-self/ns/net', O_CLOEXEC);
    here = enterNewNamespace();
  });

  afterEach(() => {
    here.close();
    there.close();
    sys.close(thereFd);
  });

  test('a link has the settings that are in its files', () => {
    addBridge();
    for (const [field, name] of Object.entries(settings)) {
      for (const value of [0, 1]) {
        sysctls.set(`net/ipv6/conf/br0/${name}`, String(value));
        assert.partialDeepStrictEqual(get(here, 'br0'), { ipv6: { [field]: value } });
      }
    }
    sysctls.set('net/ipv6/conf/br0/accept_ra', '2');
    assert.equal(get(here, 'br0').ipv6?.acceptRa, 2);
    links.set(here, get(here, 'br0').index, { mtu: 1200 });
    assert.equal(get(here, 'br0').ipv6, undefined);
  });

  test('a bridge is made as it was said', () => {
    const bridge = { mcastSnooping: false, stpState: 0, ageingTime: 100 };
    links.add(here, {
      name: 'br0',
      address: '02:00:00:00:00:01',
      mtu: 1450,
      group: 9,
      up: true,
      info: { kind: 'bridge', bridge },
    });
    const { index, flags, ipv6: _, ...rest } = get(here, 'br0');
    assert.ok(index > 0);
    assert.ok(flags & IFF.UP);
    assert.deepEqual(rest, {
      name: 'br0',
      address: '02:00:00:00:00:01',
      mtu: 1450,
      group: 9,
      info: { kind: 'bridge', bridge },
    });
    links.set(here, index, { bridge: { mcastSnooping: true } });
    assert.deepEqual(get(here, 'br0').info, { kind: 'bridge', bridge: { ...bridge, mcastSnooping: true } });
  });

  test('a veth pair is made in one step over two namespaces, one end in a bridge', () => {
    const bridge = addBridge();
    const peer = { name: 'eth0', netnsFd: thereFd, address: '02:00:00:00:00:03', mtu: 1400 };
    const veth = { name: 'veth0', address: '02:00:00:00:00:02', mtu: 1450, group: 7, master: bridge.index, up: true };
    const made = links.addVeth(here, { ...veth, queues: 1, info: { kind: 'veth', peer: { ...peer, queues: 1 } } });
    const port = get(here, 'veth0');
    assert.deepEqual(made, { index: port.index, peer: port.link });
    const end = get(there, 'eth0');
    assert.partialDeepStrictEqual(port, {
      ...{ address: '02:00:00:00:00:02', mtu: 1450, group: 7, master: bridge.index, link: end.index },
      info: { kind: 'veth' },
    });
    assert.partialDeepStrictEqual(end, { address: '02:00:00:00:00:03', mtu: 1400, group: 0, link: port.index });
    assert.equal(links.get(here, 'eth0'), undefined);
    links.set(there, end.index, { up: true, name: 'eth7', mtu: 1450 });
    assert.partialDeepStrictEqual(get(there, 'eth7'), { index: end.index, mtu: 1450, flags: 0x11043 });
  });

  test('a port joins its bridge, gets its flags and goes up by one call', () => {
    const bridge = addBridge();
    links.add(here, { name: 'p0', info: { kind: 'veth', peer: { name: 'p1' } } });
    const bridgePort = {
      ...{ learning: false, unicastFlood: false, mcastFlood: false, bcastFlood: false },
      ...{ neighSuppress: true, isolated: true, locked: true },
    };
    links.set(here, get(here, 'p0').index, { up: true, master: bridge.index, bridgePort });
    const port = get(here, 'p0');
    assert.deepEqual(port.bridgePort, bridgePort);
    assert.equal(port.master, bridge.index);
    assert.ok(port.flags & IFF.UP);
    links.set(here, port.index, { master: 0, up: false });
    assert.equal(get(here, 'p0').master, undefined);
    assert.equal(get(here, 'p0').flags & IFF.UP, 0);
  });

  test('a port that did not get its flags does not go up', () => {
    links.add(here, { name: 'p0', info: { kind: 'veth', peer: { name: 'p1' } } });
    const { index } = get(here, 'p0');
    assert.throws(() => links.set(here, index, { up: true, bridgePort: { locked: true } }), { name: 'KernelError' });
    assert.equal(get(here, 'p0').flags & IFF.UP, 0);
  });

  for (const local of ['192.0.2.1', 'fd00::1']) {
    test(`a vxlan device over ${local} is made straight in another namespace, its socket staying here`, () => {
      const info = { kind: 'vxlan', vxlan: { ...vxlan, local } } as const;
      links.add(here, { name: 'vxlan0', netnsFd: thereFd, address: '02:00:00:00:00:04', mtu: 1450, info });
      const device = get(there, 'vxlan0');
      assert.equal(links.get(here, 'vxlan0'), undefined);
      assert.deepEqual(device.info, { kind: 'vxlan', vxlan: { ...vxlan, local, ttl: 0, udpCsum: true } });
      // Where its packets leave and arrive: the namespace that it was made from.
      assert.ok(device.linkNetnsid !== undefined && device.linkNetnsid >= 0);
      links.set(there, device.index, { up: true });
      assert.throws(
        () => {
          links.add(here, { name: 'again', info });
          links.set(here, get(here, 'again').index, { up: true });
        },
        { code: 'EEXIST' },
      );
      links.remove(there, device.index);
      assert.equal(links.get(there, 'vxlan0'), undefined);
    });
  }

  test('links are moved, listed and removed, also a whole group at once', () => {
    for (const i of [0, 1, 2]) {
      links.add(here, {
        name: `v${i}`,
        group: i === 2 ? 8 : 7,
        info: { kind: 'veth', peer: { name: `w${i}`, netnsFd: thereFd } },
      });
    }
    const names = (nl: Netlink) =>
      links
        .list(nl)
        .map(({ name }) => name)
        .sort();
    assert.deepEqual(names(here), ['lo', 'v0', 'v1', 'v2']);
    links.removeGroup(here, 7);
    links.removeGroup(here, 7);
    assert.deepEqual(
      [names(here), names(there)],
      [
        ['lo', 'v2'],
        ['lo', 'w2'],
      ],
    );
    links.set(here, get(here, 'v2').index, { netnsFd: thereFd, name: 'moved' });
    assert.deepEqual([names(here), names(there)], [['lo'], ['lo', 'moved', 'w2']]);
    links.remove(there, get(there, 'moved').index);
    assert.deepEqual(names(there), ['lo']);
  });

  test('what is not there is undefined when looked up', () => {
    assert.equal(links.get(here, 'nope'), undefined);
    assert.equal(links.get(here, 4711), undefined);
  });

  test('addresses of both families are added, listed and removed', () => {
    const { index } = addBridge();
    links.set(here, get(here, 'lo').index, { up: true });
    addresses.add(here, { index, address: '10.0.0.1/24' });
    addresses.add(here, { index, address: 'fd00::1/64', flags: IFA_F.NODAD });
    const wanted = [
      { index, address: '10.0.0.1/24', flags: IFA_F.PERMANENT, scope: 0 },
      { index, address: 'fd00::1/64', flags: IFA_F.PERMANENT | IFA_F.NODAD, scope: 0 },
    ];
    const ours = () => addresses.list(here, { index }).filter(({ scope }) => scope === 0);
    assert.deepEqual(ours(), wanted);
    assert.ok(addresses.list(here).some(({ address }) => address === '127.0.0.1/8'));
    addresses.remove(here, { index, address: '10.0.0.1/24' });
    addresses.remove(here, { index, address: 'fd00::1/64' });
    assert.deepEqual(ours(), []);
  });

  test('routes of both families are added, listed and removed', () => {
    const { index: oif } = addBridge();
    assert.deepEqual(
      routes.list(here).filter(({ protocol }) => protocol === RTPROT.STATIC),
      [],
    );
    addresses.add(here, { index: oif, address: '10.0.0.1/24' });
    addresses.add(here, { index: oif, address: 'fd00::1/64', flags: IFA_F.NODAD });
    routes.add(here, { dst: '0.0.0.0/0', via: '10.0.0.2' });
    routes.add(here, { dst: '::/0', via: 'fd00::2', oif });
    routes.add(here, { dst: '10.7.0.0/16', oif, prefsrc: '10.0.0.1', priority: 5 });
    routes.add(here, { dst: '10.8.0.0/16', via: 'fd00::3', oif });
    routes.add(here, { dst: '10.9.0.0/16', oif, table: 1000 });
    const all = { oif, table: RT_TABLE.MAIN, protocol: RTPROT.STATIC, type: RTN.UNICAST };
    const ours = () => routes.list(here).filter(({ protocol }) => protocol === RTPROT.STATIC);
    assert.deepEqual(ours(), [
      { ...all, dst: '0.0.0.0/0', via: '10.0.0.2', scope: RT_SCOPE.UNIVERSE },
      { ...all, dst: '10.7.0.0/16', prefsrc: '10.0.0.1', priority: 5, scope: RT_SCOPE.LINK },
      { ...all, dst: '10.8.0.0/16', via: 'fd00::3', scope: RT_SCOPE.UNIVERSE },
      { ...all, dst: '::/0', via: 'fd00::2', priority: 1024, scope: RT_SCOPE.UNIVERSE },
    ]);
    assert.deepEqual(
      routes.list(here, { table: 1000 }).map(({ dst }) => dst),
      ['10.9.0.0/16'],
    );
    assert.deepEqual(routes.list(here, { table: 1001 }), []);
    for (const { dst } of ours()) routes.remove(here, { dst });
    assert.deepEqual(ours(), []);
  });

  test('neighbours are added, replaced, listed and removed', () => {
    const { index } = addBridge();
    const other = addBridge('br1').index;
    const permanent = { index, state: NUD.PERMANENT, flags: 0 };
    const ours = () => neighbours.list(here, { index }).filter(({ state }) => state === NUD.PERMANENT);
    for (const address of ['10.0.0.9', 'fd00::9']) {
      neighbours.add(here, { index, address, mac: '02:00:00:00:00:01' });
      neighbours.add(here, { index, address, mac: '02:00:00:00:00:09' });
      neighbours.add(here, { index: other, address, mac: '02:00:00:00:00:02' });
    }
    assert.deepEqual(ours(), [
      { ...permanent, address: '10.0.0.9', mac: '02:00:00:00:00:09' },
      { ...permanent, address: 'fd00::9', mac: '02:00:00:00:00:09' },
    ]);
    neighbours.remove(here, { index, address: '10.0.0.9' });
    neighbours.remove(here, { index, address: 'fd00::9' });
    assert.deepEqual(ours(), []);
    assert.equal(neighbours.list(here).filter(({ state }) => state === NUD.PERMANENT).length, 2);
  });

  test('forwarding entries of a vxlan device and of a bridge are added, replaced, listed and removed', () => {
    const bridge = addBridge().index;
    links.add(here, { name: 'vxlan0', master: bridge, up: true, info: { kind: 'vxlan', vxlan } });
    links.add(here, { name: 'p0', master: bridge, info: { kind: 'veth', peer: { name: 'p1' } } });
    const device = get(here, 'vxlan0').index;
    const port = get(here, 'p0').index;
    const mac = '02:00:00:00:00:99';
    const ours = (index: number) => fdb.list(here, { index }).filter((entry) => entry.mac === mac);
    fdb.add(here, { index: device, mac, dst: '192.0.2.2' });
    fdb.add(here, { index: device, mac, dst: '192.0.2.3' });
    assert.deepEqual(ours(device), [{ index: device, mac, dst: '192.0.2.3', state: NUD.PERMANENT, flags: NTF.SELF }]);
    fdb.add(here, { index: port, mac });
    assert.deepEqual(ours(port), [{ index: port, mac, master: bridge, state: NUD.NOARP, flags: 0 }]);
    assert.equal(fdb.list(here).filter((entry) => entry.mac === mac).length, 2);
    fdb.remove(here, { index: device, mac, dst: '192.0.2.3' });
    fdb.remove(here, { index: port, mac });
    assert.deepEqual([...ours(device), ...ours(port)], []);
  });

  test('thousands of entries go in at once, and each that is refused says so itself', () => {
    links.add(here, { name: 'vxlan0', info: { kind: 'vxlan', vxlan } });
    const { index } = get(here, 'vxlan0');
    const entries = Array.from({ length: 3000 }, (_, i) => {
      const hex = i.toString(16).padStart(4, '0');
      return { index, mac: `02:00:00:00:${hex.slice(0, 2)}:${hex.slice(2)}`, dst: '192.0.2.2' };
    });
    const messages = entries.map((entry, i) => fdb.addMessage(i % 1000 === 7 ? { ...entry, index: 4711 } : entry));
    const errors = here.requests(messages);
    assert.equal(errors.length, 3000);
    assert.deepEqual(
      errors.flatMap((error, i) => (error ? [`${i}: ${error.message}`] : [])),
      [7, 1007, 2007].map(
        (i) =>
          `${i}: set forwarding entry ${entries[i]?.mac} to 192.0.2.2 of link 4711: No such device (ENODEV): unknown ifindex`,
      ),
    );
    assert.equal(fdb.list(here, { index }).length, 2997);
  });

  test("refusals say what was tried and, in the kernel's words, why it was refused", () => {
    const { index } = addBridge();
    addresses.add(here, { index, address: '10.0.0.1/24' });
    const refused: readonly (readonly [action: () => void, message: string])[] = [
      [
        () => links.add(here, { name: 'br0', info: { kind: 'bridge', bridge: {} } }),
        'add link br0: File exists (EEXIST)',
      ],
      [
        () => routes.add(here, { dst: '10.1.0.0/24', via: '192.0.2.7' }),
        'add route 10.1.0.0/24 via 192.0.2.7: Network is unreachable (ENETUNREACH): Nexthop has invalid gateway',
      ],
      [
        () => addresses.add(here, { index, address: '10.0.0.1/24' }),
        `add address 10.0.0.1/24 to link ${index}: File exists (EEXIST): ipv4: Address already assigned`,
      ],
      [
        () => links.set(here, index, { mtu: 10 }),
        `set mtu of link ${index}: Invalid argument (EINVAL): mtu less than device minimum`,
      ],
      [() => links.removeGroup(here, 0), 'remove links of group 0: Operation not permitted (EPERM)'],
      [() => addresses.list(here, { index: 4711 }), 'list addresses: No such device (ENODEV)'],
    ];
    for (const [action, message] of refused) {
      assert.throws(action, (error) => {
        assert.equal(messageOf(error), message);
        return true;
      });
    }
  });

  test('a socket stays in the namespace that it was opened in', () => {
    const first = here;
    addBridge();
    const second = enterNewNamespace();
    assert.ok(links.get(first, 'br0'));
    assert.equal(links.get(second, 'br0'), undefined);
    second.close();
  });

  test('everything that changes is told', () => {
    const watch = openNotifications(sys, Object.values(RTNLGRP));
    const bridge = addBridge().index;
    links.add(here, { name: 'p0', master: bridge, up: true, info: { kind: 'veth', peer: { name: 'p1' } } });
    addresses.add(here, { index: bridge, address: '10.0.0.1/24' });
    routes.add(here, { dst: '10.7.0.0/16', via: '10.0.0.2' });
    neighbours.add(here, { index: bridge, address: '10.0.0.9', mac: '02:00:00:00:00:09' });
    const port = get(here, 'p0').index;
    fdb.add(here, { index: port, mac: '02:00:00:00:00:09' });
    const made = told(watch.drain());
    for (const line of ['link br0', 'link p0', 'port p0', 'address 10.0.0.1/24', 'route 10.7.0.0/16'])
      assert.ok(made.includes(line), line);
    for (const line of ['neighbour 10.0.0.9', 'fdb 02:00:00:00:00:09']) assert.ok(made.includes(line), line);
    assert.ok(!made.some((line) => line.startsWith('no link')), made.join());

    links.set(here, port, { master: 0 });
    const left = told(watch.drain());
    assert.ok(left.includes('no port p0') && !left.includes('no link p0'), left.join());
    routes.remove(here, { dst: '10.7.0.0/16' });
    neighbours.remove(here, { index: bridge, address: '10.0.0.9' });
    links.remove(here, port);
    links.remove(here, bridge);
    const gone = told(watch.drain());
    for (const line of [
      'link p0',
      'link p1',
      'link br0',
      'address 10.0.0.1/24',
      'route 10.7.0.0/16',
      'neighbour 10.0.0.9',
    ]) {
      assert.ok(gone.includes(`no ${line}`), line);
    }
    watch.close();
  });

  test('what a full buffer could not hold is said to be lost, once', () => {
    const watch = openNotifications(sys, [RTNLGRP.NEIGH], { receiveBuffer: 4096 });
    const { index } = addBridge();
    const entries = Array.from({ length: 200 }, (_, i) => ({
      index,
      address: `10.0.0.${i + 1}`,
      mac: '02:00:00:00:00:01',
    }));
    assert.ok(
      here.requests(entries.map((entry) => neighbours.addMessage(entry))).every((error) => error === undefined),
    );
    assert.equal(watch.drain(), 'lost');
    assert.deepEqual(watch.drain(), []);
    neighbours.remove(here, { index, address: '10.0.0.1' });
    assert.ok(told(watch.drain()).includes('no neighbour 10.0.0.1'));
    watch.close();
  });
});

function told(replies: ReturnType<ReturnType<typeof openNotifications>['drain']>): string[] {
  if (replies === 'lost') return assert.fail('notifications were lost');
  return replies.flatMap((reply) => {
    const notification = decodeNotification(reply);
    return notification ? [`${notification.gone ? 'no ' : ''}${notification.kind} ${subject(notification)}`] : [];
  });
}

function subject(notification: Notification): string {
  switch (notification.kind) {
    case 'link':
    case 'port':
      return notification.link.name;
    case 'address':
      return notification.address.address;
    case 'route':
      return notification.route.dst;
    case 'neighbour':
      return notification.neighbour.address;
    case 'fdb':
      return notification.entry.mac;
    case 'tc':
      return `of link ${notification.index}`;
  }
}
