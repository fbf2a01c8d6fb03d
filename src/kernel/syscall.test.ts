import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, mkdtempSync, readSync, rmdirSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { openSyscalls } from './syscall.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const O_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const MSG_DONTWAIT = 0x40;
const CLONE_NEWNS = 0x20000;
const CLONE_NEWNET = 0x40000000;
const MS_REC = 0x4000;
const MS_PRIVATE = 0x40000;
const POLLIN = 1;
const POLLNVAL = 0x20;
const SIGTERM = 15;

const sys = openSyscalls();

function canUnshare(): boolean {
  try {
    sys.unshare(CLONE_NEWNET);
    return true;
  } catch {
    return false;
  }
}

test('a call that fails throws what it tried, on what, and the errno', () => {
  const failures: readonly (readonly [call: () => unknown, message: string])[] = [
    [() => sys.socket(9999, 1, 0), 'open a socket: Address family not supported by protocol (EAFNOSUPPORT)'],
    [() => sys.open('/nowhere/at/all', 0), 'open /nowhere/at/all: No such file or directory (ENOENT)'],
    [() => sys.close(9999), 'close descriptor 9999: Bad file descriptor (EBADF)'],
    [() => sys.setns(9999, 0), 'enter a namespace: Bad file descriptor (EBADF)'],
    [() => sys.umount2('/nowhere', 0), 'unmount /nowhere: No such file or directory (ENOENT)'],
    [() => sys.pidfd_open(2 ** 22 + 1, 0), 'open process 4194305: No such process (ESRCH)'],
    [() => sys.send(9999, new Uint8Array(1), 0), 'send to a socket: Bad file descriptor (EBADF)'],
  ];
  for (const [call, message] of failures) assert.throws(call, { name: 'KernelError', message });
});

test('what is sent is received, and nothing is undefined', () => {
  const fd = sys.socket(AF_UNIX, SOCK_DGRAM, 0);
  // An abstract address of the kernel's choice, sent to by the socket itself.
  sys.bind(fd, Uint8Array.of(AF_UNIX, 0));
  const address = new Uint8Array(110);
  const length = sys.getsockname(fd, address);
  assert.equal(length, 8);
  const into = new Uint8Array(8);
  assert.equal(sys.recvfrom(fd, into, MSG_DONTWAIT, new Uint8Array(110)), undefined);
  assert.throws(() => sys.send(fd, Uint8Array.of(1, 2, 3), 0), { code: 'ENOTCONN' });
  sys.close(fd);
  assert.throws(() => fstatSync(fd), { code: 'EBADF' });
});

test('poll tells which descriptors can be read, at once or after the time', () => {
  const full = sys.eventfd(1, EFD_NONBLOCK);
  const empty = sys.eventfd(0, EFD_NONBLOCK);
  assert.deepEqual(sys.poll([empty, full], -1), [0, POLLIN]);
  assert.deepEqual(sys.poll([empty], 1), [0]);
  assert.deepEqual(sys.poll([9999], -1), [POLLNVAL]);
  assert.deepEqual(sys.poll([], 0), []);
  readSync(full, new Uint8Array(8));
  writeSync(empty, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  assert.deepEqual(sys.poll([empty, full], 0), [POLLIN, 0]);
  sys.close(full);
  sys.close(empty);
});

test('an event counter wakes a thread that polls', async () => {
  const fd = sys.eventfd(0, EFD_NONBLOCK);
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { openSyscalls } = await import(workerData.module);
    parentPort.postMessage('polling');
    parentPort.postMessage(openSyscalls().poll([workerData.fd], -1));`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
    workerData: { fd, module: new URL('syscall.ts', import.meta.url).href },
  });
  const messages: unknown[] = [];
  worker.on('message', (message) => {
    messages.push(message);
    if (message === 'polling') writeSync(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  });
  await once(worker, 'exit');
  assert.deepEqual(messages, ['polling', [POLLIN]]);
  sys.close(fd);
});

test('a process is held and signalled by its descriptor', async () => {
  const child = spawn('sleep', ['60']);
  const exited = once(child, 'exit');
  const pidfd = sys.pidfd_open(child.pid ?? 0, 0);
  assert.deepEqual(sys.poll([pidfd], 0), [0]);
  sys.pidfd_send_signal(pidfd, SIGTERM);
  assert.deepEqual(sys.poll([pidfd], 10_000), [POLLIN]);
  assert.deepEqual(await exited, [null, 'SIGTERM']);
  assert.throws(() => sys.pidfd_send_signal(pidfd, SIGTERM), { code: 'ESRCH' });
  sys.close(pidfd);
});

test('a thread goes into a namespace and back', (t) => {
  const path = '/proc/thread-self/ns/net';
  const before = sys.open(path, O_CLOEXEC);
  const { ino } = statSync(path);
  if (!canUnshare()) return t.skip('making network namespaces needs root');
  assert.notEqual(statSync(path).ino, ino);
  sys.setns(before, CLONE_NEWNET);
  assert.equal(statSync(path).ino, ino);
  assert.equal(fstatSync(before).ino, ino);
  sys.close(before);
});

test('file systems are mounted and unmounted', (t) => {
  if (!canUnshare()) return t.skip('mounting needs root');
  const folder = mkdtempSync(join(tmpdir(), 'mount-'));
  const { dev } = statSync(folder);
  sys.unshare(CLONE_NEWNS);
  sys.mount('none', '/', '', MS_REC | MS_PRIVATE);
  sys.mount('none', folder, 'tmpfs', 0, 'size=64k,mode=700');
  assert.notEqual(statSync(folder).dev, dev);
  sys.umount2(folder, 0);
  assert.equal(statSync(folder).dev, dev);
  rmdirSync(folder);
});

test('nftables rules are set and listed as JSON, and mistakes are told', (t) => {
  if (!canUnshare()) return t.skip('nftables needs root');
  const nft = sys.openNft();
  assert.equal(nft.run('add table inet skein').code, 0);
  const { code, output } = nft.run(JSON.stringify({ nftables: [{ list: { tables: {} } }] }));
  assert.equal(code, 0);
  assert.partialDeepStrictEqual(JSON.parse(output).nftables[1].table, { family: 'inet', name: 'skein' });
  const wrong = nft.run('add chain inet nowhere nothing');
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.error, /No such file or directory/);
  // What one command said is not said again by the next.
  assert.equal(nft.run('add table inet other').error, '');
  nft.close();
  nft.close();
  assert.throws(() => nft.run('list ruleset'), { code: 'EBADF' });
  return undefined;
});

test('an nftables context is of the namespace that it was opened in', (t) => {
  if (!canUnshare()) return t.skip('nftables needs root');
  const first = sys.openNft();
  first.run('add table inet first');
  sys.unshare(CLONE_NEWNET);
  const second = sys.openNft();
  assert.match(first.run('list ruleset').output, /first/);
  assert.doesNotMatch(second.run('list ruleset').output, /first/);
  first.close();
  second.close();
  return undefined;
});
