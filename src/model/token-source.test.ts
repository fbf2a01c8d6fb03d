import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { JoinToken } from './join-token.ts';
import { parseTokenSource, readToken } from './token-source.ts';

const directory = mkdtempSync(join(tmpdir(), 'skein-token-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const token = new JoinToken(Uint8Array.from({ length: 16 }, (_, n) => n)).reveal();

test('a token is given as it is, or by the file that holds it', () => {
  assert.equal(readToken(parseTokenSource(token)).reveal(), token);
  const file = join(directory, 'token');
  writeFileSync(file, `${token}\n`);
  assert.equal(readToken(parseTokenSource(`@${file}`)).reveal(), token);
});

test('a file that holds no token, has no end or is not there is refused without what is in it', () => {
  const file = join(directory, 'other');
  writeFileSync(file, 'secret');
  assert.throws(() => readToken({ file }), { name: 'ParseError', message: /^\S+other: the token is not one: [^"]*$/ });
  assert.throws(() => readToken({ file: '/dev/zero' }), { name: 'ParseError' });
  assert.throws(() => readToken({ file: directory }), {
    name: 'Refusal',
    message: /^cannot read the token from .*EISDIR/,
  });
  assert.throws(() => parseTokenSource('@'), { message: '@ is followed by the path of the file with the token' });
});
