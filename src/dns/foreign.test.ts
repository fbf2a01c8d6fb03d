import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../lib/errors.ts';
import { decodeForeign } from './foreign.ts';
import { ask, captured, tell } from './message.testing.ts';
import { decodeQuery, FLAG } from './message.ts';
import { Reply } from './reply.ts';

const exchanges = captured.map(({ asked, answered, ...rest }) => ({
  ...rest,
  asked: Buffer.from(asked, 'hex'),
  answered: Buffer.from(answered, 'hex'),
}));
const reply = new Reply();

function passOn(asked: Buffer, answered: Buffer, { limit = 65535, age = 0 } = {}): Buffer {
  const query = decodeQuery(asked) ?? assert.fail('no question');
  reply.begin(asked, query, limit);
  return Buffer.from(reply.bytes.subarray(0, reply.foreign(decodeForeign(answered), age)));
}

function find(program: string, command: string) {
  return exchanges.find((one) => one.program === program && one.command === command) ?? assert.fail(command);
}

test('answers of dnsmasq and unbound are passed on as they are, but for AA', () => {
  for (const { program, command, transport, asked, answered } of exchanges) {
    // The others' own version of EDNS is not asked for.
    if (command.includes('+edns=1')) continue;
    const expected = Buffer.from(answered);
    expected.writeUInt16BE(expected.readUInt16BE(2) & ~FLAG.AA, 2);
    const limit = transport === 'tcp' ? 65535 : 4096;
    assert.equal(
      passOn(asked, answered, { limit }).toString('hex'),
      expected.toString('hex'),
      `${program}: ${command}`,
    );
  }
  assert.ok(exchanges.length > 40);
});

test('the question comes back as this client asked it', () => {
  const { answered } = find('unbound', 'web.skein.local A');
  const told = tell(passOn(ask('wEb.sKein.LOCAL', { id: 77, flags: 0x0110 }), answered));
  assert.deepEqual([told.id, told.question, told.flags], [77, 'wEb.sKein.LOCAL A', ['QR', 'RD', 'RA', 'CD']]);
  assert.equal(told.edns, undefined);
  assert.deepEqual(told.records[0], ['wEb.sKein.LOCAL 1 A 10.0.0.2']);
});

test('TTLs are counted down to zero, and no further', () => {
  const { asked, answered } = find('unbound', 'alias.skein.local A');
  const ttls = (age: number) => tell(passOn(asked, answered, { age })).records[0].map((text) => text.split(' ')[1]);
  assert.deepEqual(ttls(0)[0], '60');
  assert.deepEqual(ttls(7)[0], '53');
  assert.deepEqual(ttls(61)[0], '0');
});

test('what does not fit is cut between records and marked, the options of both sides kept', () => {
  const { answered } = find('unbound', 'many.skein.local A +tcp');
  for (const size of [512, 600, 1232]) {
    const bytes = passOn(ask('many.skein.local', { size }), answered, { limit: size });
    const told = tell(bytes);
    const all = size === 1232;
    assert.ok(bytes.length <= size);
    assert.equal(told.flags.includes('TC'), !all);
    assert.equal(told.records[0].length, all ? 50 : Math.floor((size - 11 - 34) / 16));
    assert.ok(told.edns);
  }
});

test('an answer may be kept as long as its shortest record, one that something is not there as its SOA says', () => {
  const ttl = (program: string, command: string) => decodeForeign(find(program, command).answered).ttl;
  assert.equal(ttl('unbound', 'mx.skein.local MX'), 60);
  assert.equal(ttl('unbound', 'nope.skein.local A'), 1);
  assert.equal(ttl('dnsmasq', 'nope.skein.local A'), undefined, 'without a SOA');
  assert.equal(ttl('unbound', 'many.skein.local A +noedns +ignore'), undefined, 'truncated');
  assert.equal(ttl('unbound', 'x.refused.test A'), undefined, 'refused');
});

