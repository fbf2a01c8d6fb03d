import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { openHostResolvers } from './host-resolvers.ts';

function open(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'skein-resolvers-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'resolv.conf');
  const behindStub = join(folder, 'behind.conf');
  const changes: string[] = [];
  const clock = { now: 0 };
  const resolvers = openHostResolvers({
    ...{ file, behindStub, now: () => clock.now },
    onChange: (list) => changes.push(list.map(({ address }) => address).join(' ')),
  });
  const list = async () => {
    clock.now += 3000;
    return (await resolvers.list()).map(({ address, port }) => `${address} ${port}`).join(', ');
  };
  return { file, behindStub, resolvers, changes, clock, list };
}

test('a file that is written, replaced, emptied or gone is seen when it is looked up', async (t) => {
  const { file, list, changes, resolvers, clock } = open(t);
  assert.equal(await list(), '');
  writeFileSync(file, 'nameserver 192.0.2.1\nnameserver 192.0.2.2\n');
  assert.equal(await list(), '192.0.2.1 53, 192.0.2.2 53');
  writeFileSync(`${file}.new`, 'nameserver 192.0.2.3\n');
  renameSync(`${file}.new`, file);
  clock.now += 999;
  assert.equal(resolvers.list(), resolvers.last, 'nobody waits');
  assert.equal(await list(), '192.0.2.3 53');
  writeFileSync(file, '');
  assert.equal(await list(), '');
  rmSync(file);
  assert.equal(await list(), '');
  assert.deepEqual(changes, ['192.0.2.1 192.0.2.2', '192.0.2.3', '']);
});

test('who asks often waits for nothing, and is told of a change all the same', async (t) => {
  const { file, resolvers, clock } = open(t);
  await resolvers.list();
  writeFileSync(file, 'nameserver 192.0.2.1\n');
  clock.now += 1000;
  assert.deepEqual(resolvers.list(), []);
  while (resolvers.last.length === 0) await setImmediate();
  assert.deepEqual(resolvers.list(), [{ address: '192.0.2.1', port: 53 }]);
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

test('an address is told in the one form that sockets give it', async (t) => {
  const { file, list } = open(t);
  const written = ['::ffff:169.254.53.53', '0:0:0:0:0:ffff:a9fe:3535', 'FD53:0::53', 'fd53::53%lo'];
  writeFileSync(file, written.map((one) => `nameserver ${one}\n`).join(''));
  assert.equal(await list(), '169.254.53.53 53, 169.254.53.53 53, fd53::53 53, fd53::53%lo 53');
});
