import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startEtcd } from './etcd.ts';

test('a started etcd answers, is gone after stop, and stop may be called twice', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'skein-etcd-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const etcd = await startEtcd({ dataDir, listen: '127.0.0.1:23811' });
  assert.equal(etcd.url, 'etcd://127.0.0.1:23811');
  assert.equal((await fetch('http://127.0.0.1:23811/health')).status, 200);
  await Promise.all([etcd.stop(), etcd.stop()]);
  assert.throws(() => process.kill(etcd.pid, 0), { code: 'ESRCH' });
});

test('an etcd that cannot start says why', async () => {
  await assert.rejects(startEtcd({ dataDir: '/proc/none', listen: '127.0.0.1:23812' }), /it ended; it wrote: .*proc/);
});
