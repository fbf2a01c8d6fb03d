import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Reader, Writer } from './bytes.ts';
import { DecodeError } from './errors.ts';

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const fields = fc.tuple(u8, u16, u16, u32, u32, fc.uint8Array({ maxLength: 600 }));

function write([a, b, c, d, e, rest]: [number, number, number, number, number, Uint8Array]): Uint8Array {
  return new Writer().u8(a).u16le(b).u16be(c).u32le(d).u32be(e).bytes(rest).finish();
}

test('what was written is read back', () => {
  fc.assert(
    fc.property(fields, (values) => {
      const reader = new Reader(write(values), 'test');
      const read = [reader.u8(), reader.u16le(), reader.u16be(), reader.u32le(), reader.u32be(), reader.rest()];
      reader.end();
      assert.deepEqual(read, values);
    }),
  );
});

test('numbers stand in the byte order that the name says', () => {
  const bytes = new Writer().u16le(0x0102).u16be(0x0102).u32le(0x01020304).u32be(0x01020304).finish();
  assert.equal(Buffer.from(bytes).toString('hex'), '020101020403020101020304');
  assert.equal(new Reader(Uint8Array.of(0xfe, 0xff, 0xff, 0xff), 'test').i32le(), -2);
});

test('a reader reads only its part of a larger buffer', () => {
  const reader = new Reader(Uint8Array.of(1, 2, 3, 4).subarray(1, 3), 'test');
  assert.equal(reader.u16be(), 0x0203);
  assert.throws(() => reader.u8(), DecodeError);
});

test('each read past the end is an error that names the thing read', () => {
  const reads: readonly ((reader: Reader) => unknown)[] = [
    (reader) => reader.u8(),
    (reader) => reader.u16le(),
    (reader) => reader.u16be(),
    (reader) => reader.u32le(),
    (reader) => reader.u32be(),
    (reader) => reader.i32le(),
    (reader) => reader.bytes(1),
    (reader) => reader.bytes(-1),
    (reader) => reader.skip(1),
    (reader) => reader.skip(2 ** 53),
  ];
  for (const read of reads) {
    assert.throws(() => read(new Reader(new Uint8Array(), 'the thing')), {
      name: 'DecodeError',
      message: /^the thing: /,
    });
  }
});

test('bytes that are left over are an error where nothing may be left', () => {
  assert.throws(() => new Reader(new Uint8Array(1), 'test').end(), DecodeError);
});

test('text ends at its NUL, or at the end, and is no longer than its cap', () => {
  const text = (bytes: string, cap = 5) => new Reader(Buffer.from(bytes), 'test').text(cap);
  assert.equal(text('abc\0def'), 'abc');
  assert.equal(text('abcde'), 'abcde');
  assert.equal(text('abcde\0'), 'abcde');
  assert.equal(text(''), '');
  assert.throws(() => text('abcdef'), DecodeError);
  assert.throws(() => text('abcdef\0'), DecodeError);
});

test('a writer grows at any place without losing a byte', () => {
  for (let lead = 0; lead < 8; lead++) {
    const writer = new Writer().zeros(lead);
    for (let i = 0; i < 1000; i++) writer.u8(1).u16le(2).u16be(3).u32le(4).u32be(5);
    const reader = new Reader(writer.finish().subarray(lead), 'test');
    for (let i = 0; i < 1000; i++) {
      assert.deepEqual([reader.u8(), reader.u16le(), reader.u16be(), reader.u32le(), reader.u32be()], [1, 2, 3, 4, 5]);
    }
    reader.end();
  }
});

test('a number that does not fit its field is refused, not cut', () => {
  const writes: readonly ((writer: Writer) => unknown)[] = [
    (writer) => writer.u8(256),
    (writer) => writer.u8(-1),
    (writer) => writer.u16le(65536),
    (writer) => writer.u16be(0.5),
    (writer) => writer.u32le(2 ** 32),
    (writer) => writer.u32be(Number.NaN),
    (writer) => writer.u16le(0).patchU16le(0, 65536),
  ];
  for (const write of writes) assert.throws(() => write(new Writer()), RangeError);
});

test('alignment adds zeros up to the next multiple', () => {
  for (const [length, aligned] of [
    [0, 0],
    [1, 4],
    [3, 4],
    [4, 4],
    [5, 8],
  ] as const) {
    const writer = new Writer().bytes(new Uint8Array(length).fill(7)).align(4);
    assert.equal(writer.length, aligned);
    assert.deepEqual(writer.finish().subarray(length), new Uint8Array(aligned - length));
  }
});

test('what is finished is a copy, and a length can be put in afterwards', () => {
  const writer = new Writer().u16le(0).text('é');
  const before = writer.finish();
  writer.patchU16le(0, writer.length);
  assert.deepEqual([...before], [0, 0, 0xc3, 0xa9]);
  assert.deepEqual([...writer.finish()], [4, 0, 0xc3, 0xa9]);
});
