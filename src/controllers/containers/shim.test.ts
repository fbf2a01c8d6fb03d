import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, mkdir, readlink, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { builtProgram, sanitizedProgram } from '../../kernel/programs.testing.ts';
import { Refusal } from '../../lib/errors.ts';
import { CommandFailed } from './containers.ts';
import {
  makeRootfs,
  missing,
  openRig,
  outputOf,
  processesWith,
  type Rig,
  supervisorOf,
  until,
  writeEtc,
} from './harness.testing.ts';
import { openInput } from './input.ts';
import { ShimError, type ShimPlace } from './shim.ts';
import { formatShimSpec } from './shim-spec.ts';
import { type End, Supervisor, startSupervisor } from './supervisor.ts';

const run = promisify(execFile);
/** Holds a write lease on a file (F_SETLEASE, F_WRLCK) until its input ends; says when it has it, and when it is asked for. */
const lease =
  '$| = 1; $SIG{IO} = sub { print "wanted\\n" }; open F, "<", shift; fcntl F, 1024, 1 or die $!; print "held\\n"; <STDIN>';

function shimSuite(kind: string, shimIn: (directory: string) => Promise<string>): void {
  describe(`the supervisor, ${kind}`, { skip: missing ?? false }, () => {
    let rig: Rig;
    before(async () => {
      rig = await openRig(shimIn);
    });
    after(() => rig.close());

    const exits: readonly [string, string, number][] = [
      ['ends well', 'true', 0],
      ['ends with a code', 'exit 3', 3],
      ['is not found by its own shell', 'nope', 127],
      ['lets a signal through that it traps', 'trap "exit 9" TERM; kill -TERM $$; exit 1', 9],
    ];
    for (const [index, [what, script, code]] of exits.entries()) {
      test(`a command that ${what} leaves ${code}`, async () => {
        const { exitCode, started, finished, lost } = await (await rig.start(`exit${index}`, script)).end;
        assert.equal(exitCode, code);
        assert.equal(lost, 0);
        assert.ok(started <= finished && Math.abs(finished - Date.now()) < 60_000);
      });
    }

    test('a killed command leaves 128 and the signal', async () => {
      const supervisor = await rig.start('killed', 'sleep 1000');
      assert.equal(await supervisor.ask({ kind: 'signal', signal: 9 }), 0);
      assert.equal((await supervisor.end).exitCode, 137);
      assert.equal(await supervisor.ask({ kind: 'signal', signal: 9 }), 3);
    });

    const failures: readonly [string, readonly string[], number, string][] = [
      ['noname', ['nope'], 127, 'exec: "nope": executable file not found in $PATH'],
      ['nopath', ['/nope'], 127, 'exec: "/nope": stat /nope: no such file or directory'],
      ['plain', ['/etc/passwd'], 126, 'exec: "/etc/passwd": permission denied'],
      ['folder', ['/etc'], 126, 'exec: "/etc": is a directory'],
      ['empty', [''], 127, 'exec: "": executable file not found in $PATH'],
    ];
    for (const [name, command, exitCode, message] of failures) {
      test(`${JSON.stringify(command[0])} cannot be executed: ${exitCode}, and nothing is left running`, async () => {
        const failure = await rig.start(name, '', { command }).catch((error: unknown) => error);
        assert.ok(failure instanceof CommandFailed);
        assert.deepEqual([failure.exitCode, failure.message], [exitCode, message]);
        assert.equal(existsSync(rig.place(name).control), false);
        assert.equal(existsSync(join(rig.place(name).directory, 'exit')), false);
        assert.equal((await endOf(rig.place(name))).recorded, false);
      });
    }

    test('it is in namespaces of its own, the given network among them, and is process 1', async () => {
      const kinds = ['mnt', 'uts', 'ipc', 'pid', 'net', 'user'];
      const script = `echo $$; for n in ${kinds.join(' ')}; do readlink /proc/self/ns/$n; done`;
      const { stdout } = await outputOf(await rig.start('namespaces', script));
      const [pid, ...inside] = stdout.trim().split('\n');
      const outside = await Promise.all(kinds.map((name) => readlink(`/proc/self/ns/${name}`)));
      assert.equal(pid, '1');
      assert.deepEqual(
        kinds.filter((_, i) => inside[i] === outside[i]),
        ['user'],
      );
      assert.equal(inside[4], `net:[${(await stat(rig.netns)).ino}]`);
    });

    test('the names of the host’s sandboxes are hidden from it', async () => {
      const script = 'ls -A /run/netns; touch /run/netns/mine || echo read-only';
      const { stdout } = await outputOf(await rig.start('hidden', script));
      assert.equal(stdout, 'read-only\n');
      assert.ok((await stat(rig.netns)).ino > 0);
    });

    test("it has Docker's default capabilities exactly, no signal blocked or ignored, and three descriptors", async () => {
      const script = 'grep -E "^(Cap|Sig[PBI]|NoNew)" /proc/self/status; umask; pwd; ls /proc/self/fd; env | sort';
      const { stdout } = await outputOf(await rig.start('bare', script, { env: ['PATH=/usr/bin:/bin', 'A=b c'] }));
      const lines = stdout
        .replaceAll('\t', ' ')
        .trim()
        .split('\n')
        .filter((line) => !/^(SigQ|PWD|OLDPWD|SHLVL|_)[:=]/.test(line));
      const none = '0000000000000000';
      const docker = '00000000a80425fb';
      assert.deepEqual(lines, [
        `SigPnd: ${none}`,
        `SigBlk: ${none}`,
        `SigIgn: ${none}`,
        `CapInh: ${none}`,
        `CapPrm: ${docker}`,
        `CapEff: ${docker}`,
        `CapBnd: ${docker}`,
        `CapAmb: ${none}`,
        'NoNewPrivs: 0',
        '0022',
        '/',
        '0',
        '1',
        '2',
        '3',
        'A=b c',
        'PATH=/usr/bin:/bin',
      ]);
    });

    test('it has its own host name and files in /etc; those of the host stay', async () => {
      const host = ['/etc/hosts', '/etc/resolv.conf', '/etc/hostname'].map((path) => readFileSync(path, 'utf8'));
      const script = 'hostname; cat /etc/hosts /etc/resolv.conf /etc/hostname; echo 192.0.2.2 more >> /etc/hosts';
      const { stdout, stderr } = await outputOf(await rig.start('etc', script));
      assert.equal(stdout, 'box\n192.0.2.1 box\nnameserver 192.0.2.53\nbox\n');
      assert.equal(stderr, '');
      assert.deepEqual(
        ['/etc/hosts', '/etc/resolv.conf', '/etc/hostname'].map((path) => readFileSync(path, 'utf8')),
        host,
      );
    });

    test('it sees its own /proc and /sys, cannot write to either, and holds no other namespace', async () => {
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
      const script = `ls /sys/class/net; grep -c ' - nsfs ' /proc/self/mountinfo
        echo 1 2>/dev/null > /proc/sys/net/ipv4/ip_forward || echo read-only
        echo h 2>/dev/null > /proc/sysrq-trigger || echo read-only
        touch /sys/class/x 2>/dev/null || echo read-only
        wc -c < /proc/keys; mount -t tmpfs x /mnt 2>/dev/null || echo denied`;
      const { stdout } = await outputOf(await rig.start('views', script));
      assert.deepEqual(stdout.trim().split('\n'), ['lo', '0', 'read-only', 'read-only', 'read-only', '0', 'denied']);
      assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), mounts);
    });

    test('a root file system of its own: /dev, files in /etc made where links lead, and no way to the host', async () => {
      const rootfs = await makeRootfs(join(rig.directory, 'rootfs'), [
        '/bin/sh',
        '/bin/ls',
        '/bin/cat',
        '/bin/mkdir',
        '/usr/bin/tty',
        '/usr/bin/wc',
      ]);
      await mkdir(join(rootfs, 'etc'));
      await mkdir(join(rootfs, 'run'));
      const leak = `/run/skein-test-leak-${randomBytes(4).toString('hex')}`;
      await symlink(leak, join(rootfs, 'etc/resolv.conf'));
      await symlink('/proc/self/fd/9/x', join(rootfs, 'etc/hostname'));
      await writeFile(join(rootfs, 'marker'), 'mine\n');
      const script = `cat /marker /etc/resolv.conf /etc/hosts; ls /dev; echo gone > /dev/null; cat /dev/null
        ls /home 2>/dev/null || echo no home; wc -l < /proc/self/mountinfo > /dev/null; ls -d /proc/1; ls /sys/class/net`;
      const { stdout, stderr } = await outputOf(await rig.start('rooted', script, { rootfs }));
      assert.equal(stderr, '');
      assert.deepEqual(stdout.trim().split('\n'), [
        'mine',
        'nameserver 192.0.2.53',
        '192.0.2.1 box',
        ...[
          'fd',
          'full',
          'mqueue',
          'null',
          'ptmx',
          'pts',
          'random',
          'shm',
          'stderr',
          'stdin',
          'stdout',
          'tty',
          'urandom',
          'zero',
        ],
        'no home',
        '/proc/1',
        'lo',
      ]);
      assert.equal(existsSync(leak), false);
      const terminal = await outputOf(
        await rig.start('rooted-tty', 'tty; echo from console > /dev/console', { rootfs, tty: true }),
      );
      assert.equal(terminal.stdout, '/dev/pts/0\r\nfrom console\r\n');
    });

    test('a root file system of its own holds no device: what is made in it or lies there cannot be opened', async () => {
      const rootfs = await makeRootfs(join(rig.directory, 'rootfs-nodev'), ['/bin/sh', '/bin/mknod']);
      const below = join(rootfs, 'below');
      await mkdir(below);
      await run('mount', ['-t', 'tmpfs', 'tmpfs', below]);
      try {
        for (const path of [rootfs, below]) await run('mknod', [join(path, 'there'), 'c', '1', '5']);
        // 1:5 is /dev/zero; 10:200 /dev/net/tun, which not every kernel has: the refusal comes before.
        const script = `
          for place in "" /below /dev /dev/shm; do
            mknod $place/made c 1 5; mknod $place/tun c 10 200
            for node in there made tun; do true < $place/$node && echo opened $place/$node; done
          done
          for node in null zero full random urandom tty ptmx; do true <> /dev/$node && echo $node; done; exit 0`;
        const { stdout } = await outputOf(await rig.start('nodev', script, { rootfs, tty: true }));
        const lines = stdout
          .trim()
          .split('\r\n')
          .map((line) => line.replace(/^.*cannot open /, ''));
        const denied = ['there', 'made', 'tun'].map((node) => `${node}: Permission denied`);
        const absent = 'there: No such file';
        assert.deepEqual(lines, [
          ...denied.map((line) => `/${line}`),
          ...denied.map((line) => `/below/${line}`),
          ...[absent, ...denied.slice(1)].map((line) => `/dev/${line}`),
          ...[absent, ...denied.slice(1)].map((line) => `/dev/shm/${line}`),
          ...['null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx'],
        ]);
      } finally {
        await run('umount', ['-l', below]);
      }
    });

    test('what is written to it arrives whole, however slowly it reads, and ends when it is ended', async () => {
      const supervisor = await rig.start('input', 'sleep 0.2; cat', { input: true });
      const sent = randomBytes(500_000).toString('hex');
      const input = openInput(supervisor.place.control, 'it');
      for (let at = 0; at < sent.length; at += 100_000) input.write(sent.slice(at, at + 100_000));
      input.end();
      const { stdout } = await outputOf(supervisor);
      assert.ok(stdout === sent);
      assert.equal((await supervisor.end).exitCode, 0);
    });

    test('input for a command that does not read any more is dropped', async () => {
      const supervisor = await rig.start('deaf', 'exec 0<&-; sleep 0.3', { input: true });
      const input = openInput(supervisor.place.control, 'it');
      input.end(Buffer.alloc(1_000_000));
      assert.equal((await supervisor.end).exitCode, 0);
    });

    test('a terminal has the size that it is given, and ^D ends its input', async () => {
      const script = 'tty; echo ready; read a; stty size; read b; echo "[$a $b]"; read c || echo over';
      const supervisor = await rig.start('terminal', script, { tty: true, input: true });
      await until('ready', async () =>
        readFileSync(join(supervisor.place.directory, 'log.0'), 'utf8').includes('ready'),
      );
      assert.equal(await supervisor.ask({ kind: 'size', rows: 33, columns: 111 }), 0);
      const input = openInput(supervisor.place.control, 'it');
      input.write('one\ntwo\n');
      input.end();
      const { stdout, stderr } = await outputOf(supervisor);
      assert.match(stdout, /^\/dev\/pts\/0\r\n/);
      assert.match(stdout, /33 111\r\n/);
      assert.match(stdout, /\[one two\]\r\n/);
      assert.match(stdout, /over\r\n$/);
      assert.equal(stderr, '');
    });

    test('a terminal has the size that it begins with before the command looks', async () => {
      const size = { rows: 65535, columns: 97 };
      await rig.start('sized-idle', 'sleep 1000');
      const supervisors = [
        await rig.start('sized', 'stty size', { tty: true, size }),
        await rig.exec('sized-exec', 'sized-idle', 'stty size', { tty: true, size }),
      ];
      for (const each of supervisors) assert.equal((await outputOf(each)).stdout, '65535 97\r\n');
    });

    test('who enters a container cannot be looked into from there before it is the command', async (t) => {
      if (
        await run('perl', ['-e', '1']).then(
          () => false,
          () => true,
        )
      )
        return t.skip('needs perl');
      const container = await rig.start('entered', 'read pid; readlink /proc/$pid/fd/3 || echo denied', {
        input: true,
      });
      const program = join(rig.directory, 'leased');
      await copyFile('/bin/true', program);
      await chmod(program, 0o755);
      // A lease holds the execution of the program up until it is given back.
      const holder = spawn('perl', ['-e', lease, program], { stdio: ['pipe', 'pipe', 'inherit'] });
      const said = createInterface(holder.stdout)[Symbol.asyncIterator]();
      assert.equal((await said.next()).value, 'held');
      const entering = rig.exec('entering', 'entered', '', { command: [program] });
      try {
        assert.equal((await said.next()).value, 'wanted');
        const [pid] = readFileSync(join(rig.place('entering').directory, 'pid'), 'utf8').split(' ');
        const inside = /^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        assert.equal(readlinkSync(`/proc/${pid}/exe`), rig.place('entering').shim);
        openInput(container.place.control, 'it').end(`${inside}\n`);
        assert.equal((await outputOf(container)).stdout, 'denied\n');
      } finally {
        holder.stdin.end();
        await (await entering).end;
      }
    });

    test('the size of what has no terminal is refused', async () => {
      const supervisor = await rig.start('flat', 'sleep 1000');
      assert.equal(await supervisor.ask({ kind: 'size', rows: 1, columns: 1 }), 25);
    });

    test('a megabyte on each stream is in the log to the last byte, from a terminal too', async () => {
      const script =
        'i=0; while [ $i -lt 16 ]; do head -c 65536 /dev/zero | tr "\\0" $i; head -c 65536 /dev/zero | tr "\\0" e >&2; i=$((i+1)); done; echo end';
      const { stdout, stderr } = await outputOf(await rig.start('heavy', script));
      assert.equal(stdout.length, 16 * 65536 + 4);
      assert.equal(stdout.slice(-5), '1end\n');
      assert.equal(stderr, 'e'.repeat(16 * 65536));
      const terminal = await outputOf(
        await rig.start('heavy-tty', 'head -c 1000000 /dev/zero | tr "\\0" t; echo end', { tty: true }),
      );
      assert.equal(terminal.stdout, `${'t'.repeat(1_000_000)}end\r\n`);
    });

    test('a log keeps its two newest files, named by where they begin', async () => {
      const script = 'i=10000; while [ $i -lt 60000 ]; do echo $i; i=$((i+1)); done';
      const supervisor = await rig.start('rotated', script, { logSize: 65536 });
      await supervisor.end;
      const { stdout } = await outputOf(supervisor);
      assert.ok(stdout.endsWith('59998\n59999\n'));
      const numbers = stdout.trim().split('\n').map(Number);
      assert.deepEqual(
        numbers.slice(1),
        numbers.slice(1).map((_, index) => (numbers[1] ?? 0) + index),
      );
      assert.ok(numbers.length > 1000 && stdout.length < 2 * 65536);
      assert.equal(existsSync(join(supervisor.place.directory, 'log.0')), false);
    });

    test('a full disk neither stops nor kills it: what is lost is counted and noted, its exit code is kept', async () => {
      const place = rig.place('small');
      await mkdir(place.directory);
      await run('mount', ['-t', 'tmpfs', '-o', 'size=384k', 'tmpfs', place.directory]);
      try {
        await writeEtc(place.directory);
        const ballast = join(place.directory, 'ballast');
        await writeFile(ballast, Buffer.alloc(128 * 1024));
        const written = join(rig.directory, 'written');
        const script = `head -c 1000000 /dev/zero | tr "\\0" x; touch ${written}; read word; echo free; exit 5`;
        const { supervisor } = await startSupervisor(place, {
          mode: 'run',
          control: place.control,
          netns: rig.netns,
          hostname: 'box',
          command: ['sh', '-c', script],
          env: ['PATH=/usr/bin:/bin'],
          tty: false,
          input: true,
          logSize: 64 * 1024 * 1024,
        });
        await until('all is written', () => existsSync(written));
        await unlink(ballast);
        openInput(place.control, 'it').end('go\n');
        const { exitCode, lost } = await supervisor.end;
        const { stdout, note } = await outputOf(supervisor);
        assert.equal(exitCode, 5);
        assert.ok(lost > 500_000);
        assert.match(note, /^\d+ bytes of output were lost/);
        assert.ok(stdout.endsWith('free\n'));
      } finally {
        // The supervisor has said its last word, but may still be about to exit.
        await until(
          'unmounted',
          async () => (await run('umount', [place.directory]).catch(() => undefined)) !== undefined,
        );
      }
    });

    test('a killed supervisor takes the container with it', async () => {
      const supervisor = await rig.start('orphan', 'echo up; sleep 7654321');
      process.kill(await supervisorPid(rig, 'orphan'), 'SIGKILL');
      const { exitCode } = await supervisor.end;
      assert.equal(exitCode, 137);
      assert.equal(await processesWith('7654321'), 0);
      assert.equal((await endOf(supervisor.place)).recorded, false);
    });

    test('also one that has changed its user, which the kernel then spares', async () => {
      const supervisor = await rig.start('changed', 'exec setpriv --reuid 65534 --clear-groups sleep 7654322');
      await until('changed its user', async () => (await stat(`/proc/${supervisor.command?.pid}`)).uid === 65534);
      process.kill(await supervisorPid(rig, 'changed'), 'SIGKILL');
      assert.equal((await supervisor.end).exitCode, 137);
      assert.equal(await processesWith('7654322'), 0);
    });

    test('SIGTERM for the supervisor goes to the command', async () => {
      const supervisor = await rig.start(
        'polite',
        'trap "echo bye; exit 4" TERM; echo up; while :; do sleep 0.05; done',
      );
      await until('up', async () => readFileSync(join(supervisor.place.directory, 'log.0'), 'utf8').includes('up'));
      process.kill(await supervisorPid(rig, 'polite'), 'SIGTERM');
      assert.equal((await supervisor.end).exitCode, 4);
    });

    test('an exec is in the container: namespaces, capabilities, files, and ends with it', async () => {
      await rig.start('house', 'sleep 1000');
      const script =
        'for n in mnt uts ipc pid net cgroup; do [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo $n; done; hostname; cat /etc/hosts; grep CapEff /proc/self/status; echo err >&2; exit 6';
      const guest = await rig.exec('guest', 'house', script);
      const { stdout, stderr } = await outputOf(guest);
      assert.equal(stdout, 'box\n192.0.2.1 box\nCapEff:\t00000000a80425fb\n');
      assert.equal(stderr, 'err\n');
      assert.equal((await guest.end).exitCode, 6);

      const terminal = await rig.exec('guest-tty', 'house', 'tty; stty size; read x; echo "<$x>"', {
        tty: true,
        input: true,
      });
      openInput(terminal.place.control, 'it').end('hello\n');
      const shown = await outputOf(terminal);
      assert.match(shown.stdout, /\/dev\/pts\/0\r\n/);
      assert.match(shown.stdout, /0 0\r\n/);
      assert.match(shown.stdout, /<hello>\r\n$/);

      await assert.rejects(rig.exec('guest-lost', 'house', '', { command: ['nope'] }), CommandFailed);
      const long = await rig.exec('guest-long', 'house', 'sleep 1000');
      const house = await Supervisor.open(rig.place('house'));
      await house.ask({ kind: 'signal', signal: 9 });
      await house.end;
      assert.equal((await long.end).exitCode, 137);
      await assert.rejects(rig.exec('guest-late', 'house', 'true'), /join the container: no such process/);
    });

    test('nonsense at the control socket ends the connection, not the container', async () => {
      const supervisor = await rig.start('stormy', 'sleep 1000');
      const nonsense = [
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        Buffer.from([9, 0, 0, 0, 0, 0, 0, 0]),
        Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]),
        Buffer.from([3, 0, 0, 0, 0, 0, 0, 2, 1, 1]),
        randomBytes(100_000),
      ];
      for (const bytes of nonsense) {
        const socket = createConnection(supervisor.place.control);
        socket.on('error', () => undefined);
        socket.write(bytes);
        socket.resume();
        await new Promise((resolve) => socket.once('close', resolve));
      }
      assert.equal(await supervisor.ask({ kind: 'signal', signal: 64 }), 0);
      assert.equal(supervisor.ended.aborted, false);
    });

    test('a crowd that says nothing puts nobody out who has spoken, and is put out for who comes', async () => {
      const supervisor = await rig.start('crowded', 'sleep 1000');
      assert.equal(await supervisor.ask({ kind: 'signal', signal: 0 }), 0);
      const socket = () =>
        createConnection(supervisor.place.control)
          .on('error', () => undefined)
          .resume();
      const crowd = Array.from({ length: 40 }, socket);
      await until('one of the crowd is put out', () => crowd.some((each) => each.destroyed));
      const newcomer = await Supervisor.open(supervisor.place);
      await until('a newcomer is answered', () => newcomer.command !== undefined);
      assert.deepEqual(newcomer.command, supervisor.command);
      assert.equal(await supervisor.ask({ kind: 'signal', signal: 0 }), 0);
      assert.ok(crowd.filter((each) => !each.destroyed).length <= 30);
      for (const each of crowd) each.destroy();
      newcomer.close();
    });

    test('writers are never put out, one too many is refused, and there is room for others besides', async () => {
      const supervisor = await rig.start('dictated', 'cat', { input: true });
      const letters = Array.from('abcdefghijklmnopqrstuvwx');
      const writers = letters.map(() => openInput(supervisor.place.control, 'it'));
      await Promise.all(writers.map((each, index) => written(each, `${letters[index]}\n`)));
      await assert.rejects(
        written(openInput(supervisor.place.control, 'it'), 'no'),
        (error: unknown) => error instanceof Refusal && error.kind === 'unavailable',
      );
      const newcomers = await Promise.all(Array.from({ length: 20 }, () => Supervisor.open(supervisor.place)));
      await until('a newcomer is answered', () => newcomers.some(({ command }) => command !== undefined));
      for (const each of newcomers) each.close();
      assert.equal(await supervisor.ask({ kind: 'signal', signal: 0 }), 0);
      const [first, ...others] = writers;
      assert.ok(first);
      for (const each of others) each.destroy();
      first.end('last\n');
      const { stdout } = await outputOf(supervisor);
      assert.deepEqual(stdout.trim().split('\n').sort(), [...letters, 'last'].sort());
    });

    test('its lock says that it lives: what runs under it is not ended by another', async () => {
      const supervisor = await rig.start('locked', 'sleep 1000');
      const { shim, directory } = supervisor.place;
      await assert.rejects(run(shim, ['end', directory]), { code: 1, stderr: /its supervisor lives/ });
      assert.equal(await supervisor.ask({ kind: 'signal', signal: 0 }), 0);
    });

    test('who unlinks the spec decides: after that no supervisor starts', async () => {
      const place = rig.place('undecided');
      await mkdir(place.directory);
      await writeEtc(place.directory);
      const spec = {
        mode: 'run',
        control: place.control,
        netns: rig.netns,
        hostname: 'box',
        command: ['true'],
        env: [],
        tty: false,
        input: false,
        logSize: 65536,
      } as const;
      await writeFile(join(place.directory, 'spec'), formatShimSpec(spec));
      assert.equal((await endOf(place)).recorded, false);
      const { stderr } = await refusal(place.shim, place.directory);
      assert.match(stderr, /open the spec: no such file or directory/);
    });

    const whole = [
      'skein-spec=1',
      'control=/tmp/x',
      'netns=/x',
      'hostname=h',
      'tty=0',
      'input=0',
      'log-size=65536',
      'env=A=b',
      'arg=true',
      'end=',
    ];
    const without = (key: string) => `${whole.filter((record) => !record.startsWith(key)).join('\0')}\0`;
    const replaced = (key: string, record: string) =>
      `${whole.map((each) => (each.startsWith(key) ? record : each)).join('\0')}\0`;
    const hostile: readonly [string, string, RegExp][] = [
      ['empty', '', /ends within a record/],
      ['cut off', whole.join('\0'), /ends within a record/],
      ['without its end', without('end'), /has no end/],
      ['going on', `${whole.join('\0')}\0arg=x\0`, /goes on after its end/],
      ['of another version', replaced('skein-spec', 'skein-spec=2'), /not of version 1/],
      ['with a stray record', replaced('env', 'stray'), /not key=value/],
      ['with an unknown key', replaced('env', 'color=red'), /unknown key, color/],
      ['with a nameless variable', replaced('env', 'env==b'), /not NAME=VALUE/],
      ['with a flag of 2', replaced('tty', 'tty=2'), /tty is neither 0 nor 1/],
      ['with a word for a number', replaced('log-size', 'log-size=-1'), /log-size is not a number/],
      ['with a tiny log', replaced('log-size', 'log-size=1'), /below 65536/],
      ['with a terminal of no rows', replaced('env', 'rows=0\0columns=1'), /rows is not between 1 and 65535/],
      ['with too many columns', replaced('env', 'rows=1\0columns=65536'), /columns is not between 1 and 65535/],
      ['with rows alone', replaced('env', 'rows=1'), /lacks columns/],
      ['with two controls', replaced('env', 'control=/tmp/y'), /control twice/],
      ['with a long control', replaced('control', `control=/${'x'.repeat(107)}`), /longer than 107 bytes/],
      ['with a long host name', replaced('hostname', `hostname=${'x'.repeat(65)}`), /longer than 64 bytes/],
      ['with too many words', replaced('env', Array(5000).fill('arg=x').join('\0')), /more than 4096 of arg/],
      ['too long', replaced('env', `env=A=${'x'.repeat(3 * 1024 * 1024)}`), /at most 2097152/],
      ...['control', 'netns', 'hostname', 'arg'].map((key): [string, string, RegExp] => [
        `without ${key}`,
        without(key),
        new RegExp(`lacks ${key}`),
      ]),
    ];
    for (const [index, [what, text, why]] of hostile.entries()) {
      test(`a spec ${what} is refused with 125`, async () => {
        const { directory, shim } = rig.place(`hostile${index}`);
        await mkdir(directory);
        await writeFile(join(directory, 'spec'), text);
        const { code, stderr } = await refusal(shim, directory);
        assert.equal(code, 125);
        assert.match(stderr, why);
      });
    }

    test('every truncation and every garbled byte of a spec is refused or understood, never a crash', async () => {
      const { directory, shim } = rig.place('garbled');
      await mkdir(directory);
      const bytes = Buffer.from(without('hostname'));
      for (let end = 0; end < bytes.length; end += 3) {
        await writeFile(join(directory, 'spec'), bytes.subarray(0, end));
        assert.equal((await refusal(shim, directory)).code, 125);
        const garbled = Buffer.from(bytes);
        garbled[end] = randomBytes(1)[0] ?? 0;
        await writeFile(join(directory, 'spec'), garbled);
        const { code, stderr } = await refusal(shim, directory);
        assert.equal(code, 125);
        assert.match(stderr, /spec/);
      }
    });

    test('a namespace, a root file system and a directory that are not there are named', async () => {
      const missingPlaces: readonly [string, object, RegExp][] = [
        ['no-netns', { netns: '/run/netns/none' }, /open the network namespace \/run\/netns\/none: no such file/],
        ['not-netns', { netns: '/etc/passwd' }, /join the network namespace \/etc\/passwd: invalid argument/],
        ['no-rootfs', { rootfs: '/none' }, /bind the root file system \/none: no such file/],
      ];
      for (const [name, more, why] of missingPlaces) {
        const failure = await rig.start(name, 'true', more).catch((error: unknown) => error);
        assert.ok(failure instanceof ShimError);
        assert.match(failure.message, why);
      }
      assert.match((await refusal(rig.place('x').shim, '/none')).stderr, /open \/none/);
    });
  });
}

async function refusal(shim: string, directory: string): Promise<{ code: unknown; stderr: string }> {
  const result = await run(shim, ['run', directory]).catch((error: unknown) => error);
  assert.ok(result instanceof Error && 'code' in result && 'stderr' in result);
  return { code: result.code, stderr: String(result.stderr) };
}

async function written(input: Writable, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  input.once('error', reject);
  input.write(text, (error) => (error ? reject(error) : resolve()));
  await promise;
}

/** As one finds it who knows its place only. */
async function endOf(place: ShimPlace): Promise<End> {
  return await (await Supervisor.open(place)).end;
}

async function supervisorPid(rig: Rig, name: string): Promise<number> {
  const [pid] = readFileSync(join(rig.place(name).directory, 'pid'), 'utf8').split(' ');
  return supervisorOf(Number(pid));
}

shimSuite('as it is shipped', () => builtProgram('shim'));
shimSuite('with sanitizers', (directory) => sanitizedProgram('shim', directory));
