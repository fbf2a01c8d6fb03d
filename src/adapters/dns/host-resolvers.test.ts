import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openHostResolvers } from './host-resolvers.ts';

function open(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'skein-resolvers-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'resolv.conf');
  const behindStub = join(folder, 'behind.conf');
  const changes: string[] = [];
  const clock = { now: 0 };
  const resolvers = openHostResolvers({
    ...{ file, behindStub, own: ['169.254.53.53'], now: () => clock.now },
    onChange: (list) => changes.push(list.map(({ address }) => address).join(' ')),
  });
  const list = async () => {
    clock.now += 1000;
    return (await resolvers.list()).map(({ address, port }) => `${address} ${port}`).join(', ');
  };
  return { file, behindStub, resolvers, changes, clock, list };
}

test('a file that is written, replaced, emptied or gone is seen within a second', async (t) => {
  const { file, list, changes, resolvers, clock } = open(t);
  assert.equal(await list(), '');
  writeFileSync(file, 'nameserver 192.0.2.1\nnameserver 192.0.2.2\n');
  assert.equal(await list(), '192.0.2.1 53, 192.0.2.2 53');
  writeFileSync(`${file}.new`, 'nameserver 192.0.2.3\n');
  renameSync(`${file}.new`, file);
  clock.now += 999;
  await resolvers.list();
  assert.equal(await list(), '192.0.2.3 53');
  writeFileSync(file, '');
  assert.equal(await list(), '');
  rmSync(file);
  assert.equal(await list(), '');
  assert.deepEqual(changes, ['192.0.2.1 192.0.2.2', '192.0.2.3', '']);
});

test('behind systemd-resolved those are asked that it asks, if they are known', async (t) => {
  const { file, behindStub, list } = open(t);
  writeFileSync(file, 'nameserver 127.0.0.53\n');
  assert.equal(await list(), '127.0.0.53 53');
  writeFileSync(behindStub, 'nameserver 192.0.2.9\n');
  assert.equal(await list(), '192.0.2.9 53');
  writeFileSync(file, 'nameserver 127.0.0.53\nnameserver 192.0.2.1\n');
  assert.equal(await list(), '127.0.0.53 53, 192.0.2.1 53');
});

test('this server itself is never asked', async (t) => {
  const { file, list } = open(t);
  writeFileSync(file, 'nameserver 169.254.53.53\nnameserver 192.0.2.1\n');
  assert.equal(await list(), '192.0.2.1 53');
});
