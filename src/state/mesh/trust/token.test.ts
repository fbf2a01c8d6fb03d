import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { verify } from '../signing.ts';
import { parseJoinToken, Token } from './token.ts';

const cluster = 'ab'.repeat(32);
const chance = Uint8Array.from({ length: 16 }, (_, n) => n);

test('a token is one word, with the fingerprint of its cluster or, made before it, without', () => {
  assert.equal(new Token(chance, cluster).reveal(), 'skein1.q6urq6urq6urq6urq6urqw.AAECAwQFBgcICQoLDA0ODxij');
  assert.match(new Token(chance).reveal(), /^skein1\.\.[\w-]{24}$/);
  assert.equal(parseJoinToken(` ${new Token(chance).reveal()}\n`).fingerprint, undefined);
});

test('every token can be read again, and has the same key pair', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.boolean(), (secret, early) => {
      const token = new Token(secret, early ? undefined : cluster);
      const read = parseJoinToken(token.reveal());
      assert.equal(read.reveal(), token.reveal());
      assert.equal(read.signer().key, token.signer().key);
    }),
    { numRuns: 50 },
  );
  const signer = parseJoinToken(new Token(chance, cluster).reveal()).signer();
  assert.ok(verify(signer.key, 'text', signer.sign('text')));
});

test('one wrong character is found before anybody is asked, and the error does not quote the token', () => {
  const text = new Token(chance, cluster).reveal();
  let found = 0;
  for (let at = 0; at < text.length; at += 1) {
    const wrong = `${text.slice(0, at)}${text[at] === 'x' ? 'y' : 'x'}${text.slice(at + 1)}`;
    assert.throws(
      () => parseJoinToken(wrong),
      (error: Error) => !error.message.includes(wrong.slice(10, 20)) && /^the token /.test(error.message),
    );
    found += 1;
  }
  assert.equal(found, text.length);
});

test('a token that is logged, shown or made into JSON keeps its secret', () => {
  const token = new Token(chance, cluster);
  const secret = token.reveal().slice(-24, -4);
  const shown = [
    token.toString(),
    JSON.stringify({ token }),
    inspect({ token }),
    inspect(token, { showHidden: true, depth: 9 }),
  ];
  for (const text of shown) {
    assert.ok(!text.includes(secret), text);
    assert.match(text, /skein1\./);
    assert.ok(!text.includes('0, 1, 2'), text);
  }
  assert.deepEqual(Object.keys(token), ['fingerprint']);
});
