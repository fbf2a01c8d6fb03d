import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { attempt } from '../../src/lab/run.ts';
import { idle, skein, testInLab, until } from './testbed.ts';

const folder = join(import.meta.dirname, '../../systemd');
const service = readFileSync(join(folder, 'skein.service'), 'utf8');
const values = (key: string) =>
  [...service.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].flatMap(([, text = '']) => text.split(' '));

test('the unit leaves containers alone, and comes after firewalls and before Docker', () => {
  assert.deepEqual(values('KillMode'), ['process']);
  assert.deepEqual(values('OOMPolicy'), ['continue']);
  assert.deepEqual(values('Delegate'), ['yes']);
  assert.deepEqual(values('Type'), ['notify']);
  for (const unit of ['firewalld.service', 'nftables.service', 'ufw.service'])
    assert.ok(values('After').includes(unit));
  assert.deepEqual(values('Before'), ['docker.service']);
});

test('nothing in the unit gives the daemon mounts or a network of its own, see systemd.exec(5)', () => {
  const keys = [...service.matchAll(/^([A-Z]\w*)=/gm)].map(([, key = '']) => key);
  const apart =
    /^(Private|Protect|ReadOnly|ReadWrite|NoExec|Exec(Paths|SearchPath)|Inaccessible|Temporary|Bind|Mount|Root|Network|IPC|DynamicUser|User|Runtime|State|Cache|Logs|Configuration|Restrict|SystemCall|Capability|Memory|NoNew)/;
  assert.deepEqual(
    keys.filter((key) => apart.test(key)),
    [],
  );
});

test('systemd takes the units', async (t) => {
  const units = ['skein.service', 'skein.socket'].map((name) => join(folder, name));
  const verified = await attempt(['systemd-analyze', 'verify', '--man=no', ...units]).catch(() => undefined);
  if (verified === undefined || verified.code === 127) return t.skip('systemd-analyze is not on this machine');
  assert.deepEqual(verified, { code: 0, stdout: '', stderr: '' });
});

/** Stands for systemd: opens the socket, hands it over at the first call, and writes down what it is told. */
const activator = `
use strict; use IO::Socket::UNIX; use Socket; use Fcntl;
mkdir '/run/skein';
my $told = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => '/run/notify') or die $!;
my $api = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => '/run/skein/skein.sock', Listen => 16) or die $!;
fcntl($told, F_SETFD, FD_CLOEXEC); $| = 1;
open(my $log, '>>', '/run/told'); $log->autoflush(1);
for (;;) {
  my $r = ''; vec($r, fileno($api), 1) = 1; select($r, undef, undef, undef);
  my $pid = fork();
  if ($pid == 0) {
    POSIX::dup2(fileno($api), 3); fcntl(STDIN, F_SETFD, 0);
    $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_PID} = $$; $ENV{NOTIFY_SOCKET} = '/run/notify';
    open(STDERR, '>>', '/run/daemon.log');
    exec 'skein', 'launch', '-H', 'fd://';
  }
  for my $n (1, 2) { $told->recv(my $text, 100); print $log "$text\\n"; }
  waitpid($pid, 0); print $log "ended with $?\\n";
}`;

testInLab('the daemon is started by the first who calls', { hosts: 1, daemons: false }, (step) => {
  step('its socket is one that it was handed, and stays when it ends', async (lab, t) => {
    const h1 = lab.host('h1');
    if ((await h1.attempt(['perl', '-MIO::Socket::UNIX', '-e', '1'])).code !== 0) return t.skip('needs perl');
    h1.spawn(['perl', '-MPOSIX', '-e', activator], { stdio: 'ignore', detached: true }).unref();
    await until('it listens', async () => (await h1.attempt(['test', '-S', '/run/skein/skein.sock'])).code === 0);
    const told = async () => (await h1.exec(['cat', '/run/told'])).stdout;
    const inode = async () => (await h1.exec(['stat', '-c', '%i %a', '/run/skein/skein.sock'])).stdout;
    const before = (await inode()).split(' ')[0];
    assert.equal(await skein(h1, 'host', 'ls', '--format', '{{.Name}}'), 'h1');
    await idle(h1, 'test1');
    assert.equal(await told(), 'READY=1\n');
    await skein(h1, 'stop');
    await until('it has ended', async () => (await told()) === 'READY=1\nSTOPPING=1\nended with 0\n');
    assert.equal(await inode(), `${before} 660\n`);
    assert.equal(await skein(h1, 'ps', '--format', '{{.Names}}'), 'test1');
    assert.match(
      (await h1.attempt(['skein', 'launch', '--state-dir', '/var/lib/other'])).stderr,
      /another daemon \(pid \d+\)/,
    );
    await skein(h1, 'rm', '-f', 'test1');
  });
});
