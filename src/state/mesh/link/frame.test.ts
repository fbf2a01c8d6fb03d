import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../../lib/errors.ts';
import { decodeFrame, encodeFrame, FrameReader, heartbeat } from './frame.ts';

function framesIn(bytes: Uint8Array, cuts: readonly number[], most = 1 << 20): unknown[] {
  const reader = new FrameReader(most);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  const frames: unknown[] = [];
  for (const [n, to] of places.entries()) {
    reader.push(Buffer.from(bytes.subarray(places[n - 1] ?? 0, to)));
    for (let frame = reader.next(); frame; frame = reader.next())
      frames.push(frame.length === 0 ? 'heartbeat' : decodeFrame(frame));
  }
  return frames;
}

test('a frame is its length in four bytes and JSON', () => {
  assert.equal(encodeFrame({ t: 'é' }).toString('hex'), '0000000a7b2274223a22c3a9227d');
  assert.deepEqual(framesIn(Buffer.concat([encodeFrame(1), heartbeat, encodeFrame('x')]), []), [1, 'heartbeat', 'x']);
});

test('frames are the same in whatever pieces they come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 4 }), { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      (values, cuts) => {
        const sent = values.map((value): unknown => JSON.parse(JSON.stringify(value)));
        assert.deepEqual(framesIn(Buffer.concat(sent.map(encodeFrame)), cuts), sent);
      },
    ),
    { numRuns: 200 },
  );
});

test('a frame that is cut off is none yet', () => {
  const bytes = encodeFrame({ a: [1, 2, 3] });
  for (let end = 0; end < bytes.length; end += 1) assert.deepEqual(framesIn(bytes.subarray(0, end), []), []);
});

test('a length of 4 GB is refused at once, and nothing is kept for it', () => {
  const reader = new FrameReader(1000);
  reader.push(Buffer.from('ffffffff', 'hex'));
  assert.throws(() => reader.next(), /a frame of 4294967295 bytes, where 1000 are allowed/);
  assert.doesNotThrow(() => framesIn(encodeFrame('x'.repeat(998)), []), '1000 bytes with the quotes');
});

test('what is nested too deeply is refused before it is parsed, and brackets in texts do not count', () => {
  const nested = (depth: number) => Buffer.from(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  assert.ok(decodeFrame(nested(64)));
  for (const depth of [65, 1_000_000]) assert.throws(() => decodeFrame(nested(depth)), /nested more than 64 deep/);
  const text = `${'[{'.repeat(100)}\\"${'['.repeat(100)}`;
  assert.equal(decodeFrame(Buffer.from(JSON.stringify(text))), text);
});

test('garbage is a DecodeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        decodeFrame(bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }),
  );
  assert.throws(() => decodeFrame(Uint8Array.of(0x22, 0xff, 0x22)), /not JSON/);
});
