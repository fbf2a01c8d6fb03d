import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Writer } from '../../lib/bytes.ts';
import { DecodeError } from '../../lib/errors.ts';
import { NLM_F, NLMSG, nlmsg, nlmsgerr } from './message.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const only = (hex: string) => {
  const [message] = nlmsg.decode(bytes(hex));
  assert.ok(message);
  return message;
};

const u32 = fc.nat(0xffffffff);
const message = fc.record(
  { type: fc.nat(0xffff), flags: fc.nat(0xffff), seq: u32, pid: u32, payload: fc.uint8Array({ maxLength: 50 }) },
  { noNullPrototype: true },
);

test('messages survive the way out and back', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
      assert.deepEqual(nlmsg.decode(nlmsg.encode(messages)), messages);
    }),
  );
});

test('a request as `ip link set br0 up` sends it is decoded and encoded to the same bytes', () => {
  const golden = '2000000010000500c991006b0000000000000000020000000100000001000000';
  const expected = {
    type: 16,
    flags: NLM_F.REQUEST | NLM_F.ACK,
    seq: 0x6b0091c9,
    pid: 0,
    payload: bytes('00000000020000000100000001000000'),
  };
  assert.deepEqual(
    nlmsg.decode(bytes(golden)).map((m) => ({ ...m, payload: Buffer.from(m.payload) })),
    [expected],
  );
  assert.equal(Buffer.from(nlmsg.encode([expected])).toString('hex'), golden);
});

test('a datagram cut anywhere but between messages is an error', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 3 }), (messages) => {
      const whole = nlmsg.encode(messages);
      for (let end = 1; end < whole.length; end++) {
        const complete = messages.filter((_, i) => end >= unpadded(messages.slice(0, i + 1)));
        if (end <= nlmsg.encode(complete).length) assert.deepEqual(nlmsg.decode(whole.subarray(0, end)), complete);
        else assert.throws(() => nlmsg.decode(whole.subarray(0, end)), DecodeError);
      }
    }),
    { numRuns: 30 },
  );
});

/** Length of these messages without the padding behind the last one. */
function unpadded(messages: readonly { readonly payload: Uint8Array }[]): number {
  const ends = messages.map(({ payload }) => 16 + payload.length);
  return ends.slice(0, -1).reduce((sum, end) => sum + Math.ceil(end / 4) * 4, ends.at(-1) ?? 0);
}

test('a length less than a header is an error and no endless loop', () => {
  for (const length of [0, 1, 15]) {
    assert.throws(() => nlmsg.decode(new Writer().u32le(length).zeros(12).finish()), DecodeError);
  }
});

test('garbage is decoded or is a DecodeError', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(0xffff),
      fc.constantFrom(NLMSG.ERROR, NLMSG.DONE),
      (garbage, flags, type) => {
        for (const decode of [
          () => nlmsg.decode(garbage),
          () => nlmsgerr.decode({ type, flags, seq: 0, pid: 0, payload: garbage }),
        ]) {
          try {
            decode();
          } catch (error) {
            assert.ok(error instanceof DecodeError);
          }
        }
      },
    ),
  );
});

// From `ip link delete group 7777`: the request comes back behind the error.
const refusal =
  '3c00000002000000c991006b9c340000edffffff2800000011000500c991006b000000000000000000000000000000000000000008001b00611e0000';
// From `ip link set veth0 mtu 1`: the request, and behind it the kernel's words.
const refusalInWords =
  '6000000002000002c991006b00350000eaffffff2800000010000500c991006b00000000000000000300000000000000000000000800040001000000' +
  '210001006d7475206c657373207468616e20646576696365206d696e696d756d00000000';
// From `ip link set veth0 up`: an acknowledgement, with the request's header only.
const acknowledgement = '2400000002000001c991006b79340000000000002000000010000500c991006b00000000';
// From `ip route show`: the end of a dump.
const done = '1400000003002200c991006bce34000000000000';

test('errors, acknowledgements and ends of dumps say what they say', () => {
  assert.deepEqual(nlmsgerr.decode(only(refusal)), { errno: 19 });
  assert.deepEqual(nlmsgerr.decode(only(refusalInWords)), { errno: 22, message: 'mtu less than device minimum' });
  assert.deepEqual(nlmsgerr.decode(only(acknowledgement)), { errno: 0 });
  assert.deepEqual(nlmsgerr.decode(only(done)), { errno: 0 });
});

test('the end of a dump can carry an error and words as well', () => {
  const words = Buffer.from('no such table\0\0\0');
  const payload = new Writer()
    .u32le(2 ** 32 - 2)
    .u16le(18)
    .u16le(1)
    .bytes(words)
    .u16le(8)
    .u16le(2)
    .u32le(36)
    .finish();
  const end = { type: NLMSG.DONE, flags: NLM_F.MULTI | NLM_F.ACK_TLVS, seq: 1, pid: 1, payload };
  assert.deepEqual(nlmsgerr.decode(end), { errno: 2, message: 'no such table', offset: 36 });
});

test('an error message cut anywhere is an error, but where its words may be missing', () => {
  for (const hex of [refusal, refusalInWords, acknowledgement, done]) {
    const whole = only(hex);
    const optional = hex === refusalInWords ? whole.payload.length - 36 : whole.payload.length;
    for (let end = 0; end < whole.payload.length; end++) {
      const decode = () => nlmsgerr.decode({ ...whole, payload: whole.payload.subarray(0, end) });
      // The last three bytes are padding.
      if (end === optional || end >= optional + 33) assert.equal(decode().errno, 22);
      else assert.throws(decode, DecodeError);
    }
  }
});

test('a positive error is no error that a kernel sends', () => {
  const payload = new Writer().u32le(1).finish();
  assert.throws(() => nlmsgerr.decode({ type: NLMSG.DONE, flags: 0, seq: 1, pid: 1, payload }), DecodeError);
});
