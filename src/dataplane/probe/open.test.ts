import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { closePinDirectory } from '../../kernel/namespace.ts';
import { openSyscalls } from '../../kernel/syscall.ts';
import { openDataplane } from '../open.ts';

const isRoot = process.getuid?.() === 0;

test('no tunnel of probes is opened before the guard stands', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skein-probe-'));
  const dataplane = await openDataplane({ run: directory, state: directory });
  t.after(async () => {
    await dataplane.close();
    closePinDirectory(openSyscalls(), join(directory, 'netns'));
    rmSync(directory, { recursive: true });
  });
  const init = { host: '0'.repeat(64), data: '192.0.2.1', port: 4789, mtu: 1500 };
  await assert.rejects(dataplane.openProbes(init), /behind the guard alone/);
});
