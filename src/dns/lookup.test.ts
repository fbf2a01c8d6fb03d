import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, ParseError } from '../lib/errors.ts';
import { decodeLookup, encodeLookup } from './lookup.ts';
import { ask, captured, tell } from './message.testing.ts';
import { FLAG } from './message.ts';

test('what is asked is what was said', () => {
  assert.deepEqual(encodeLookup('web.demo', 'srv'), ask('web.demo', { id: 0, type: 'SRV' }));
  assert.deepEqual(encodeLookup('web.demo.', 'TYPE65'), ask('web.demo', { id: 0, type: 65 }));
  assert.deepEqual(encodeLookup('.', 'NS'), ask('.', { id: 0, type: 'NS' }));
  assert.equal(tell(encodeLookup('10.0.0.2', 'PTR')).question, '2.0.0.10.in-addr.arpa PTR');
  const v6 = `1.${'0.'.repeat(27)}0.0.d.f.ip6.arpa`;
  assert.equal(tell(encodeLookup('fd00::1', 'PTR')).question, `${v6} PTR`);
  for (const [name, type] of [
    ['', 'A'],
    ['a b', 'A'],
    [`${'a'.repeat(64)}.b`, 'A'],
    ['a', ''],
    ['a', 'TYPE65536'],
    ['a', 'A AAAA'],
  ] as const) {
    assert.throws(() => encodeLookup(name, type), ParseError, `${name} ${type}`);
  }
});

test('what servers answered is told as dig tells it', () => {
  const answers: Readonly<Record<string, readonly string[]>> = {
    'WEB.Skein.Local A +noedns': ['NOERROR', 'WEB.Skein.Local. 1 A 10.0.0.2'],
    'web.skein.local AAAA': ['NOERROR', 'web.skein.local. 1 AAAA fd00::2'],
    'web.skein.local MX': ['NOERROR'],
    'nope.skein.local A': ['NXDOMAIN'],
    '-x 10.0.0.2': ['NOERROR', '2.0.0.10.in-addr.arpa. 1 PTR web.skein.local.'],
    '_http._tcp.web.skein.local SRV': ['NOERROR', '_http._tcp.web.skein.local. 1 SRV 0 0 80 web.skein.local.'],
    'txt.skein.local TXT': ['NOERROR', 'txt.skein.local. 1 TXT "hello"'],
    'alias.skein.local A': ['NOERROR', 'alias.skein.local. 1 CNAME web.skein.local.', 'web.skein.local. 1 A 10.0.0.2'],
  };
  for (const [command, expected] of Object.entries(answers)) {
    const one = captured.find((found) => found.command === command) ?? assert.fail(command);
    assert.deepEqual(told(Buffer.from(one.answered, 'hex')), expected);
  }
});

test('records of every type are told, and names that lead in circles or out of their record are refused', () => {
  const data = (type: number, hex: string) => told(answerWith(type, Buffer.from(hex, 'hex')))[1];
  assert.equal(data(15, '000a046d61696cc00c'), 'web. 5 MX 10 mail.web.');
  const numbers = [1, 2, 3, 4, 5].map((n) => n.toString(16).padStart(8, '0')).join('');
  assert.equal(data(6, `c00c0161c00c${numbers}`), 'web. 5 SOA web. a.web. 1 2 3 4 5');
  assert.equal(data(16, '03612262025c00'), String.raw`web. 5 TXT "a\"b" "\\\000"`);
  assert.equal(data(65, '00ff'), String.raw`web. 5 TYPE65 \# 2 00ff`);
  assert.equal(data(1, '0a0000'), String.raw`web. 5 A \# 3 0a0000`);
  assert.equal(data(65, ''), String.raw`web. 5 TYPE65 \# 0`);
  for (const hex of ['c021', '0161c021', '05612e62', 'c0', '']) {
    assert.throws(() => data(12, hex), DecodeError, hex);
  }
});

function told(bytes: Buffer): readonly string[] {
  const { status, records } = decodeLookup(bytes);
  return [status, ...records.map(({ name, ttl, type, data }) => `${name} ${ttl} ${type} ${data}`)];
}

/** To a question for `web`: one record, its data from byte 33. */
function answerWith(type: number, data: Buffer): Buffer {
  const answer = Buffer.concat([ask('web', { type }), Buffer.from('c00c00000001000000050000', 'hex'), data]);
  const record = answer.length - data.length - 12;
  answer.writeUInt16BE(FLAG.QR, 2);
  answer.writeUInt16BE(1, 6);
  answer.writeUInt16BE(type, record + 2);
  answer.writeUInt16BE(data.length, record + 10);
  return answer;
}
