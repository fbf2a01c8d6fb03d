import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ethtool } from './ethtool.ts';
import { openNamespaces } from './namespace.ts';
import { openSyscalls } from './syscall.ts';

test('a feature that was set is read back; of a device that is not there it is ENODEV', (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root');
  const sys = openSyscalls();
  const namespaces = openNamespaces(sys);
  const directory = mkdtempSync(join(tmpdir(), 'skein-'));
  const path = join(directory, 'features');
  const fd = namespaces.make(path);
  t.after(() => {
    closeSync(fd);
    namespaces.unpin(path);
    namespaces.close();
    rmSync(directory, { recursive: true });
  });
  const ip = ['link', 'add', 'vxlan0', 'type', 'vxlan', 'id', '7', 'dstport', '4789'];
  execFileSync('nsenter', [`--net=${path}`, 'ip', ...ip]);
  const seen = namespaces.inside(fd, () =>
    [true, false, true].map((on) => {
      ethtool.setGro(sys, 'vxlan0', on);
      return ethtool.gro(sys, 'vxlan0');
    }),
  );
  assert.deepEqual(seen, [true, false, true]);
  const absent = () => namespaces.inside(fd, () => ethtool.gro(sys, 'nowhere0'));
  assert.throws(absent, { code: 'ENODEV', message: /control device nowhere0/ });
});
