import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { lean } from './launch.ts';

test('the daemon that systemd starts with its socket is as lean as one that is launched', () => {
  const script = readFileSync(new URL('../../skein', import.meta.url), 'utf8');
  assert.equal(/lean='(.*)'/.exec(script)?.[1], lean.flags.join(' '));
  const variables = Object.entries(lean.env).map(([name, value]) => `${name}=${value}`);
  assert.equal(/^ +export (.*)$/m.exec(script)?.[1], variables.join(' '));
});
