import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Refusal } from '../../lib/errors.ts';
import {
  type Address,
  bitsOf,
  contains,
  covers,
  formatAddress,
  formatPrefix,
  networkOf,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../lib/prefix.ts';
import { isEdge, planSubnets, type SubnetRequest } from './plan.ts';

test('a subnet gets its first address as gateway, or the one that was named', () => {
  const table: [SubnetRequest, object][] = [
    [{ subnet: '192.168.10.0/24' }, { subnet: '192.168.10.0/24', gateway: '192.168.10.1' }],
    [{ subnet: 'FD00:0:0:1::/64' }, { subnet: 'fd00:0:0:1::/64', gateway: 'fd00:0:0:1::1' }],
    [
      { subnet: 'FD00:0:0:1::/64', gateway: 'fd00:0:0:0001::00ff' },
      { subnet: 'fd00:0:0:1::/64', gateway: 'fd00:0:0:1::ff' },
    ],
    [
      { subnet: '10.0.0.0/24', gateway: '10.0.0.254' },
      { subnet: '10.0.0.0/24', gateway: '10.0.0.254' },
    ],
    [
      { subnet: '10.0.0.0/16', ipRange: '10.0.5.0/24', auxAddresses: { a: '10.0.5.9', b: '10.0.9.9' } },
      {
        ...{ subnet: '10.0.0.0/16', gateway: '10.0.0.1', ipRange: '10.0.5.0/24' },
        auxAddresses: { a: '10.0.5.9', b: '10.0.9.9' },
      },
    ],
  ];
  for (const [request, planned] of table) assert.deepEqual(planSubnets([request]), [planned]);
});

test('what cannot work is refused with the reason', () => {
  const subnet = '10.0.0.0/24';
  const table: [SubnetRequest, RegExp][] = [
    [
      { subnet: '10.0.0.5/24' },
      /^invalid network config: invalid subnet 10\.0\.0\.5\/24: it should be 10\.0\.0\.0\/24$/,
    ],
    [{ subnet: '10.0.0.0/31' }, /too small/],
    [{ subnet: 'fd00::/127' }, /too small/],
    [{ subnet: '127.0.0.0/8' }, /loopback/],
    [{ subnet: '224.0.0.0/24' }, /multicast/],
    [{ subnet: 'fe80::/64' }, /link-local/],
    [{ subnet: '169.254.0.0/16' }, /link-local/],
    [{ subnet: '169.254.53.0/24' }, /link-local/],
    [{ subnet: 'fd53::/64' }, /overlaps fd53::\/64, where containers find the name server/],
    [{ subnet: 'fd53::/48' }, /name server/],
    [{ subnet: 'fd53::40/122' }, /name server/],
    [{ subnet: 'nonsense' }, /nonsense/],
    [{ subnet, gateway: '10.0.1.1' }, /invalid gateway 10\.0\.1\.1: parent subnet 10\.0\.0\.0\/24 doesn't contain/],
    [{ subnet, gateway: '10.0.0.0' }, /network's or broadcast/],
    [{ subnet, gateway: '10.0.0.255' }, /network's or broadcast/],
    [{ subnet, gateway: 'fd00::1' }, /parent subnet is an IPv4 block/],
    [{ subnet, ipRange: '10.0.1.0/25' }, /invalid ip-range 10\.0\.1\.0\/25: parent subnet .* doesn't contain ip-range/],
    [{ subnet, ipRange: '10.0.0.0/16' }, /CIDR block is bigger than its parent subnet 10\.0\.0\.0\/24/],
    [{ subnet, ipRange: '10.0.0.5/25' }, /it should be 10\.0\.0\.0\/25/],
    [{ subnet, ipRange: 'fd00::/64' }, /parent subnet is an IPv4 block/],
    [{ subnet, auxAddresses: { a: '10.0.1.2' } }, /invalid auxiliary address 10\.0\.1\.2: parent subnet/],
    [{ subnet, auxAddresses: { a: '10.0.0.1' } }, /it is the gateway too/],
    [{ subnet, auxAddresses: { a: '10.0.0.2', b: '10.0.0.2' } }, /it is the auxiliary address a too/],
    [
      { subnet, auxAddresses: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`a${i}`, `10.0.0.${i + 2}`])) },
      /more than 64/,
    ],
  ];
  for (const [request, reason] of table) {
    assert.throws(
      () => planSubnets([request]),
      (error) => error instanceof Refusal && error.kind === 'invalid' && reason.test(error.message),
      JSON.stringify(request).slice(0, 200),
    );
  }
});

test('all that is wrong is said at once, and a long list is cut', () => {
  const requests = [{ subnet: '10.0.0.5/24' }, { subnet: '10.1.0.0/24', gateway: '10.2.0.1', ipRange: '10.1.0.0/8' }];
  assert.throws(() => planSubnets(requests), /10\.0\.0\.5\/24.*gateway 10\.2\.0\.1.*ip-range 10\.1\.0\.0\/8/);
  assert.throws(() => planSubnets(Array.from({ length: 16 }, () => ({ subnet: 'x' }))), /; and 8 more$/);
});

test('subnets of one request that overlap are both named', () => {
  planSubnets(['10.0.0.0/24', '10.0.1.0/24', 'fd00::/64'].map((subnet) => ({ subnet })));
  const overlapping = ['10.1.0.0/24', '10.0.0.0/8'].map((subnet) => ({ subnet }));
  assert.throws(() => planSubnets(overlapping), /not supported.*10\.1\.0\.0\/24 and 10\.0\.0\.0\/8 overlap/);
});

const family = fc.constantFrom(4 as const, 6 as const);
const addressOf = (of: 4 | 6) =>
  fc.bigInt({ min: 0n, max: (1n << BigInt(bitsOf(of))) - 1n }).map((value): Address => ({ family: of, value }));
const prefixOf = (of: 4 | 6): fc.Arbitrary<Prefix> =>
  fc
    .record({ address: addressOf(of), length: fc.integer({ min: 8, max: bitsOf(of) }) })
    .map((written) => networkOf(written));
/** An address in the subnet, mostly, else any. */
const near = (subnet: Prefix): fc.Arbitrary<string> =>
  fc
    .oneof(
      { weight: 9, arbitrary: fc.bigInt({ min: 0n, max: 40n }).map((n) => subnet.address.value + n) },
      { weight: 1, arbitrary: addressOf(subnet.address.family).map(({ value }) => value) },
    )
    .filter((value) => value < 1n << BigInt(bitsOf(subnet.address.family)))
    .map((value) => formatAddress({ family: subnet.address.family, value }));
const requests = family.chain(prefixOf).chain((subnet) =>
  fc.record(
    {
      subnet: fc.constant(formatPrefix(subnet)),
      gateway: near(subnet),
      ipRange: fc
        .record({ address: near(subnet), longer: fc.integer({ min: -1, max: 12 }) })
        .map(({ address, longer }) => {
          const length = Math.min(bitsOf(subnet.address.family), Math.max(0, subnet.length + longer));
          return formatPrefix(networkOf({ address: parseAddress(address), length }));
        }),
      auxAddresses: fc.dictionary(fc.constantFrom('a', 'b', 'c'), near(subnet), { noNullPrototype: true }),
    },
    { requiredKeys: ['subnet'] },
  ),
);

test('what is planned holds together: everything lies in its subnet, nothing is there twice', () => {
  let planned = 0;
  fc.assert(
    fc.property(requests, (request) => {
      const [plan] = attempt(request) ?? [];
      if (plan === undefined) return;
      planned += 1;
      const subnet = parsePrefix(plan.subnet);
      assert.ok(plan.gateway !== undefined);
      const kept = [plan.gateway, ...Object.values(plan.auxAddresses ?? {})];
      assert.equal(new Set(kept).size, kept.length);
      for (const text of kept) {
        const address = parseAddress(text);
        assert.ok(contains(subnet, address) && !isEdge(subnet, address), text);
      }
      assert.ok(covers(subnet, parsePrefix(plan.ipRange ?? plan.subnet)));
      // What was asked for is what is planned, and planning it again changes nothing.
      assert.equal(plan.subnet, request.subnet);
      if (request.gateway !== undefined) assert.equal(plan.gateway, request.gateway);
      assert.equal(plan.ipRange, request.ipRange);
      assert.deepEqual(plan.auxAddresses ?? {}, request.auxAddresses ?? {});
      assert.deepEqual(planSubnets([plan]), [plan]);
    }),
    { numRuns: 500 },
  );
  assert.ok(planned > 50, `only ${planned} of 500 could be planned`);
});

test('whatever is asked for, it is planned or refused, nothing else', () => {
  const texts = fc.record(
    {
      subnet: fc.string(),
      gateway: fc.string(),
      ipRange: fc.string(),
      auxAddresses: fc.dictionary(fc.string(), fc.string()),
    },
    { requiredKeys: ['subnet'] },
  );
  fc.assert(fc.property(texts, (request) => void attempt(request)));
});

function attempt(request: SubnetRequest): ReturnType<typeof planSubnets> | undefined {
  try {
    return planSubnets([request]);
  } catch (error) {
    assert.ok(error instanceof Refusal);
    return undefined;
  }
}
