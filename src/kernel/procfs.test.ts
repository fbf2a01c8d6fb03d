import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KernelError } from './kernel-error.ts';
import { openNamespaces } from './namespace.ts';
import { openProcfs } from './procfs.ts';
import { openSyscalls } from './syscall.ts';
import { sysctls } from './sysctl.ts';

const sys = openSyscalls();
const setting = 'net/ipv4/ip_default_ttl';

test('a procfs of our own shows each namespace its settings, and is gone when it is closed', (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root');
  const namespaces = openNamespaces(sys);
  const directory = mkdtempSync(join(tmpdir(), 'skein-'));
  const places = ['a', 'b'].map((name) => {
    const path = join(directory, name);
    return { path, fd: namespaces.make(path) };
  });
  t.after(() => {
    for (const { path, fd } of places) {
      closeSync(fd);
      namespaces.unpin(path);
    }
    namespaces.close();
    rmSync(directory, { recursive: true });
  });
  const before = readdirSync('/proc/self/fd').length;
  const procfs = openProcfs(sys);
  assert.notEqual(procfs.path, '/proc');
  for (const [i, { fd }] of places.entries()) {
    namespaces.inside(fd, () => sysctls.set(setting, String(70 + i)));
  }
  const seen = places.map(({ fd }) => namespaces.inside(fd, () => sysctls.get(setting, procfs.path)));
  assert.deepEqual(seen, ['70', '71']);
  assert.equal(sysctls.get('net/nothing', procfs.path), undefined);
  procfs.close();
  procfs.close();
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('where none can be had it is the one that everybody sees', () => {
  const refusing = {
    ...sys,
    fsopen: () => {
      throw new KernelError('open file system proc', 'EPERM');
    },
  };
  const procfs = openProcfs(refusing);
  assert.equal(sysctls.get(setting, procfs.path), sysctls.get(setting));
  procfs.close();
});
