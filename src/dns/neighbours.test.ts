import assert from 'node:assert/strict';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { Neighbours } from './neighbours.ts';

function at(cidr: string, scopeid = 0): NetworkInterfaceInfo {
  const [address = ''] = cidr.split('/');
  const rest = { address, cidr, netmask: '', mac: '', internal: false };
  return address.includes(':') ? { ...rest, family: 'IPv6', scopeid } : { ...rest, family: 'IPv4' };
}

const interfaces = () => ({
  lo: [at('127.0.0.1/8'), at('::1/128')],
  eth0: [at('192.0.2.5/24'), at('2001:db8::5/64'), at('fe80::5/64', 2), at('10.0.0.0/8')],
  docker0: [at('172.17.0.1/16')],
  skein_gwbridge: [at('172.18.0.1/16'), at('fd12::1/64'), at('fe80::1/64', 5)],
  'skein-3d430f333': [at('10.7.0.9/24')],
  'skein-77aa00bb1:x': [at('10.8.0.9/24')],
});

const rows: readonly (readonly [string, boolean])[] = [
  ['127.0.0.1', true],
  ['127.3.4.5', true],
  ['::1', true],
  ['192.0.2.200', true],
  ['2001:db8::77', true],
  ['172.17.0.2', true],
  ['fe80::77%eth0', true],
  // Elsewhere, or nowhere.
  ['198.51.100.1', false],
  ['2001:db9::1', false],
  ['172.19.0.2', false],
  // The host, by interfaces of ours.
  ['172.18.0.1', true],
  ['fd12::1', true],
  ['fe80::1%skein_gwbridge', true],
  ['10.7.0.9', true],
  // Containers, on a network within one of the host's too.
  ['172.18.0.7', false],
  ['fd12::7', false],
  ['fe80::7%skein_gwbridge', false],
  ['fe80::1%skein-3d430f333', false],
  ['10.7.0.2', false],
  ['10.8.0.2', false],
  ['10.9.0.2', true],
];

for (const [source, isNear] of rows) {
  test(`${source} is ${isNear ? 'the host or its neighbour' : 'neither the host nor its neighbour'}`, () => {
    assert.equal(new Neighbours({ interfaces }).has(source), isNear);
  });
}

test('an address of this host that no interface shows is its own all the same', () => {
  const neighbours = new Neighbours({ interfaces, isOwn: (address) => address === '172.30.0.1' });
  assert.deepEqual([neighbours.has('172.30.0.1'), neighbours.has('172.30.0.2')], [true, false]);
});

/** A look takes 3 milliseconds. */
function looked() {
  const nothing: ReturnType<typeof networkInterfaces> = {};
  const world = { looks: 0, now: 0, there: nothing };
  const look = () => {
    world.looks++;
    world.now += 3;
    return world.there;
  };
  return { world, neighbours: new Neighbours({ interfaces: look, now: () => world.now }) };
}

test('interfaces that go are seen a second later, and are not looked at for each question', () => {
  const { world, neighbours } = looked();
  world.there = interfaces();
  assert.ok(neighbours.has('192.0.2.7'));
  world.there = {};
  world.now += 999;
  assert.ok(neighbours.has('192.0.2.7'));
  world.now += 1;
  assert.ok(!neighbours.has('192.0.2.7'));
  assert.equal(world.looks, 2);
});

test('who is behind an interface that just came is known at once, and strangers cost a twentieth of the time', () => {
  const { world, neighbours } = looked();
  assert.ok(!neighbours.has('192.0.2.7'));
  world.now += 60;
  world.there = interfaces();
  assert.ok(neighbours.has('192.0.2.7'));
  assert.equal(world.looks, 2);
  for (const until = world.now + 900; world.now < until; world.now++) assert.ok(!neighbours.has('198.51.100.1'));
  assert.equal(world.looks, 2 + Math.floor(900 / 63));
});

test('the interfaces of this machine are understood', () => {
  for (const { address, scopeid } of Object.values(networkInterfaces()).flatMap((listed) => listed ?? [])) {
    if (!scopeid) assert.ok(new Neighbours().has(address), address);
  }
});
