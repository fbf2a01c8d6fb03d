import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choicesFor, macOf, networkMtu, routesInTheWay } from './ipam.ts';

const demo = {
  name: 'demo',
  subnets: [
    { subnet: '10.0.0.0/24', gateway: '10.0.0.1', auxAddresses: { router: '10.0.0.7' } },
    { subnet: '10.0.4.0/24', gateway: '10.0.4.1' },
    { subnet: 'fd00:1::/64', gateway: 'fd00:1::1' },
  ],
};

test('a MAC is 02:42 and the IPv4 address in hexadecimal', () => {
  assert.equal(macOf(['10.0.0.2/24']), '02:42:0a:00:00:02');
  assert.equal(macOf(['fd00::2/64', '172.18.0.255/16']), '02:42:ac:12:00:ff');
  assert.match(macOf(['fd00::2/64']), /^02:42(:[0-9a-f]{2}){4}$/);
  assert.notEqual(macOf(['fd00::2/64']), macOf(['fd00::3/64']));
});

test('the MTU is what the smallest path leaves, 50 bytes less over IPv4 and 70 over IPv6', () => {
  const paths = [
    { name: 'h1', mtu: 9000 },
    { name: 'h2', mtu: 1500 },
  ];
  assert.equal(networkMtu(paths, { underlay: 4, ipv6: false }), 1450);
  assert.equal(networkMtu(paths, { underlay: 6, ipv6: true }), 1430);
  assert.throws(
    () => networkMtu([...paths, { name: 'h3', mtu: 1300 }], { underlay: 4, ipv6: true }),
    /host h3 carries 1300 bytes.*IPv6 needs 1280/,
  );
});

test('an MTU that was asked for is given when every path carries it', () => {
  const paths = [
    { name: 'h1', mtu: 1500 },
    { name: 'h2', mtu: 1400 },
  ];
  assert.equal(networkMtu(paths, { underlay: 4, ipv6: false, wish: 1300 }), 1300);
  assert.equal(networkMtu(paths, { underlay: 4, ipv6: false, wish: 1350 }), 1350);
  assert.throws(() => networkMtu(paths, { underlay: 4, ipv6: false, wish: 1351 }), /1351.*host h2 carries 1400.*1350/);
  assert.throws(() => networkMtu(paths, { underlay: 4, ipv6: true, wish: 1279 }), /1279 bytes is too small: IPv6/);
});

test('an endpoint gets an address of each family, and the one that it asked for', () => {
  assert.deepEqual(
    choicesFor(demo, {}).map(({ subnets }) => subnets.map(({ subnet }) => subnet)),
    [['10.0.0.0/24', '10.0.4.0/24'], ['fd00:1::/64']],
  );
  assert.deepEqual(
    choicesFor(demo, { ip: '10.0.4.9', ip6: 'fd00:1:0::9' }).map(({ subnets, wish }) => [subnets[0]?.subnet, wish]),
    [
      ['10.0.4.0/24', '10.0.4.9'],
      ['fd00:1::/64', 'fd00:1::9'],
    ],
  );
});

test('addresses that a network cannot give are refused', () => {
  const table: [Parameters<typeof choicesFor>[1], RegExp][] = [
    [{ ip: '10.9.0.2' }, /in no subnet of network demo \(10\.0\.0\.0\/24, 10\.0\.4\.0\/24, fd00:1::\/64\)/],
    [{ ip: '10.0.0.1' }, /is the gateway of network demo/],
    [{ ip: '10.0.0.7' }, /is kept for router, an auxiliary address of demo/],
    [{ ip: '10.0.0.255' }, /broadcast/],
    [{ ip: 'fd00:1::5' }, /not an IPv4 address/],
    [{ ip6: '10.0.0.5' }, /not an IPv6 address/],
    [{ ip: '010.0.0.5' }, /not an IP address/],
  ];
  for (const [wish, reason] of table) assert.throws(() => choicesFor(demo, wish), reason);
});

test('routes that share addresses with a subnet are found, broader and narrower, others are not', () => {
  const routes = ['10.0.0.0/8', '10.0.0.0/25', '10.0.1.0/24', 'fd00::/8'].map((prefix) => ({ prefix }));
  assert.deepEqual(
    routesInTheWay('10.0.0.0/24', routes).map(({ prefix }) => prefix),
    ['10.0.0.0/8', '10.0.0.0/25'],
  );
});
