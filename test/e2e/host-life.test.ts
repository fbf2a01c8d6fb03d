import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type { Lab, LabHost } from '../../src/lab/lab.ts';
import { idle, namespaces, pings, skein, testInLab, until } from './testbed.ts';

const libfaketime = ['x86_64', 'aarch64']
  .map((arch) => `/usr/lib/${arch}-linux-gnu/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path));

/** A container on the network. */
function tryToRun(host: LabHost, name: string): ReturnType<LabHost['attempt']> {
  return host.attempt(['skein', 'run', '-d', '--name', name, '--network', 'demo', '--', 'sleep', '99']);
}

testInLab('hosts that have a hard life', { daemons: false }, (step) => {
  step('a full disk refuses what is new, leaves nothing of it, and is over when there is room', async (lab, t) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const disk = `truncate -s 16m /disk.img && mkfs.ext4 -q -m 0 -O ^has_journal /disk.img &&
      mount -o loop,errors=remount-ro /disk.img /var/lib/skein`.replaceAll('/disk.img', '/run/disk.img');
    if ((await h1.attempt(['sh', '-euc', disk])).code !== 0) return t.skip('needs a loop device and mkfs.ext4');
    await Promise.all([h1.daemon.start(), h2.daemon.start()]);
    await skein(h1, 'network', 'create', 'demo');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    await until('they reach each other', () => pings(h1, 'test1', '10.0.0.3'));
    const before = await namespaces(h1);
    await h1.attempt(['dd', 'if=/dev/zero', 'of=/var/lib/skein/fill', 'bs=4k']);
    const refused = await tryToRun(h1, 'test3');
    assert.equal(refused.code, 125);
    assert.match(refused.stderr, /^skein: .*(disk is full|no space left|ENOSPC).*\n$/i);
    assert.ok(await pings(h2, 'test2', '10.0.0.2'));
    assert.equal(await skein(h1, 'ps', '-a', '--format', '{{.Names}}'), 'test1');
    assert.deepEqual(await namespaces(h1), before);
    await h1.exec(['rm', '/var/lib/skein/fill']);
    await until('there is room again', async () => {
      const tried = await tryToRun(h1, 'test3');
      return tried.code === 0;
    });
    assert.ok(await pings(h1, 'test3', '10.0.0.3'));
    await skein(h1, 'rm', '-f', 'test3');
    await until('nothing is left of both', async () => (await namespaces(h1)).length === before.length, 15_000);
  });

  step('a disk that becomes read-only refuses what is new; containers do not mind', async (lab, t) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    if ((await h1.attempt(['mountpoint', '-q', '/var/lib/skein'])).code !== 0) return t.skip('needs a disk of its own');
    await h1.exec(['sh', '-euc', 'sync -f /var/lib/skein; mount -o remount,abort /var/lib/skein']);
    const refused = await tryToRun(h1, 'test4');
    assert.equal(refused.code, 125);
    assert.match(refused.stderr, /^skein: .*(I\/O error|EROFS|EIO|readonly|read-only).*\n$/i);
    assert.equal(await skein(h1, 'ps', '-a', '--format', '{{.Names}}'), 'test1');
    await h1.daemon.kill('SIGKILL');
    const started = await h1.attempt(['skein', 'launch', '--detach']);
    assert.equal(started.code, 1);
    assert.match(started.stderr, /^skein: cannot write the log \/var\/lib\/skein\/daemon\.log: .*\n$/);
    const direct = await h1.attempt(['skein', 'launch', '--log-format', 'text']);
    assert.match(direct.stderr, /journal\.db .*see that the folder exists, is writable and has space/);
    assert.ok(await pings(h2, 'test2', '10.0.0.2'));
    await h1.exec([
      'sh',
      '-euc',
      'cp /run/disk.img /run/mended.img; umount -l /var/lib/skein; mount -o loop /run/mended.img /var/lib/skein',
    ]);
    await h1.daemon.start();
    assert.equal(await skein(h1, 'ps', '--format', '{{.Names}}'), 'test1');
    assert.ok(await pings(h1, 'test1', '10.0.0.3'));
  });

  step('a daemon paused for longer than its session is lost and comes back; traffic goes on', async (lab, t) => {
    const [h1, h2] = await started(lab);
    const train = h1.exec(['skein', 'exec', 'test1', 'ping', '-q', '-i', '0.01', '-c', '1900', '-W', '2', '10.0.0.3']);
    const pid = (await h2.exec(['cat', '/run/skein/skein.pid'])).stdout.trim();
    await h2.exec(['kill', '-STOP', pid]);
    const took = await until('it is lost', async () => (await stateOf(h1, 'h2')) === 'lost', 30_000);
    await h2.exec(['kill', '-CONT', pid]);
    const back = await until('it is back', async () => (await stateOf(h1, 'h2')) === 'alive', 20_000);
    t.diagnostic(`lost after ${took} ms, back ${back} ms after it went on`);
    assert.match((await train).stdout, /1900 packets transmitted, 1900 received, 0% packet loss/);
    await idle(h2, 'test5', '--network', 'demo');
    assert.ok(await pings(h2, 'test5', '10.0.0.2'));
    await skein(h2, 'rm', '-f', 'test5');
  });

  step('of two hosts from one copied disk the second is refused, and may begin anew', async (lab) => {
    const [h1, h2] = await started(lab);
    await skein(h2, 'rm', '-f', 'test2');
    await h2.daemon.kill('SIGTERM');
    await h2.exec(['sh', '-euc', 'mkdir /var/lib/own; mv /var/lib/skein/* /var/lib/own/']);
    const copy = 'tar -C /var/lib/skein -cf - journal.db journal.db-wal';
    const { stdout } = await h1.exec(['sh', '-euc', `${copy} 2>/dev/null | base64 -w0`]);
    await h2.exec(['sh', '-euc', 'base64 -d | tar -C /var/lib/skein -xf -'], { input: stdout });
    const { code, stderr } = await h2.attempt(['skein', 'launch', '--detach']);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^skein: the host id [0-9a-f]{32} is alive elsewhere since .*: one identity cannot run twice; .*remove the copied state directory/,
    );
    assert.equal(await skein(h1, 'ps', '--format', '{{.Names}}'), 'test1');
    assert.match(await skein(h2, 'reset'), /left the store as it is: host [0-9a-f]{12} is alive elsewhere/);
    assert.match(await skein(h1, 'network', 'inspect', '--format', '{{json .Containers}}', 'demo'), /"test1"/);
    await h2.exec(['sh', '-euc', 'mkdir -p /var/lib/skein; mv /var/lib/own/* /var/lib/skein/']);
    await h2.daemon.start();
    await idle(h2, 'test2', '--network', 'demo', '--ip', '10.0.0.3');
    await until('it is reached', () => pings(h1, 'test1', '10.0.0.3'));
  });

  step('another advertised address is followed by all, the identity stays', async (lab) => {
    const [h1, h2] = await started(lab);
    const id = await skein(h2, 'host', 'ls', '--no-trunc', '-f', 'name=h2', '--format', '{{.ID}}');
    await h2.exec(['ip', 'addr', 'add', '192.168.205.77/24', 'dev', 'eth0']);
    await h2.daemon.kill('SIGTERM');
    await h2.exec(['skein', 'launch', '--detach', '--cluster-advertise', '192.168.205.77:2376']);
    await until('h1 knows', async () =>
      (await skein(h1, 'host', 'ls', '--no-trunc', '--format', '{{.ID}} {{.Address}} {{.State}}')).includes(
        `${id} 192.168.205.77:2376 alive`,
      ),
    );
    await until('it is reached there', () => pings(h1, 'test1', '10.0.0.3'));
    const fdb = `for n in /run/skein/netns/*-*; do nsenter --net=$n bridge fdb show dev vxlan0; done`;
    const { stdout } = await h1.exec(['sh', '-c', fdb]);
    assert.match(stdout, / dst 192\.168\.205\.77 /);
    assert.doesNotMatch(stdout, / dst 192\.168\.205\.11 /);
    await h2.exec(['ip', 'link', 'set', 'eth0', 'down']);
    assert.equal(await pings(h1, 'test1', '10.0.0.3'), false);
    await h2.exec(['ip', 'link', 'set', 'eth0', 'up']);
    await h2.exec(['ip', 'route', 'replace', 'default', 'via', '192.168.205.1']);
    await until('the link is back', () => pings(h1, 'test1', '10.0.0.3'));
    assert.equal((await skein(h1, 'host', 'ls', '-q')).split('\n').length, 2);
  });

  step('a clock that jumps by a year, and back, does nothing', async (lab, t) => {
    if (libfaketime === undefined) return t.skip('needs libfaketime');
    const [h1, h2] = await started(lab);
    await h2.daemon.kill('SIGTERM');
    const faked = `LD_PRELOAD=${libfaketime} FAKETIME_TIMESTAMP_FILE=/run/faketime FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1`;
    await h2.exec(['sh', '-euc', `echo +0 >/run/faketime; ${faked} skein launch --detach`]);
    for (const jump of ['+365d', '-365d', '+0']) {
      await h2.exec(['sh', '-c', `echo ${jump} >/run/faketime`]);
      await idle(h2, 'test6', '--network', 'demo');
      const made = Date.parse(await skein(h2, 'inspect', '-f', '{{.Created}}', 'test6'));
      const far = Math.abs(made - Date.now()) > 300 * 24 * 3_600_000;
      assert.equal(far, jump !== '+0', 'the daemon has the other year');
      const address = await skein(h2, 'inspect', '-f', '{{.NetworkSettings.Networks.demo.IPAddress}}', 'test6');
      await until(`reached after ${jump}`, () => pings(h1, 'test1', address));
      assert.equal(await stateOf(h1, 'h2'), 'alive');
      assert.equal(await stateOf(h2, 'h1'), 'alive');
      await skein(h2, 'rm', '-f', 'test6');
    }
    const log = (await h2.exec(['cat', '/var/lib/skein/daemon.log'])).stdout;
    assert.doesNotMatch(log.slice(log.lastIndexOf('"msg":"ready"')), /session lost|host lost|presence failed/);
  });
});

/** Both with what the tests stand on, whatever of it an earlier one has left. */
async function started(lab: Lab): Promise<readonly [LabHost, LabHost]> {
  const [h1, h2] = [lab.host('h1'), lab.host('h2')];
  for (const host of [h1, h2]) {
    if ((await host.attempt(['skein', 'status'])).code !== 0) await host.daemon.start();
  }
  if ((await h1.attempt(['skein', 'network', 'inspect', 'demo'])).code !== 0)
    await skein(h1, 'network', 'create', 'demo');
  if ((await h1.attempt(['skein', 'inspect', 'test1'])).code !== 0) await idle(h1, 'test1', '--network', 'demo');
  if ((await h2.attempt(['skein', 'inspect', 'test2'])).code !== 0)
    await idle(h2, 'test2', '--network', 'demo', '--ip', '10.0.0.3');
  return [h1, h2];
}

function stateOf(host: LabHost, name: string): Promise<string> {
  return skein(host, 'host', 'ls', '-f', `name=${name}`, '--format', '{{.State}}');
}
