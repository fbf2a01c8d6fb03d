import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lines } from './lines.ts';

async function split(text: string, cuts: readonly number[], most = 1_000): Promise<string[]> {
  const bytes = Buffer.from(text);
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1))), bytes.length].sort((a, b) => a - b);
  async function* chunks() {
    let start = 0;
    for (const end of ends) {
      yield bytes.subarray(start, end);
      start = end;
    }
  }
  return await Array.fromAsync(lines(chunks(), most));
}

test('lines are the same however the stream is cut', async () => {
  const line = fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll(/\s/g, ''));
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.array(fc.nat()), async (texts, cuts) => {
      const expected = texts.map((text) => Buffer.from(text).toString().trim()).filter((text) => text !== '');
      assert.deepEqual(await split(texts.join('\n'), cuts), expected);
    }),
  );
});

test('a line that is too long is an error, also when its end never comes', async () => {
  await assert.rejects(split(`${'x'.repeat(101)}\n`, [], 100), { name: 'StoreError' });
  await assert.rejects(split('x'.repeat(1_000), [10, 20, 30, 500], 100), { name: 'StoreError' });
  assert.deepEqual(await split(`${'x'.repeat(100)}\ny`, [50], 100), ['x'.repeat(100), 'y']);
});
