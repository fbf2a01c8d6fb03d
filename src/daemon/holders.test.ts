import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { builtProgram } from '../kernel/programs.testing.ts';
import { endHolders } from './holders.ts';

const isRoot = process.getuid?.() === 0;

/** Who was started to listen at this path. */
function pidsAt(path: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').endsWith(`/skein-holder\0${path}\0`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

test('what keeps sockets of a run directory is ended, its socket gone and hanging, and no other', async (t) => {
  const program = await builtProgram('holder');
  const run = mkdtempSync(join(tmpdir(), 'skein-run-'));
  const longer = `${run}-more`;
  mkdirSync(longer);
  const path = join(run, 'holder.sock');
  for (const directory of [run, longer]) execFileSync(program, [join(directory, 'holder.sock')]);
  const others = pidsAt(join(longer, 'holder.sock'));
  t.after(() => {
    for (const pid of [...others, ...pidsAt(path)]) process.kill(pid, 'SIGKILL');
    for (const directory of [run, longer]) rmSync(directory, { recursive: true });
  });
  const [own = assert.fail('it does not run')] = pidsAt(path);
  rmSync(path);
  process.kill(own, 'SIGSTOP');
  if (isRoot) {
    // A lab's, which has another directory of that name.
    execFileSync('unshare', ['-m', 'sh', '-euc', `mount -t tmpfs tmpfs ${run}; ${program} ${path}`]);
    assert.equal(pidsAt(path).length, 2);
  }
  assert.equal(await endHolders(run), 1);
  assert.ok(!pidsAt(path).includes(own));
  assert.equal(pidsAt(path).length, isRoot ? 1 : 0);
  assert.deepEqual(pidsAt(join(longer, 'holder.sock')), others);
  assert.equal(await endHolders(run), 0);
});
