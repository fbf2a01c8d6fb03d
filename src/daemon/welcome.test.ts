import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryMesh } from '../adapters/api/memory-mesh.testing.ts';
import type { Membership } from '../state/mesh/membership.ts';
import { welcome } from './welcome.ts';

async function said(membership: Membership, isTTY = true): Promise<string> {
  const lines: string[] = [];
  await welcome(membership, { isTTY, write: (text) => lines.push(text) });
  return lines.join('');
}

test('who launches the first host of a cluster reads how others join it, on a terminal alone', async () => {
  const mesh = new MemoryMesh();
  const [h1, h2] = [mesh.found('h1'), mesh.found('h2')];
  const token = await h1.token();
  assert.equal(await said(h1), `other hosts join with: skein launch --token ${token} 192.0.2.1\n`);
  assert.equal(await said(h1, false), '');
  assert.match(await said(mesh.wait('h3', token)), /^this host waits for others .*: skein connect HOST\n$/);
  const { restart } = await h2.connect({ targets: [h1.place], token, replace: false });
  restart?.();
  assert.equal(await said(h1), '');
  assert.equal(await said(h2), '');
});
