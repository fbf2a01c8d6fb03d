import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Refusal } from '../../lib/errors.ts';
import { assertApart, broaderRoutes, macOf, networkMtu, planSubnet, subnetsFor } from './ipam.ts';

const demo = {
  name: 'demo',
  subnets: [
    { subnet: '10.0.0.0/24', gateway: '10.0.0.1' },
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

test('a subnet gets its first address as gateway, or the one that was named', () => {
  assert.deepEqual(planSubnet({ subnet: '192.168.10.0/24' }), { subnet: '192.168.10.0/24', gateway: '192.168.10.1' });
  assert.deepEqual(planSubnet({ subnet: 'FD00:0:0:1::/64' }), { subnet: 'fd00:0:0:1::/64', gateway: 'fd00:0:0:1::1' });
  assert.equal(planSubnet({ subnet: '10.0.0.0/24', gateway: '10.0.0.254' }).gateway, '10.0.0.254');
});

test('subnets and gateways that cannot work are refused with the reason', () => {
  const table: [Parameters<typeof planSubnet>[0], RegExp][] = [
    [{ subnet: '10.0.0.5/24' }, /did you mean 10\.0\.0\.0\/24/],
    [{ subnet: '10.0.0.0/31' }, /too small/],
    [{ subnet: 'fd00::/127' }, /too small/],
    [{ subnet: '127.0.0.0/8' }, /loopback/],
    [{ subnet: '224.0.0.0/24' }, /multicast/],
    [{ subnet: 'fe80::/64' }, /link-local/],
    [{ subnet: '10.0.0.0/24', gateway: '10.0.1.1' }, /10\.0\.1\.1 is not in the subnet 10\.0\.0\.0\/24/],
    [{ subnet: '10.0.0.0/24', gateway: '10.0.0.0' }, /network's or broadcast/],
    [{ subnet: '10.0.0.0/24', gateway: '10.0.0.255' }, /network's or broadcast/],
    [{ subnet: '10.0.0.0/24', gateway: 'fd00::1' }, /not in the subnet/],
    [{ subnet: 'nonsense' }, /nonsense/],
  ];
  for (const [request, reason] of table) {
    assert.throws(
      () => planSubnet(request),
      (error) => error instanceof Refusal && reason.test(error.message),
      request.subnet,
    );
  }
});

test('subnets of one request that overlap are both named', () => {
  assertApart(['10.0.0.0/24', '10.0.1.0/24', 'fd00::/64']);
  assert.throws(() => assertApart(['10.1.0.0/24', '10.0.0.0/8']), /10\.1\.0\.0\/24 and 10\.0\.0\.0\/8 overlap/);
});

test('an endpoint gets an address of each family, and the one that it asked for', () => {
  assert.deepEqual(
    subnetsFor(demo, {}).map(({ subnet }) => subnet.subnet),
    ['10.0.0.0/24', 'fd00:1::/64'],
  );
  assert.deepEqual(
    subnetsFor(demo, { ip: '10.0.0.9', ip6: 'fd00:1:0::9' }).map(({ wish }) => wish),
    ['10.0.0.9', 'fd00:1::9'],
  );
});

test('addresses that a network cannot give are refused', () => {
  const table: [Parameters<typeof subnetsFor>[1], RegExp][] = [
    [{ ip: '10.9.0.2' }, /in no subnet of network demo \(10\.0\.0\.0\/24, fd00:1::\/64\)/],
    [{ ip: '10.0.0.1' }, /is the gateway of network demo/],
    [{ ip: '10.0.0.255' }, /broadcast/],
    [{ ip: 'fd00:1::5' }, /not an IPv4 address/],
    [{ ip6: '10.0.0.5' }, /not an IPv6 address/],
    [{ ip: '010.0.0.5' }, /not an IP address/],
  ];
  for (const [wish, reason] of table) assert.throws(() => subnetsFor(demo, wish), reason);
});

test('routes that hold a subnet are found, narrower ones are not', () => {
  const routes = [{ prefix: '10.0.0.0/8' }, { prefix: '10.0.0.0/25' }, { prefix: 'fd00::/8' }];
  assert.deepEqual(broaderRoutes('10.0.0.0/24', routes), [{ prefix: '10.0.0.0/8' }]);
});

test('whatever is asked for, a subnet is planned or refused, nothing else', () => {
  fc.assert(
    fc.property(fc.string(), fc.option(fc.string(), { nil: undefined }), (subnet, gateway) => {
      try {
        planSubnet(gateway === undefined ? { subnet } : { subnet, gateway });
      } catch (error) {
        assert.ok(error instanceof Refusal);
      }
    }),
  );
});
