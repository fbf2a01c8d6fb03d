import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { silent } from '../../lib/log.ts';
import type { Container } from '../../model/container.ts';
import type { Sandbox } from '../endpoints/endpoints.ts';
import { EtcFiles } from './etc-files.ts';
import { placeOf } from './harness.testing.ts';

const id = 'a'.repeat(64);
const sandbox: Sandbox = { id: 'b'.repeat(12), key: '/nowhere', endpoints: new Map() };
const container: Container = {
  ...{ id, name: 'web', created: '2026-01-01T00:00:00.000Z', command: ['sleep'], env: [], hostname: 'web' },
  ...{ interactive: false, tty: false, remove: false, restart: { name: 'no', most: 0 }, restarts: 0, stopped: false },
  ...{ places: [], sandbox: sandbox.id, state: { status: 'running', pid: 1, started: '2026-01-01T00:00:00.000Z' } },
};
const host = 'nameserver 192.0.2.1\nsearch a-rather-long-domain.example\n';
const ours = 'nameserver 169.254.53.53\nsearch a-rather-long-domain.example\noptions ndots:0\n';

let directory: string;
let file: string;
let now: Sandbox;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skein-etc-'));
  await mkdir(join(directory, id));
  file = join(directory, id, 'resolv.conf');
  await writeFile(join(directory, 'host'), host);
  now = sandbox;
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** As a daemon that has just begun. */
function open(): EtcFiles {
  return new EtcFiles({
    endpoints: { sandbox: () => now },
    placeOf: (name) => ({ directory: join(directory, name), control: '', shim: '' }),
    resolvConfs: [join(directory, 'host')],
    nameServers: { 4: '169.254.53.53', 6: 'fd53::53' },
    log: silent,
  });
}

const on = (...addresses: string[]): Sandbox => ({
  ...sandbox,
  endpoints: new Map(addresses.map((address) => [address, placeOf(address)])),
});
const read = () => readFile(file, 'utf8');

test('a file is rewritten where it is, and again by the next daemon', async () => {
  await open().write(container, sandbox);
  const { ino } = await stat(file);
  for (const [networks, text] of [
    [on('10.0.0.2/24'), ours],
    [sandbox, host],
    [on('10.0.0.2/24'), ours],
  ] as const) {
    now = networks;
    await open().follow(container);
    assert.equal(await read(), text);
  }
  assert.equal((await stat(file)).ino, ino);
});

test('one that died between two writes left a file that is known', async () => {
  await open().write(container, sandbox);
  now = on('10.0.0.2/24');
  await open().follow(container);
  // The text was written over a longer one, which was not yet cut.
  await appendFile(file, '\n\n\n\n');
  now = on('fd00::2/64');
  await open().follow(container);
  assert.equal(await read(), ours.replace('169.254.53.53', 'fd53::53'));
  // The note was written, the file was not.
  const note = join(directory, id, 'resolv.conf.sums');
  const [current = '', former = ''] = (await readFile(note, 'utf8')).split('\n');
  await writeFile(note, `${'0'.repeat(64)}\n${current}\n`);
  now = sandbox;
  await open().follow(container);
  assert.equal(await read(), host);
  assert.notEqual(current, former);
});

test('what an earlier release wrote is rewritten, what its user wrote is not, however long it is', async () => {
  now = on('10.0.0.2/24');
  await writeFile(file, host);
  await open().follow(container);
  assert.equal(await read(), ours);
  for (const text of ['nameserver 192.0.2.2\n', '', `#${'x'.repeat(70_000)}\n`]) {
    await writeFile(file, text);
    now = sandbox;
    await open().follow(container);
    assert.equal(await read(), text);
  }
});

test('a file that cannot be written is tried again', async () => {
  const files = open();
  await files.write(container, sandbox);
  now = on('10.0.0.2/24');
  await rm(file);
  await files.follow(container);
  await writeFile(file, host);
  await files.follow(container);
  assert.equal(await read(), ours);
});
