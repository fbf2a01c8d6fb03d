import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { KernelError } from '../kernel/kernel-error.ts';
import { openSyscalls } from '../kernel/syscall.ts';
import { silent } from '../lib/log.ts';
import type { SocketChange } from './dataplane.ts';
import { Reconciler } from './reconciler.ts';
import { piecesFor } from './sample.ts';

const CLONE_NEWNET = 0x40000000;

/** A host whose process may open no more descriptors for news than it is granted. */
function host(t: TestContext, options: { readonly holder?: string } = {}) {
  const sys = openSyscalls();
  const grant = { left: Infinity };
  const fcntl: typeof sys.fcntl = (...call) => {
    if (grant.left-- <= 0) throw new KernelError('duplicate a descriptor', 'EMFILE');
    return sys.fcntl(...call);
  };
  sys.unshare(CLONE_NEWNET);
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const run = mkdtempSync(join(tmpdir(), 'skein-'));
  const reconciler = new Reconciler(
    { ...sys, fcntl },
    { run, ipNetns: join(run, 'ip'), state: run, log: silent, ...options },
  );
  t.after(() => {
    reconciler.set([]);
    reconciler.close();
    execFileSync('umount', ['-l', join(run, 'netns')]);
    rmSync(run, { recursive: true });
  });
  reconciler.set(piecesFor({ number: 1, data: '10.9.0.1' }, []));
  const news = () => {
    const change = reconciler.socketNews();
    for (const { fd } of change?.put ?? []) closeSync(fd);
    return change;
  };
  return { reconciler, grant, news };
}

const places = ({ put }: SocketChange) => put.map(({ transport, address }) => `${transport} ${address}`);
const isRoot = process.getuid?.() === 0;

test('what cannot be told for want of descriptors is told later, and nothing twice', {
  skip: !isRoot && 'needs root',
}, (t) => {
  const { grant, news } = host(t);
  grant.left = 2;
  const first = news();
  assert.equal(first?.put.length, 2);
  assert.throws(news, { code: 'EMFILE' });
  grant.left = Infinity;
  const second = news();
  assert.equal(second?.put.length, 2);
  assert.equal(new Set([...places(first), ...places(second)]).size, 4);
  assert.equal(news(), undefined);
});

test('sockets that nobody answers are told of again by the next repair, under other ids', {
  skip: !isRoot && 'needs root',
}, (t) => {
  const { reconciler, news } = host(t);
  const before = news();
  const [one, two, ...others] = before?.put ?? [];
  assert.ok(before && one && two && others.length === 2);
  reconciler.unanswered([one.id, two.id, 'another']);
  assert.equal(news(), undefined, 'not at once: whoever cannot open them now would be told again and again');
  assert.deepEqual(reconciler.repair(), []);
  const again = news();
  assert.ok(again);
  assert.deepEqual([places(again), again.gone], [places({ put: [one, two], gone: [] }), []]);
  assert.ok(again.put.every(({ id }) => id !== one.id && id !== two.id));
  assert.deepEqual(reconciler.repair(), []);
  assert.equal(news(), undefined);
  reconciler.set([]);
  const kept = [...again.put, ...others].map(({ id }) => id);
  assert.deepEqual(news()?.gone.toSorted(), kept.toSorted(), 'each goes under the id that it has');
});

test('it is known why nothing holds them, and that nothing has to', { skip: !isRoot && 'needs root' }, (t) => {
  assert.equal(host(t).reconciler.unheld, undefined);
  assert.match(host(t, { holder: '/nowhere/skein-holder' }).reconciler.unheld ?? '', /\/nowhere\/skein-holder ENOENT/);
});
