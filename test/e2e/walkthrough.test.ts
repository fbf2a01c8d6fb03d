import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLab } from '../../src/lab/lab.ts';
import { readPage, walk } from '../../src/lab/walk.ts';
import { skip } from './testbed.ts';

const root = join(import.meta.dirname, '../..');
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: root })
  .filter((page) => /^```console$/m.test(readFileSync(join(root, page), 'utf8')))
  .sort();

/** Pages whose hosts have no store, and of those where they are not launched yet. */
const withoutStore = ['docs/mesh.md', 'docs/walkthroughs/first.md', 'docs/walkthroughs/004.md'];
const bare = ['docs/walkthroughs/004.md'];

test('the pages that show commands are known', () => {
  const known = ['README.md', ...['000', '001', '002'].map((name) => `docs/walkthroughs/${name}.md`), ...withoutStore];
  for (const page of known) assert.ok(pages.includes(page), page);
});

for (const page of pages) {
  test(`${page} says what happens`, { skip }, async (t) => {
    const lab = await openLab({
      ...{ name: `e2e-${process.pid}`, hosts: 2, underlay: 4, mtu: 1500, tied: true },
      store: withoutStore.includes(page) ? 'mesh:' : 'etcd',
      daemons: !bare.includes(page),
    });
    t.after(() => lab.close());
    await walk(lab, readPage(join(root, page)), { onPart: () => {}, onOutput: () => {} });
  });
}
