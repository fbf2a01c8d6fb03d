import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Lab, LabHost } from '../../src/lab/lab.ts';
import { featureLevel } from '../../src/model/cluster.ts';
import { version } from '../../src/model/version.ts';
import { idle, inside, inspectNetwork, pings, skein, skip, testInLab, until } from './testbed.ts';

const laterVersion = `${version}-later`;
const root = new URL('../..', import.meta.url).pathname;

/**
 * A later release: its own version, a feature level that this one does not know, and a field in every record that this one
 * has not heard of.
 * @returns its command
 */
function buildLater(): string {
  const later = mkdtempSync(join(tmpdir(), 'skein-later-'));
  after(() => rmSync(later, { recursive: true, force: true }));
  for (const part of ['src', 'skein', 'package.json', 'build']) {
    cpSync(join(root, part), join(later, part), { recursive: true, preserveTimestamps: true });
  }
  symlinkSync(join(root, 'node_modules'), join(later, 'node_modules'));
  const edit = (path: string, from: string, to: string) => {
    const before = readFileSync(join(later, path), 'utf8');
    assert.ok(before.includes(from), `${path} holds: ${from}`);
    writeFileSync(join(later, path), before.replace(from, to));
  };
  edit('src/model/version.ts', `version = '${version}'`, `version = '${laterVersion}'`);
  edit('src/model/cluster.ts', `featureLevel = ${featureLevel}`, `featureLevel = ${featureLevel + 1}`);
  edit(
    'src/state/kv/records.ts',
    'JSON.stringify(record)',
    `JSON.stringify({ ...Object(record), later: { is: [2] } })`,
  );
  return join(later, 'skein');
}

async function restartWith(host: LabHost, program: string): Promise<void> {
  await host.daemon.kill('SIGTERM');
  await host.exec([program, 'launch', '--detach']);
}

async function recordOf(lab: Lab, network: string): Promise<{ readonly mtu: number; readonly later?: unknown }> {
  const ask = ['etcdctl', '--endpoints', lab.store.replace('etcd://', 'http://'), 'get', '--print-value-only'];
  return JSON.parse((await lab.underlay.exec([...ask, `/skein/networks/${network}`])).stdout);
}

const later = skip === false ? buildLater() : '';

testInLab('a rolling upgrade', {}, (step) => {
  step('a host of a later release works with one of this release, and takes up its containers', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', 'demo');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    await until('test2 is reached', () => pings(h1, 'test1', '10.0.0.3'));
    const train = h1.exec(['skein', 'exec', 'test1', 'ping', '-q', '-i', '0.01', '-c', '900', '-W', '2', '10.0.0.3']);
    await restartWith(h2, later);
    assert.match((await train).stdout, /900 packets transmitted, 900 received, 0% packet loss/);
    const listed = await skein(h1, 'host', 'ls', '--format', '{{.Name}} {{.Version}} {{.State}}');
    assert.deepEqual(listed.split('\n').toSorted(), [`h1 ${version} alive`, `h2 ${laterVersion} alive`]);
    assert.match(await inside(h2, 'test2', 'ip', 'addr', 'show', 'eth0'), /10\.0\.0\.3\/24/);
  });

  step('each uses what the other makes, and this release keeps what it does not understand', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const id = await skein(h2, 'network', 'create', 'new');
    assert.deepEqual((await recordOf(lab, id)).later, { is: [2] });
    await until('h1 knows it', async () => (await skein(h1, 'network', 'ls', '-q', '--no-trunc')).includes(id));
    await idle(h1, 'new1', '--network', 'new');
    await idle(h2, 'new2', '--network', 'new');
    await until('new1 reaches new2', () => pings(h1, 'new1', '10.0.1.3'));
    await until('new2 reaches new1', () => pings(h2, 'new2', '10.0.1.2'));
    // Makes h1 write the record that h2 made.
    await h1.exec(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
    await until('h1 lowered the MTU', async () => (await recordOf(lab, id)).mtu === 1350);
    assert.deepEqual((await recordOf(lab, id)).later, { is: [2] });
    const status = await skein(h2, 'status', '--format', '{{.cluster.featureLevel}}');
    assert.equal(status, String(featureLevel));
  });

  step('the later release is taken back, and then comes to all hosts', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const before = await inspectNetwork(h2, 'new');
    await restartWith(h2, 'skein');
    assert.deepEqual(await inspectNetwork(h2, 'new'), before);
    await until('new1 reaches new2', () => pings(h1, 'new1', '10.0.1.3'));
    for (const host of [h2, h1]) await restartWith(host, later);
    await until('new2 reaches new1', () => pings(h2, 'new2', '10.0.1.2'));
    await skein(h1, 'rm', '-f', 'test1', 'new1');
    await skein(h2, 'rm', '-f', 'test2', 'new2');
    await skein(h1, 'network', 'rm', 'demo', 'new');
    assert.equal(await skein(h2, 'network', 'ls', '-q', '--filter', 'driver=overlay'), '');
  });
});
