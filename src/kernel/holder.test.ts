import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { openHolder } from './holder.ts';
import { isKernelError } from './kernel-error.ts';
import { builtProgram, sanitizedProgram } from './programs.testing.ts';
import { openSyscalls } from './syscall.ts';

const run = promisify(execFile);
const sys = openSyscalls();
/** How long a holder waits for its first connection, in milliseconds. */
const patience = 5_000;
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;

/** A holder at a path of its own, and its pid. */
async function start(t: TestContext, program: string): Promise<{ readonly path: string; readonly pid: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'skein-holder-'));
  const path = join(directory, 'holder.sock');
  await run(program, [path]);
  const pid = pidOf(path);
  t.after(async () => {
    try {
      process.kill(pid, 'SIGTERM');
    } catch {
      // It has ended by itself.
    }
    await gone(pid);
    rmSync(directory, { recursive: true });
  });
  return { path, pid };
}

/** Whose command line ends with the path. */
function pidOf(path: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').endsWith(`skein-holder\0${path}\0`)) return Number(pid);
    } catch {
      // A process that has ended meanwhile.
    }
  }
  return assert.fail(`no holder at ${path}`);
}

/** Whoever inherits it may leave it a zombie for a while. */
function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return true;
  }
}

const gone = (pid: number) => until(() => isGone(pid));

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 3 * patience; !holds(); await sleep(20)) {
    assert.ok(Date.now() < deadline, `it does not come true within ${3 * patience} ms`);
  }
}

function connect(path: string) {
  return openHolder(sys, path) ?? assert.fail('no holder answers');
}

const inode = (fd: number) => fstatSync(fd).ino;

function suite(kind: string, program: string): void {
  test(`${kind}: what was given is got back by name after who gave it is gone`, async (t) => {
    const { path, pid } = await start(t, program);
    const files = ['/dev/null', '/dev/zero'].map((file) => openSync(file, 'r'));
    const first = connect(path);
    for (const [i, fd] of files.entries()) first.keep(`file ${i}`, fd);
    const inodes = files.map(inode);
    for (const fd of files) closeSync(fd);
    first.close();
    await sleep(100);
    assert.ok(!isGone(pid));

    const second = connect(path);
    const listed = second.list();
    assert.deepEqual([...listed.keys()], ['file 0', 'file 1']);
    assert.deepEqual([...listed.values()].map(inode), inodes);
    for (const fd of listed.values()) closeSync(fd);
    second.drop('file 0');
    second.drop('file 0');
    const left = second.list();
    assert.deepEqual([...left.keys()], ['file 1']);
    for (const fd of left.values()) closeSync(fd);
    second.close();
  });

  test(`${kind}: a name is given anew, and hundreds of names are kept`, async (t) => {
    const { path, pid } = await start(t, program);
    const holder = connect(path);
    t.after(() => holder.close());
    const [one, other] = [openSync('/dev/null', 'r'), openSync('/dev/zero', 'r')];
    for (let i = 0; i < 300; i++) holder.keep(`name ${i}`, one);
    const before = descriptorsOf(pid);
    holder.keep('name 7', other);
    assert.equal(descriptorsOf(pid), before);
    const listed = holder.list();
    assert.equal(listed.size, 300);
    assert.equal(inode(listed.get('name 7') ?? -1), inode(other));
    assert.equal(inode(listed.get('name 8') ?? -1), inode(one));
    for (const fd of [one, other, ...listed.values()]) closeSync(fd);
  });

  test(`${kind}: names that are empty or too long and messages without sense are refused, and nothing of them stays`, async (t) => {
    const { path, pid } = await start(t, program);
    const holder = connect(path);
    t.after(() => holder.close());
    const fd = openSync('/dev/null', 'r');
    t.after(() => closeSync(fd));
    // It answers: the connection counts among its descriptors.
    assert.equal(holder.list().size, 0);
    const before = descriptorsOf(pid);
    assert.throws(() => holder.keep('', fd), { code: 'EINVAL' });
    assert.throws(() => holder.keep('x'.repeat(129), fd), { code: 'EINVAL' });
    holder.keep('x'.repeat(128), fd);
    holder.drop('x'.repeat(128));
    const socket = sys.socket(AF_UNIX, SOCK_SEQPACKET, 0);
    sys.connect(socket, Buffer.concat([Uint8Array.of(AF_UNIX, 0), Buffer.from(`${path}\0`)]));
    const into = Buffer.alloc(200);
    for (const bytes of ['k', 'kname', 'g', 'g12345', '?', 'x'.repeat(5000)]) {
      sys.sendmsg(socket, Buffer.from(bytes), bytes === '?' ? fd : undefined);
      const answer = sys.recvmsg(socket, into);
      assert.deepEqual([answer?.length, into[0]], [5, 'e'.charCodeAt(0)], bytes);
    }
    sys.close(socket);
    assert.equal(holder.list().size, 0);
    await until(() => descriptorsOf(pid) === before);
  });

  test(`${kind}: it ends when it keeps nothing and the last connection closes`, async (t) => {
    const { path, pid } = await start(t, program);
    const [one, other] = [connect(path), connect(path)];
    const fd = openSync('/dev/null', 'r');
    one.keep('file', fd);
    closeSync(fd);
    one.close();
    assert.equal(other.isGone(), false);
    other.drop('file');
    assert.equal(other.isGone(), false);
    other.close();
    await gone(pid);
    assert.equal(openHolder(sys, path), undefined);
  });

  test(`${kind}: who is connected sees that it is gone`, async (t) => {
    const { path, pid } = await start(t, program);
    const holder = connect(path);
    t.after(() => holder.close());
    assert.equal(holder.isGone(), false);
    process.kill(pid, 'SIGKILL');
    await gone(pid);
    assert.equal(holder.isGone(), true);
    assert.throws(
      () => holder.list(),
      (error) => isKernelError(error, 'EPIPE', 'ECONNRESET'),
    );
  });

  test(`${kind}: one that hangs is waited for half a second, once`, async (t) => {
    const { path, pid } = await start(t, program);
    const holder = connect(path);
    t.after(() => holder.close());
    process.kill(pid, 'SIGSTOP');
    const took = (what: () => void) => {
      const began = performance.now();
      assert.throws(what, { code: 'ETIMEDOUT' });
      return performance.now() - began;
    };
    const [first, second] = [took(() => holder.list()), took(() => holder.drop('name'))];
    process.kill(pid, 'SIGCONT');
    assert.ok(first >= 400 && first < 1500, `${first} ms`);
    assert.ok(second < 100, `${second} ms`);
  });

  test(`${kind}: it has no capability, and ends when nobody connects`, async (t) => {
    const { path, pid } = await start(t, program);
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^CapEff:\t0+$/m);
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^CapPrm:\t0+$/m);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await gone(pid);
    assert.equal(openHolder(sys, path), undefined);
  });

  test(`${kind}: a second one at its place is refused`, async (t) => {
    const { path } = await start(t, program);
    const holder = connect(path);
    t.after(() => holder.close());
    await assert.rejects(run(program, [path]), /EADDRINUSE|Address already in use/);
    assert.equal(holder.list().size, 0);
  });
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

const sanitized = mkdtempSync(join(tmpdir(), 'skein-sanitized-'));
after(() => rmSync(sanitized, { recursive: true }));
suite('as it is shipped', await builtProgram('holder'));
suite('with sanitizers', await sanitizedProgram('holder', sanitized));
