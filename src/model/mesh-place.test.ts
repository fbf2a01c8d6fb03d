import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatMeshPlace, parseMeshPlace } from './mesh-place.ts';

test('a place has one text with a port, and a short one as people write it', () => {
  for (const [text, place, short] of [
    ['192.0.2.1', '192.0.2.1:6783', '192.0.2.1'],
    ['192.0.2.1:7000', '192.0.2.1:7000', '192.0.2.1:7000'],
    ['H1.Example', 'h1.example:6783', 'h1.example'],
    ['2001:DB8:0::1', '[2001:db8::1]:6783', '2001:db8::1'],
    ['[2001:db8::1]', '[2001:db8::1]:6783', '2001:db8::1'],
    ['[2001:db8::1]:7000', '[2001:db8::1]:7000', '[2001:db8::1]:7000'],
  ] as const) {
    assert.equal(parseMeshPlace(text), place);
    assert.equal(formatMeshPlace(place), short);
    assert.equal(parseMeshPlace(short), place);
  }
});

test('what is no place is refused, and quoted as far as a line goes', () => {
  for (const text of [
    '',
    ':1',
    'h1:0',
    'h1:65536',
    '192.0.2.256',
    '192.0.2',
    'a b',
    '[h1]:1',
    '-h',
    'h1:1:2',
    'a..b',
  ]) {
    assert.throws(() => parseMeshPlace(text), { message: /is not HOST or HOST:PORT, such as 192\.0\.2\.1 or / });
  }
  assert.throws(
    () => parseMeshPlace('x'.repeat(10_000)),
    ({ message }) => message.length < 200,
  );
});
