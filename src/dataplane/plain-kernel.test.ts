import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSyscalls, type Syscalls } from '../kernel/syscall.ts';
import { silent } from '../lib/log.ts';
import { Reconciler } from './reconciler.ts';
import { network, piecesFor, sandboxOf } from './sample.ts';

const CLONE_NEWNET = 0x40000000;
const h1 = { number: 1, data: '10.9.0.1' };

/** A kernel that does not know one kind of queueing discipline, filter or action: it is asked for one that there is not. */
function without(kind: string): Syscalls {
  const sys = openSyscalls();
  return {
    ...sys,
    send(fd, bytes, flags) {
      const text = Buffer.from(bytes).toString('latin1');
      const asked = text.replaceAll(`${kind}\0`, `${'x'.repeat(kind.length)}\0`);
      return sys.send(fd, asked === text ? bytes : Buffer.from(asked, 'latin1'), flags);
    },
  };
}

for (const kind of ['clsact', 'u32', 'mirred']) {
  test(`on a kernel without ${kind} a network stands, over the bridge alone`, (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root');
    const sys = without(kind);
    sys.unshare(CLONE_NEWNET);
    const run = mkdtempSync(join(tmpdir(), 'skein-'));
    const reconciler = new Reconciler(sys, { run, ipNetns: join(run, 'ip'), state: run, log: silent });
    t.after(() => {
      reconciler.set([]);
      reconciler.close();
      execFileSync('umount', ['-l', join(run, 'netns')]);
      rmSync(run, { recursive: true });
    });
    execFileSync('ip', ['link', 'set', 'lo', 'up']);
    const pieces = piecesFor(h1, [{ number: 2, data: '10.9.0.2' }]);
    assert.ok(reconciler.set(pieces).length > 0);
    assert.deepEqual(reconciler.repair(), []);
    assert.deepEqual(reconciler.set(pieces), []);
    const at = (name: string, ...command: readonly string[]) =>
      execFileSync('nsenter', [`--net=${join(run, 'netns', name)}`, ...command], { encoding: 'utf8' });
    assert.doesNotMatch(at(network.namespace, 'tc', 'qdisc', 'show', 'dev', 'vxlan0'), /clsact/);
    at(sandboxOf(h1), 'ping', '-c1', '-W2', '10.0.0.1');
  });
}
