import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeQuestion } from './exchange.ts';
import { ask, captured } from './message.testing.ts';
import { decodeQuery, headerSize, RCODE, skipName, u16, udpLimit } from './message.ts';
import { formatWireName, suffixStart, toWireName } from './wire-name.ts';

const asked = captured.map(({ command, asked: hex }) => ({ command, bytes: Buffer.from(hex, 'hex') }));

function query(bytes: Buffer) {
  const found = decodeQuery(bytes);
  if (found?.kind !== 'query') throw new Error(`not a question: ${JSON.stringify(found)}`);
  return found;
}

function rcode(bytes: Buffer): number | undefined {
  const found = decodeQuery(bytes);
  return found?.kind === 'fault' ? found.rcode : undefined;
}

test('what dig sends is read: name in lower case, type, class, size, DO and options', () => {
  const of = (command: string) => {
    const found = asked.find((one) => one.command === command) ?? assert.fail(command);
    const { name, type, class: klass, edns } = query(found.bytes);
    return [formatWireName(name), type, klass, edns?.size, edns?.dnssec, edns?.options.toString('hex').slice(0, 8)];
  };
  assert.deepEqual(of('WEB.Skein.Local A +noedns'), ['web.skein.local', 1, 1, undefined, undefined, undefined]);
  assert.deepEqual(of('web.skein.local A +nocookie +bufsize=600'), ['web.skein.local', 1, 1, 600, false, '']);
  assert.deepEqual(of('web.skein.local A +dnssec'), ['web.skein.local', 1, 1, 1232, true, '000a0008']);
  assert.deepEqual(of('version.bind CH TXT'), ['version.bind', 16, 3, 1232, false, '000a0008']);
  assert.deepEqual(of('. NS +norec'), ['', 2, 1, 1232, false, '000a0008']);
  assert.equal(rcode((asked.find(({ command }) => command.includes('+edns=1')) ?? assert.fail()).bytes), RCODE.BADVERS);
});

test('a question that was read is written as it was', () => {
  const plain = asked.filter(({ command }) => !command.includes('+edns=1'));
  for (const { bytes, command } of plain) {
    const { questionEnd, edns } = query(bytes);
    const question = {
      flags: u16(bytes, 2),
      question: bytes.subarray(headerSize, questionEnd),
      dnssec: edns?.dnssec ?? false,
      options: edns?.options ?? Buffer.alloc(0),
    };
    const written = encodeQuestion(u16(bytes, 0), question, edns !== undefined);
    // What others are asked with is always of this size.
    if (edns !== undefined) written.writeUInt16BE(edns.size, questionEnd + 3);
    assert.equal(written.toString('hex'), bytes.toString('hex'), command);
  }
  assert.ok(plain.length > 40);
});

test('options and questions that nobody needs are malformed', () => {
  const of = (length: number) => {
    const options = Buffer.alloc(length);
    options.writeUInt16BE(65001, 0);
    options.writeUInt16BE(length - 4, 2);
    return rcode(ask('a.example', { size: 1232, options }));
  };
  assert.deepEqual([of(512), of(513), of(5000)], [undefined, RCODE.FORMERR, RCODE.FORMERR]);
});

test('each truncation of a question is malformed or no message', () => {
  for (const { bytes } of asked.slice(0, 8)) {
    for (let end = 0; end < bytes.length; end++) {
      const found = decodeQuery(bytes.subarray(0, end));
      if (end < headerSize) assert.equal(found, undefined);
      else assert.deepEqual([found?.kind, rcode(bytes.subarray(0, end))], ['fault', RCODE.FORMERR], `${end} bytes`);
    }
  }
});

test('every kind of malformed question is told from every other', () => {
  const patched = (at: number, ...values: number[]) => {
    const bytes = ask('web.demo', { size: 1232 });
    bytes.set(values, at);
    return bytes;
  };
  const end = headerSize + 'web.demo'.length + 2 + 4;
  const table: readonly (readonly [what: string, bytes: Buffer, rcode: number | undefined])[] = [
    ['an answer', patched(2, 0x80), undefined],
    ['another opcode', patched(2, 0x28), RCODE.NOTIMP],
    ['no question', patched(4, 0, 0), RCODE.FORMERR],
    ['two questions', patched(4, 0, 2), RCODE.FORMERR],
    ['an answer beside the question', patched(6, 0, 1), RCODE.FORMERR],
    ['an authority beside the question', patched(8, 0, 1), RCODE.FORMERR],
    ['more additional records than there are', patched(10, 0, 2), RCODE.FORMERR],
    ['a hundred additional records', patched(10, 0, 100), RCODE.FORMERR],
    ['a name that points to itself', patched(12, 0xc0, 12), RCODE.FORMERR],
    ['a name that points into the header', patched(12, 0xc0, 0), RCODE.FORMERR],
    ['a label of 64 bytes', patched(12, 64), RCODE.FORMERR],
    ['an OPT record with a name', patched(end, 1, 97, 0), RCODE.FORMERR],
    ['RDATA longer than the message', patched(end + 9, 0xff, 0xff), RCODE.FORMERR],
    ['a later EDNS', patched(end + 6, 1), RCODE.BADVERS],
    ['bytes behind the question', Buffer.concat([ask('web'), Buffer.alloc(1)]), RCODE.FORMERR],
    [
      'an option longer than its record',
      ask('web', { size: 512, options: Buffer.from('000a0009', 'hex') }),
      RCODE.FORMERR,
    ],
    ['two OPT records', twice(), RCODE.FORMERR],
    ['a name of 256 bytes', longName(256), RCODE.FORMERR],
  ];
  for (const [what, bytes, expected] of table) assert.equal(rcode(bytes), expected, what);
  assert.equal(query(longName(255)).name.length, 254);
});