test('what denies without a SOA is not kept, though an alias may lead there', () => {
  const alias = decodeForeign(find('unbound', 'alias.skein.local A').answered);
  assert.deepEqual([alias.negative, alias.ttl], [true, undefined], 'to nothing');
  const { answered } = find('unbound', 'web.skein.local A');
  const at = decodeForeign(answered);
  assert.deepEqual([at.negative, at.ttl], [false, 1]);
  const denied = Buffer.from(answered);
  denied.writeUInt8(denied.readUInt8(3) | 3, 3);
  assert.deepEqual([decodeForeign(denied).negative, decodeForeign(denied).ttl], [true, undefined]);
  const other = Buffer.from(answered);
  other.writeUInt16BE(28, at.questionEnd - 4);
  assert.deepEqual([decodeForeign(other).negative, decodeForeign(other).ttl], [true, undefined]);
});

test('what a client without EDNS cannot be told is a failure, and over TCP nothing is marked as cut', () => {
  const { answered } = find('unbound', 'web.skein.local A');
  const told = (bytes: Buffer, size?: number) =>
    tell(passOn(ask('web.skein.local', size === undefined ? {} : { size }), bytes));
  const extended = Buffer.from(answered);
  extended.writeUInt8(1, extended.length - 6);
  assert.deepEqual([told(extended).rcode, told(extended, 1232).rcode, told(extended, 1232).edns?.rcode], [2, 0, 1]);
  const cut = Buffer.from(answered);
  cut.writeUInt8(cut.readUInt8(2) | 2, 2);
  assert.equal(told(cut).flags.includes('TC'), false);
  assert.equal(tell(passOn(ask('web.skein.local'), cut, { limit: 512 })).flags.includes('TC'), true);
});

test('each truncation of an answer is an error', () => {
  for (const { answered, command } of exchanges) {
    if (answered.readUInt16BE(4) === 0 || answered.length > 300) continue;
    for (let end = 0; end < answered.length; end++) {
      assert.throws(() => decodeForeign(answered.subarray(0, end)), DecodeError, `${command}: ${end}`);
    }
  }
});

test('loops, lying counts and a second OPT record are errors', () => {
  const { answered } = find('unbound', 'web.skein.local A');
  const patched = (at: number, ...values: number[]) => {
    const bytes = Buffer.from(answered);
    bytes.set(values, at);
    return () => decodeForeign(bytes);
  };
  assert.throws(patched(33, 0xc0, 33), /does not fit/, 'a name that points to itself');
  assert.throws(patched(6, 0xff, 0xff), /more records/);
  assert.throws(patched(6, 0, 3), DecodeError);
  assert.throws(patched(4, 0, 2), /2 questions/);
  assert.throws(patched(2, 0x05), /not an answer/);
  assert.throws(() => decodeForeign(Buffer.concat([answered, Buffer.alloc(1)])), /behind it/);
  assert.throws(patched(43, 0xff, 0xff), /longer than/);
  const doubled = Buffer.concat([answered, answered.subarray(-11)]);
  doubled.writeUInt16BE(2, 10);
  assert.throws(() => decodeForeign(doubled), /OPT/);
});

test('whatever is sent is passed on whole or refused', () => {
  const some = fc.constantFrom(...exchanges.filter(({ answered }) => answered.length < 400));
  fc.assert(
    fc.property(
      some,
      fc.nat(),
      fc.uint8Array({ minLength: 1, maxLength: 4 }),
      fc.integer({ min: 512, max: 1232 }),
      (one, at, part, limit) => {
        const bytes = Buffer.from(one.answered);
        bytes.set(part, at % (bytes.length - part.length));
        try {
          const answer = decodeForeign(bytes);
          const query = decodeQuery(one.asked);
          if (query === undefined || answer.questionEnd !== query.questionEnd) return;
          reply.begin(one.asked, query, limit);
          assert.ok(reply.foreign(answer, 1) <= limit);
        } catch (error) {
          assert.ok(error instanceof DecodeError);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
