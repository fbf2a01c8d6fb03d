import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Remark, Result } from '../scripts/reporter.ts';

test('tests are told by outcome, their suites are not', (t) => {
  const told = tell(
    t,
    `describe('a suite', () => {
       test('good', () => {});
       test('bad', () => { throw new Error('it broke'); });
       test('not here', { skip: 'no such machine' }, () => {});
     });`,
  );
  assert.deepEqual(
    told.map((line) => ('error' in line ? { ...line, error: /it broke/.exec(line.error ?? '')?.[0] } : line)),
    [
      { name: 'good', outcome: 'passed' },
      { name: 'bad', outcome: 'failed', error: 'it broke' },
      { name: 'not here', outcome: 'skipped', reason: 'no such machine' },
    ],
  );
});

test('what a test says of itself is told with its name, at every depth', (t) => {
  const told = tell(
    t,
    `test('outer', async (t) => {
       t.diagnostic('outside');
       for (const name of ['one', 'two']) await t.test(name, (inner) => inner.diagnostic('took ' + name));
     });
     test('bad', (t) => { t.diagnostic('was bad'); throw new Error('it broke'); });`,
  );
  assert.deepEqual(
    told.filter((line) => 'remark' in line),
    [
      { name: 'one', remark: 'took one' },
      { name: 'two', remark: 'took two' },
      { name: 'outer', remark: 'outside' },
      { name: 'bad', remark: 'was bad' },
    ],
  );
});

test("the runner's own totals are not told", (t) => {
  assert.deepEqual(tell(t, `test('quiet', () => {});`), [{ name: 'quiet', outcome: 'passed' }]);
});

/** What the reporter tells of a file with these tests. */
function tell(t: TestContext, tests: string): readonly (Result | Remark)[] {
  const folder = mkdtempSync(join(tmpdir(), 'skein-reporter-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'tests.ts');
  writeFileSync(file, `import { describe, test } from 'node:test';\n${tests}\n`);
  const reporter = new URL('../scripts/reporter.ts', import.meta.url).href;
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = spawnSync(process.execPath, [`--test-reporter=${reporter}`, file], { env, encoding: 'utf8' });
  const lines = stdout.split('\n').slice(0, -1);
  return lines.map((line): Result | Remark => JSON.parse(line));
}
