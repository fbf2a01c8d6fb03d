import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bitsOf, firstOf, formatAddress, formatPrefix, lastOf, networkOf, parseAddress } from '../../lib/prefix.ts';
import { spaceOf } from './allocation.ts';
import { Shelf } from './shelf.ts';

/** A small subnet of either family, a range within it, and addresses that are kept. */
const pools = fc
  .record({
    family: fc.constantFrom(4 as const, 6 as const),
    number: fc.integer({ min: 0, max: 255 }),
    hostBits: fc.integer({ min: 2, max: 8 }),
    rangeBits: fc.integer({ min: 0, max: 8 }),
    at: fc.integer({ min: 0, max: 255 }),
    kept: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 6 }),
  })
  .map(({ family, number, hostBits, rangeBits, at, kept }) => {
    const base = parseAddress(family === 4 ? '10.7.0.0' : 'fd00:7::').value + (BigInt(number) << 8n);
    const address = (offset: number) => ({ family, value: base + BigInt(offset % 2 ** hostBits) });
    const length = bitsOf(family) - hostBits;
    const subnet = networkOf({ address: address(0), length });
    const range = networkOf({ address: address(at), length: bitsOf(family) - Math.min(rangeBits, hostBits) });
    return { subnet, range, reserved: kept.map((offset) => formatAddress(address(offset))) };
  });

test('a range gives each of its addresses once and in order, but none that is kept nor an edge of the subnet, and then none', () => {
  fc.assert(
    fc.property(pools, ({ subnet, range, reserved }) => {
      const { family } = subnet.address;
      const pool = {
        kind: 'addresses',
        network: 'n',
        range: formatPrefix(range),
        subnet: formatPrefix(subnet),
        reserved,
      };
      const space = spaceOf({ ...pool, kind: 'addresses' });
      const wanted: string[] = [];
      for (let value = firstOf(range); value <= lastOf(range); value++) {
        const isEdge = value === firstOf(subnet) || (family === 4 && value === lastOf(subnet));
        const text = formatAddress({ family, value });
        if (!isEdge && !reserved.includes(text)) wanted.push(text);
      }
      const shelf = new Shelf(30_000);
      const given: string[] = [];
      for (let choice = shelf.choose(space, 0); choice !== undefined; choice = shelf.choose(space, 0)) {
        given.push(choice.item);
        assert.ok(given.length <= 256);
      }
      assert.deepEqual(given, wanted);
      assert.equal(shelf.choose(space, 0), undefined);
    }),
    { numRuns: 300 },
  );
});
