import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLab } from '../../src/lab/lab.ts';
import { readPage, walk } from '../../src/lab/walk.ts';
import { skip } from './testbed.ts';

const pages = join(import.meta.dirname, '../../docs/walkthroughs');

for (const page of readdirSync(pages)) {
  test(`docs/walkthroughs/${page} says what happens`, { skip }, async (t) => {
    const lab = await openLab({ name: `e2e-${process.pid}`, hosts: 2, underlay: 4, mtu: 1500, tied: true });
    t.after(() => lab.close());
    const parts = readPage(join(pages, page));
    assert.ok(parts.filter(({ kind }) => kind === 'command').length > 20);
    await walk(lab, parts, { onPart: () => {}, onOutput: () => {} });
  });
}
