import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { covers, formatPrefix, networkOf, overlaps, parsePrefix } from '../../lib/prefix.ts';
import type { Allocation } from './allocation.ts';
import { chooseSubnet } from './subnets.ts';

const subnet = fc
  .record({ value: fc.integer({ min: 0, max: 255 }), length: fc.integer({ min: 24, max: 30 }) })
  .map(({ value, length }) =>
    formatPrefix(networkOf({ address: { family: 4, value: BigInt(0x0a000000 + value) }, length })),
  );
const owner = { host: 'h', id: 'i', name: 'n' };

test('the choice is the first network of the pool that overlaps nothing held, resting or avoided', () => {
  fc.assert(
    fc.property(
      fc.array(subnet, { maxLength: 12 }),
      fc.array(subnet, { maxLength: 4 }),
      fc.integer({ min: 25, max: 29 }),
      (held, avoid, size) => {
        const records = new Map<string, Allocation>(held.map((item) => [item, { kind: 'held', owner }]));
        const pool = { kind: 'subnets', ranges: [{ range: '10.0.0.0/24', size }], avoid } as const;
        const blocked = [...held, ...avoid].map(parsePrefix);
        const candidates = Array.from({ length: 2 ** (size - 24) }, (_, i) => `10.0.0.${i * 2 ** (32 - size)}/${size}`);
        const expected = candidates.find((text) => !blocked.some((prefix) => overlaps(prefix, parsePrefix(text))));
        assert.equal(chooseSubnet(pool, records, 0), expected);
      },
    ),
  );
});

test('a pool of another family, or smaller than its networks, gives nothing', () => {
  const choose = (range: string, size: number) =>
    chooseSubnet({ kind: 'subnets', ranges: [{ range, size }], avoid: ['10.0.0.0/8'] }, new Map(), 0);
  assert.equal(choose('10.0.0.0/24', 24), undefined);
  assert.equal(choose('192.168.0.0/24', 23), undefined);
  assert.equal(choose('fd00::/48', 64), 'fd00::/64');
  assert.ok(covers(parsePrefix('fd00::/48'), parsePrefix('fd00::/64')));
});
