import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Writer } from '../../lib/bytes.ts';
import { DecodeError } from '../../lib/errors.ts';
import { type Attributes, AttributeWriter, decodeAttributes } from './attribute.ts';

function encode(write: (attributes: AttributeWriter) => void): Uint8Array {
  const writer = new Writer();
  write(new AttributeWriter(writer));
  return writer.finish();
}

const decode = (bytes: Uint8Array) => decodeAttributes(bytes, 'test');

const ip = fc.oneof(fc.ipV4(), fc.constantFrom('::', '::1', 'fd00::1', '2001:db8::ff:0:1', '::ffff:1.2.3.4'));
const mac = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map((bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':'));
const values = fc.record(
  {
    u8: fc.nat(0xff),
    flag: fc.boolean(),
    u16: fc.nat(0xffff),
    u16be: fc.nat(0xffff),
    u32: fc.nat(0xffffffff),
    u32be: fc.nat(0xffffffff),
    text: fc.string({ unit: fc.constantFrom('a', 'é', '-', '0'), maxLength: 40 }),
    address: ip,
    mac,
  },
  { noNullPrototype: true },
);

test('values survive the way out and back, nested ones too', () => {
  fc.assert(
    fc.property(values, (v) => {
      const write = (attributes: AttributeWriter) =>
        attributes
          .u8(1, v.u8)
          .flag(2, v.flag)
          .u16(3, v.u16)
          .u16be(4, v.u16be)
          .u32(5, v.u32)
          .text(6, v.text)
          .address(7, v.address)
          .mac(8, v.mac)
          .u32be(10, v.u32be);
      const read = (a: Attributes) => ({
        u8: a.u8(1),
        flag: a.flag(2),
        u16: a.u16(3),
        u16be: a.u16be(4),
        u32: a.u32(5),
        text: a.text(6),
        address: a.address(7),
        mac: a.mac(8),
        u32be: a.u32be(10),
      });
      const outside = decode(encode((attributes) => write(attributes).nested(9, write)));
      const inside = outside.nested(9);
      assert.ok(inside);
      assert.deepEqual(read(outside), v);
      assert.deepEqual(read(inside), v);
      const twice = decode(encode((a) => a.nested(1, (list) => list.nested(1, write).nested(1, write))));
      assert.deepEqual(twice.list(1)?.map(read), [v, v]);
    }),
  );
});

test('nothing is written for what is undefined, and what is not there is undefined', () => {
  assert.equal(encode((a) => a.u32(1, undefined).text(2, undefined).mac(3, undefined)).length, 0);
  const empty = decode(new Uint8Array());
  assert.deepEqual(
    [empty.u8(1), empty.text(1), empty.address(1), empty.nested(1), empty.list(1), empty.bytes(1)],
    Array(6).fill(undefined),
  );
});

test('attributes look as iproute2 writes them', () => {
  // IFLA_MTU 1450, IFLA_IFNAME br0 of `ip link add br0 mtu 1450 …`
  const golden = '08000400aa0500000800030062723000';
  assert.equal(Buffer.from(encode((a) => a.u32(4, 1450).text(3, 'br0'))).toString('hex'), golden);
  const attributes = decode(Buffer.from(golden, 'hex'));
  assert.equal(attributes.u32(4), 1450);
  assert.equal(attributes.text(3), 'br0');
});

test('the two flag bits of a type are not part of it', () => {
  assert.equal(decode(Uint8Array.of(5, 0, 1, 0x80, 9, 0, 0, 0)).u8(1), 9);
  assert.equal(decode(Uint8Array.of(5, 0, 1, 0x40, 9, 0, 0, 0)).u8(1), 9);
});

test('a value of the wrong length is an error where it is read', () => {
  for (let length = 0; length <= 20; length++) {
    const attributes = decode(encode((a) => a.bytes(1, new Uint8Array(length))));
    const reads: readonly [ok: boolean, read: () => unknown][] = [
      [length === 1, () => attributes.u8(1)],
      [length === 1, () => attributes.flag(1)],
      [length === 2, () => attributes.u16(1)],
      [length === 2, () => attributes.u16be(1)],
      [length === 4, () => attributes.u32(1)],
      [length === 4, () => attributes.u32be(1)],
      [length === 4, () => attributes.i32(1)],
      [length === 6, () => attributes.mac(1)],
      [length === 4 || length === 16, () => attributes.address(1)],
      [length === 6 || length === 18, () => attributes.via(1)],
    ];
    for (const [ok, read] of reads) {
      if (ok) assert.doesNotThrow(read);
      else assert.throws(read, DecodeError);
    }
  }
});

test('a text longer than its cap is an error', () => {
  const attributes = decode(encode((a) => a.text(1, 'x'.repeat(17))));
  assert.throws(() => attributes.text(1, 16), DecodeError);
  assert.equal(attributes.text(1, 17)?.length, 17);
});

test('attributes cut anywhere but between two are an error', () => {
  const whole = encode((a) => a.u32(1, 1).text(2, 'abcd').u8(3, 1));
  // Behind each attribute, and in the padding that the last one may lack.
  const between = new Set([0, 8, 17, 18, 19, 20, 25, 26, 27, 28]);
  for (let end = 0; end <= whole.length; end++) {
    if (between.has(end)) assert.doesNotThrow(() => decode(whole.subarray(0, end)));
    else assert.throws(() => decode(whole.subarray(0, end)), DecodeError);
  }
});

test('a length less than a header is an error and no endless loop', () => {
  for (const length of [0, 1, 2, 3]) assert.throws(() => decode(Uint8Array.of(length, 0, 1, 0)), DecodeError);
});

test('garbage is decoded or is a DecodeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(10), (garbage, type) => {
      try {
        const attributes = decode(garbage);
        attributes.nested(type);
        attributes.address(type);
        attributes.text(type);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }),
  );
});

test('what does not fit an attribute is refused', () => {
  assert.throws(() => encode((a) => a.bytes(1, new Uint8Array(65532))), RangeError);
  assert.throws(() => encode((a) => a.mac(1, '02:00:00:00:00')), RangeError);
});
