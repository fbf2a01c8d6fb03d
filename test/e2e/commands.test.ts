import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { closeLab } from '../../src/lab/lab.ts';
import { attempt, run } from '../../src/lab/run.ts';
import { skip } from './testbed.ts';

const launcher = join(import.meta.dirname, '../../skein');
const name = `e2e-${process.pid}`;

test('skein lab: up, ls, exec, down', { skip }, async (t) => {
  t.after(() => closeLab(name));
  const lab = (verb: string, ...words: readonly string[]) => attempt([launcher, 'lab', verb, '--name', name, ...words]);
  const up = await lab('up', '--hosts', '1', '--store', 'local:');
  assert.equal(up.code, 0, up.stderr);
  assert.match(up.stdout, new RegExp(`^lab ${name}: h1 192\\.168\\.205\\.10; store local:\n`));
  assert.match((await run([launcher, 'lab', 'ls'])).stdout, new RegExp(`^${name} +1 +1 +IPv4 +1500 +up +local:$`, 'm'));

  const again = await lab('up');
  assert.deepEqual(
    { code: again.code, stderr: again.stderr },
    {
      code: 1,
      stderr: `skein: a lab named ${name} is up on this machine; end it, if it is yours, with: ./skein lab down --name ${name}; or call this one otherwise with --name\n`,
    },
  );

  assert.deepEqual(await lab('exec', 'h1', '--', 'sh', '-c', 'hostname; echo no >&2; exit 7'), {
    code: 7,
    stdout: 'h1\n',
    stderr: 'no\n',
  });
  assert.match((await lab('exec', 'h1', '--', 'skein', 'host', 'ls')).stdout, /^[0-9a-f]{12} \* +h1 .* alive /m);
  assert.equal((await lab('exec', 'h1', 'sh', '-c', 'kill -9 $$')).code, 137);
  assert.match((await lab('exec', 'h2', 'true')).stderr, /has no host h2, only h1\n$/);
  // A daemon that was killed is started by hand, as on any host.
  const restart = 'kill -9 $(cat /run/skein/skein.pid); skein launch --detach';
  assert.equal((await lab('exec', 'h1', '--', 'sh', '-c', restart)).code, 0);

  assert.deepEqual(await lab('down'), { code: 0, stdout: '', stderr: '' });
  assert.equal((await lab('down')).code, 1);
  assert.ok(!existsSync(`/run/skein-lab/${name}`));
});

test('skein demo --keep leaves its lab, and skein lab down ends it', { skip }, async (t) => {
  t.after(() => closeLab(name));
  const { code, stdout, stderr } = await attempt([launcher, 'demo', '--keep', '--name', name]);
  assert.equal(code, 0, stderr);
  assert.ok(!stdout.includes('\u001b'), 'colours are for terminals');
  assert.match(stdout, new RegExp(`End it with: +\\./skein lab down --name ${name}\n$`));
  assert.equal((await run([launcher, '-H', `${name}/h2`, 'network', 'ls', '-q'])).stdout.length, 13);
  await run([launcher, 'lab', 'down', '--name', name]);
  assert.ok(!existsSync(`/run/skein-lab/${name}`));
});

for (const [moment, shown] of [
  ['while its hosts start', 'starting'],
  ['at its first command', '\nh1#'],
] as const) {
  test(`a demo that is interrupted ${moment}, and again and again, leaves nothing and fails`, { skip }, async () => {
    // A process group of its own, as a shell gives it; Ctrl-C reaches all of the group.
    const demo = spawn(launcher, ['demo', '--name', name], { detached: true });
    let [stdout, stderr] = ['', ''];
    demo.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    await new Promise<void>((resolve, reject) => {
      demo.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        if (stdout.includes(shown)) resolve();
      });
      demo.once('error', reject);
      demo.once('close', () => reject(new Error(`it ended before it was interrupted: ${stderr}`)));
    });
    const impatient = setInterval(() => demo.pid && process.kill(-demo.pid, 'SIGINT'), 5);
    const code = await new Promise((resolve) => {
      demo.once('exit', () => clearInterval(impatient));
      demo.once('close', resolve);
    });
    // Node gives up its handlers at its very end: then it is the signal's own code.
    assert.notEqual(code, 0);
    assert.equal(stderr, 'skein: interrupted\n');
    assert.ok(!existsSync(`/run/skein-lab/${name}`));
  });
}
