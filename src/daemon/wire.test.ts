import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { closePinDirectory } from '../kernel/namespace.ts';
import { openSyscalls } from '../kernel/syscall.ts';
import { silent } from '../lib/log.ts';
import { parseSettings } from '../model/settings.ts';
import { pathsOf } from './paths.ts';
import { openDaemon } from './wire.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

test('a start that fails leaves no thread behind', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skein-wire-'));
  const flags = { 'state-dir': [join(directory, 'state')], 'run-dir': [join(directory, 'run')] };
  const settings = parseSettings({ flags, env: {} });
  const { journal, namespaces } = pathsOf(settings);
  t.after(() => {
    closePinDirectory(openSyscalls(), namespaces);
    rmSync(directory, { recursive: true });
  });
  // What is a directory cannot be opened as a file: that is found before the data plane's thread is up.
  mkdirSync(journal, { recursive: true });
  const threads = () => process.getActiveResourcesInfo().filter((resource) => resource === 'MessagePort').length;
  const init = { settings, log: silent, sockets: [], handed: [], stop: () => undefined, restart: () => undefined };
  await assert.rejects(openDaemon(init), /journal/);
  assert.equal(threads(), 0);
});