/** A question with this many bytes of name, its end included. */
function longName(length: number): Buffer {
  const labels = Buffer.concat([
    ...Array.from({ length: 3 }, () => Buffer.from(`\x3f${'a'.repeat(63)}`, 'latin1')),
    Buffer.from([length - 194]),
    Buffer.alloc(length - 194, 'b'),
  ]);
  return Buffer.concat([ask('a').subarray(0, headerSize), labels, Buffer.from([0, 0, 1, 0, 1])]);
}

function twice(): Buffer {
  const one = ask('web', { size: 1232 });
  one.writeUInt16BE(2, 10);
  return Buffer.concat([one, one.subarray(-11)]);
}

test('unknown options and records beside the question are passed over', () => {
  const options = Buffer.from('fde80003010203fde90000', 'hex');
  assert.deepEqual(query(ask('web', { size: 4096, options })).edns?.options, options);
  const signed = Buffer.concat([ask('web'), Buffer.from('0000fa00ff000000000004deadbeef', 'hex')]);
  signed.writeUInt16BE(1, 10);
  assert.equal(query(signed).edns, undefined);
});

test('an answer over UDP has between 512 and 1232 bytes', () => {
  const limit = (size: number) => udpLimit(query(ask('web', { size })).edns);
  assert.deepEqual([0, 511, 600, 1232, 4096, 65535].map(limit), [512, 512, 600, 1232, 1232, 1232]);
  assert.equal(udpLimit(undefined), 512);
});

test('names point backwards only', () => {
  const bytes = Buffer.from(`${'\0'.repeat(12)}\x03web\xc0\x0c\xc0\x10\xc0\x18`, 'latin1');
  assert.equal(skipName(bytes, 12), undefined, 'to its own beginning');
  assert.equal(skipName(bytes, 18), 20);
  assert.equal(skipName(bytes, 20), undefined, 'forwards');
  assert.equal(skipName(Buffer.alloc(300, '\x01a', 'latin1'), 0), undefined, 'without end');
});

test('no bytes at all make reading fail otherwise', () => {
  const some = fc.constantFrom(...asked.map(({ bytes }) => bytes));
  const spoiled = fc.tuple(some, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([bytes, at, part]) => {
    const copy = Buffer.from(bytes);
    copy.set(part.slice(0, copy.length), at % Math.max(1, copy.length - part.length));
    return copy;
  });
  fc.assert(
    fc.property(
      fc.oneof(
        spoiled,
        fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
      ),
      (bytes) => {
        const found = decodeQuery(bytes);
        if (found?.kind === 'query') assert.ok(found.name.length <= 254 && found.questionEnd <= bytes.length);
      },
    ),
    { numRuns: 2000 },
  );
});

test('names go to wire and back, and what is none goes nowhere', () => {
  assert.equal(toWireName('Web.Demo.'), '\x03web\x04demo');
  assert.equal(formatWireName('\x03web\x04demo'), 'web.demo');
  assert.equal(formatWireName('\x03a.b\x02\xff\x00'), 'a\\046b.\\255\\000');
  const none = ['', '.', 'a..b', '.a', 'a b', 'ä', 'a'.repeat(64), `${'a.'.repeat(127)}bc`];
  assert.deepEqual(
    none.filter((text) => toWireName(text) !== undefined),
    [],
  );
});

test('the end of a name is labels, not bytes', () => {
  assert.equal(suffixStart('\x03web\x05skein\x05local', '\x05skein\x05local'), 4);
  assert.equal(suffixStart('\x05skein\x05local', '\x05skein\x05local'), 0);
  assert.equal(suffixStart('\x07a\x05skein\x05local', '\x05skein\x05local'), undefined);
});
