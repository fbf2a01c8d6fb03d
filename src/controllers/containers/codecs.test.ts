import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError, ParseError } from '../../lib/errors.ts';
import { type Frame, frame } from '../../model/frame.ts';
import { controlAnswer, controlRequest, longestInput } from './control.ts';
import { parseExitRecord } from './exit-record.ts';

// As native/shim/record.c writes it.
const goldenFrame = Buffer.from('010000000000000318e9c5a2f0e1d2c3686921', 'hex');

test('a frame is what the supervisor writes', () => {
  const decoded = frame.decode(goldenFrame);
  assert.ok(decoded);
  assert.equal(decoded.frame.stream, 'stdout');
  assert.equal(decoded.frame.time, 0x18e9c5a2f0e1d2c3n);
  assert.equal(Buffer.from(decoded.frame.bytes).toString(), 'hi!');
  assert.equal(decoded.rest.length, 0);
  assert.deepEqual(Buffer.from(frame.encode(decoded.frame)), goldenFrame);
});

test('frames survive the round trip, one after the other', () => {
  const one = fc.record(
    {
      stream: fc.constantFrom<Frame['stream']>('stdout', 'stderr', 'note'),
      time: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      bytes: fc.uint8Array({ maxLength: 100 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.array(one, { maxLength: 5 }), (frames) => {
      const found: Frame[] = [];
      const bytes = Buffer.concat(frames.map((each) => frame.encode(each)));
      for (let next = frame.decode(bytes); next !== undefined; next = frame.decode(next.rest)) {
        found.push({ ...next.frame, bytes: Uint8Array.from(next.frame.bytes) });
      }
      assert.deepEqual(found, frames);
    }),
  );
});

test('a frame that is not whole is waited for', () => {
  for (let end = 0; end < goldenFrame.length; end += 1) {
    assert.equal(frame.decode(goldenFrame.subarray(0, end)), undefined);
  }
});

test('garbage is no frame, and a length beyond the cap is refused before it is waited for', () => {
  for (const hex of ['00', '04', 'ff']) {
    assert.throws(() => frame.decode(Buffer.from(`${hex}${'00'.repeat(15)}`, 'hex')), DecodeError);
  }
  assert.throws(() => frame.decode(Buffer.from(`0100000100000000${'00'.repeat(8)}`, 'hex')), DecodeError);
  assert.throws(() => frame.decode(Buffer.from(`01000000ffffffff${'00'.repeat(8)}`, 'hex')), DecodeError);
  for (let i = 0; i < 500; i += 1) throwsOnlyDecodeError(() => frame.decode(randomBytes(40)));
});

test('requests are what the supervisor reads', () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  assert.equal(hex(controlRequest.encode({ kind: 'ping' })), '0000000000000000');
  assert.equal(hex(controlRequest.encode({ kind: 'input', bytes: Buffer.from('hi') })), '01000000000000026869');
  assert.equal(hex(controlRequest.encode({ kind: 'eof' })), '0200000000000000');
  assert.equal(hex(controlRequest.encode({ kind: 'size', rows: 24, columns: 80 })), '030000000000000400180050');
  assert.equal(hex(controlRequest.encode({ kind: 'signal', signal: 15 })), '04000000000000010f');
  assert.equal(hex(controlRequest.encode({ kind: 'open' })), '0500000000000000');
  assert.throws(() => controlRequest.encode({ kind: 'input', bytes: new Uint8Array(longestInput + 1) }), RangeError);
});

const goldenAnswer = Buffer.from('000000000000000c0000123418e9c5a2f0e1d2c3', 'hex');

test('answers are what the supervisor sends', () => {
  assert.deepEqual(controlAnswer.decode(goldenAnswer)?.answer, {
    kind: 'ping',
    pid: 0x1234,
    started: Number(0x18e9c5a2f0e1d2c3n / 1_000_000n),
  });
  const two = Buffer.from('030000000000000400000019040000000000000400000003', 'hex');
  const first = controlAnswer.decode(two);
  assert.deepEqual(first?.answer, { kind: 'size', errno: 25 });
  assert.deepEqual(first && controlAnswer.decode(first.rest)?.answer, { kind: 'signal', errno: 3 });
  const refused = Buffer.from('050000000000000400000010', 'hex');
  assert.deepEqual(controlAnswer.decode(refused)?.answer, { kind: 'open', errno: 16 });
});

test('an answer that is not whole is waited for, garbage is refused', () => {
  for (let end = 0; end < goldenAnswer.length; end += 1) {
    assert.equal(controlAnswer.decode(goldenAnswer.subarray(0, end)), undefined);
  }
  for (const hex of [
    '0100000000000000',
    '000000000000000d',
    '0000000100000 00c'.replace(' ', ''),
    '0300000000000005',
  ]) {
    assert.throws(() => controlAnswer.decode(Buffer.from(hex, 'hex')), DecodeError);
  }
  for (let i = 0; i < 500; i += 1) throwsOnlyDecodeError(() => controlAnswer.decode(randomBytes(40)));
});

// As native/shim/record.c writes it, padding and all.
const goldenExit = `${'{"exitCode":3,"started":1795199383173,"finished":1795199383225,"lost":0}'.padEnd(255)}\n`;

test('an exit record is what the supervisor writes, and nothing else', () => {
  assert.deepEqual(parseExitRecord(goldenExit, 'exit'), {
    exitCode: 3,
    started: 1795199383173,
    finished: 1795199383225,
    lost: 0,
  });
  const end = goldenExit.indexOf('}') + 1;
  for (let cut = 0; cut < end; cut += 1)
    assert.throws(() => parseExitRecord(goldenExit.slice(0, cut), 'exit'), ParseError);
  for (const wrong of [
    '{}',
    '[]',
    'null',
    goldenExit.replace('3', '-1'),
    goldenExit.replace('3', '300'),
    goldenExit.replace(':0', ':"0"'),
  ]) {
    assert.throws(() => parseExitRecord(wrong, 'exit'), ParseError);
  }
  assert.throws(
    () => parseExitRecord(goldenExit.replace('1795199383173', '9e15'), 'exit'),
    /^ParseError: exit: started/,
  );
});

function throwsOnlyDecodeError(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof DecodeError);
  }
}
