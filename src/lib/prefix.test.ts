import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ParseError } from './errors.ts';
import {
  type Address,
  bitsOf,
  contains,
  covers,
  firstOf,
  formatAddress,
  formatPrefix,
  lastOf,
  networkOf,
  overlaps,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
} from './prefix.ts';

const address = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Address => ({ family: 4, value })),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value): Address => ({ family: 6, value })),
);
const prefix = fc
  .tuple(address, fc.nat(128))
  .map(([at, length]) => networkOf({ address: at, length: length % (bitsOf(at.family) + 1) }));

test('an address survives being written and read', () => {
  fc.assert(fc.property(address, (at) => assert.deepEqual(parseAddress(formatAddress(at)), at)));
});

test('IPv6 is written as RFC 5952 wants it', () => {
  const table = {
    '2001:DB8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
    '2001:db8::0:1': '2001:db8::1',
    '0:0:0:0:0:0:0:0': '::',
    '::1': '::1',
    '1::': '1::',
    '1:0:2:3:4:5:6:7': '1:0:2:3:4:5:6:7',
    '::ffff:10.0.0.1': '::ffff:10.0.0.1',
    '64:ff9b::192.0.2.33': '64:ff9b::c000:221',
  };
  for (const [text, canonical] of Object.entries(table)) assert.equal(formatAddress(parseAddress(text)), canonical);
});

test('what other programs take for an address is refused', () => {
  for (const text of [
    '010.0.0.1',
    '1.2.3',
    '256.1.1.1',
    '10.0.0.1 ',
    '',
    'fe80::1%eth0',
    '1::2::3',
    '0x0a000001',
    '::g',
  ]) {
    assert.throws(() => parseAddress(text), ParseError, text);
  }
});

test('prefixes that are none are refused, and a set host bit is shown with the network that was meant', () => {
  for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', '10.0.0.0/', '/8', '::/129']) {
    assert.throws(() => parsePrefix(text), ParseError, text);
  }
  assert.throws(() => parsePrefix('10.0.0.5/24'), /did you mean 10\.0\.0\.0\/24/);
  assert.equal(formatPrefix(parseInterfaceAddress('10.0.0.5/24')), '10.0.0.5/24');
});

test('a prefix survives being written and read', () => {
  fc.assert(fc.property(prefix, (at) => assert.deepEqual(parsePrefix(formatPrefix(at)), at)));
});

test('two prefixes overlap exactly when one holds the first address of the other', () => {
  fc.assert(
    fc.property(prefix, prefix, (a, b) => {
      const apart = a.address.family !== b.address.family || lastOf(a) < firstOf(b) || lastOf(b) < firstOf(a);
      assert.equal(overlaps(a, b), !apart);
      assert.equal(overlaps(a, b), overlaps(b, a));
      assert.equal(covers(a, b), !apart && firstOf(a) <= firstOf(b) && lastOf(b) <= lastOf(a));
      assert.ok(contains(a, a.address));
    }),
  );
});
