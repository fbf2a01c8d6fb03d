import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { unpackedEtcd } from '../../src/lab/home.ts';
import { closeLab } from '../../src/lab/lab.ts';
import { attempt, run } from '../../src/lab/run.ts';
import { version } from '../../src/model/version.ts';
import { skip } from './testbed.ts';

const root = join(import.meta.dirname, '../..');
const prefix = mkdtempSync(join(tmpdir(), 'skein-package-'));
const installed = join(prefix, 'lib/node_modules/skein');
const name = `package-${process.pid}`;

/** Nothing of the clone, but a Node as it may be on any machine, and an etcd. */
const path = [join(prefix, 'bin'), dirname(process.execPath), unpackedEtcd, '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const env = { PATH: path.join(':'), HOME: prefix };
const skein = (...words: readonly string[]) => attempt(['skein', ...words], { env });
const inLab = (...words: readonly string[]) => skein('lab', 'exec', '--name', name, 'h1', '--', ...words);

before(async () => {
  await run(['npm', 'run', '-s', 'package', '--', '--offline', '--pack-destination', prefix], {
    env: { ...process.env, INIT_CWD: root, npm_config_local_prefix: root },
  });
  await install();
});

after(() => rmSync(prefix, { recursive: true, force: true }));

/** As `npm install --global --prefix` does, but with our copies of what the package says that it depends on. */
async function install(): Promise<void> {
  await run(['tar', '-xzf', join(prefix, `skein-${version}.tgz`), '-C', prefix]);
  mkdirSync(dirname(installed), { recursive: true });
  renameSync(join(prefix, 'package'), installed);
  const { bin, dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const dependency of Object.keys(dependencies)) {
    const place = join(installed, 'node_modules', dependency);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(root, 'node_modules', dependency), place);
  }
  mkdirSync(join(prefix, 'bin'));
  symlinkSync(join(installed, bin.skein), join(prefix, 'bin/skein'));
}

test('the package holds what runs, no source and no test code', async () => {
  const { stdout } = await run(['tar', '-tzf', join(prefix, `skein-${version}.tgz`)]);
  const files = stdout.trim().split('\n');
  const known =
    /^package\/((dist|docs|man|native|systemd)\/.*|build\/skein-(holder|shim)|skein|package\.json|README\.md|LICENSE)$/;
  assert.deepEqual(
    files.filter((file) => !known.test(file)),
    [],
  );
  const tests = /\.ts$|\.(test|contract|testing)\.|\/(memory|testbed|sample)[^/]*$/;
  assert.deepEqual(
    files.filter((file) => tests.test(file)),
    [],
  );
  for (const file of [
    ...['main', 'doctor-main', 'reset-main'].map((name) => `dist/daemon/${name}.js`),
    ...['dataplane', 'state/kv/local'].map((folder) => `dist/${folder}/worker.js`),
    'man/skein-network-create.1',
    'docs/walkthroughs/000.md',
    'build/skein-shim',
  ])
    assert.ok(files.includes(`package/${file}`), file);
});

test('skein of the package says its version', async () => {
  assert.match((await skein('version')).stdout, new RegExp(`^Client:\n Version: +${version}\n`));
});

test('a lab of the package: daemon, containers, stop, launch in the foreground, down', { skip }, async (t) => {
  t.after(() => closeLab(name));
  const up = await skein('lab', 'up', '--name', name, '--hosts', '1', '--store', 'local:');
  assert.deepEqual({ code: up.code, stderr: up.stderr }, { code: 0, stderr: '' });
  assert.match(up.stdout, new RegExp(`^go on with: skein lab exec --name ${name} h1 -- skein host ls$`, 'm'));
  assert.equal((await inLab('sh', '-c', 'command -v skein')).stdout, `${join(installed, 'skein')}\n`);

  const file = join(prefix, 'variables');
  writeFileSync(file, 'A=from the file\n');
  const h1 = (...words: readonly string[]) => skein('-H', `${name}/h1`, ...words);
  assert.equal((await h1('network', 'create', '-d', 'overlay', 'demo')).code, 0);
  const container = ['--rm', '--network', 'demo', '--env-file', file, '--', 'sh', '-c', 'echo $A; ip -br addr; exit 3'];
  const ended = await h1('run', ...container);
  assert.equal(ended.code, 3, ended.stderr);
  assert.match(ended.stdout, /^from the file\n.*^eth0@.* 10\.0\.0\.2\/24/ms);

  assert.equal((await h1('stop')).code, 0);
  const foreground =
    'skein launch 2>/dev/null & until skein status >/dev/null 2>&1; do sleep 0.05; done; kill $!; wait $!';
  const { code, stderr } = await inLab('sh', '-c', foreground);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const log = await inLab('cat', '/var/lib/skein/daemon.log');
  assert.doesNotMatch(log.stdout, /Warning/);
  assert.deepEqual(await skein('lab', 'down', '--name', name), { code: 0, stdout: '', stderr: '' });
});

test('the demo of the package', { skip }, async (t) => {
  t.after(() => closeLab(name));
  const { code, stdout, stderr } = await skein('demo', '--name', name);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /nothing is left of it\.\n$/);
});
