import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/**
 * The real daemon on a host of its own: network, mount and UTS namespaces, with its own /run and /var/lib. What `launch
 * --detach` starts is ended with the host.
 */
const root = process.getuid?.() === 0;
const skip = root ? false : 'needs root';
const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
const run = promisify(execFile);
let host: ChildProcess | undefined;

const setUp = `
  mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && mount -t tmpfs tmpfs /etc/skein 2>/dev/null
  hostname h1
  ip link set lo up && ip link add eth0 type veth peer name peer0 && ip link set peer0 up
  ip addr add 192.0.2.1/24 dev eth0 && ip link set eth0 up
  echo up && exec sleep infinity`;

before(async () => {
  if (!root) return;
  host = spawn('unshare', [
    '-nmup',
    '--fork',
    '--mount-proc',
    '--kill-child',
    '--propagation',
    'private',
    'sh',
    '-c',
    setUp,
  ]);
  if (host.stdout !== null) await once(host.stdout, 'data');
});

after(async () => {
  if (host === undefined) return;
  const ended = once(host, 'exit');
  host.kill('SIGKILL');
  await ended;
});

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

async function onHost(command: string): Promise<Ended> {
  const { stdout: children } = await run('cat', [`/proc/${host?.pid}/task/${host?.pid}/children`]);
  const skein = `skein() { '${process.execPath}' --disable-warning=ExperimentalWarning -- '${main}' "$@"; }`;
  const args = ['-t', children.trim(), '-n', '-m', '-u', '-p', 'sh', '-c', `${skein}\n${command}`];
  try {
    return { ...(await run('nsenter', args, { timeout: 60_000 })), code: 0 };
  } catch (error) {
    const { stdout, stderr, code } = Object(error);
    return { stdout: String(stdout), stderr: String(stderr), code: Number(code) };
  }
}

test('the daemon starts in the background, and a second one is refused', { skip }, async () => {
  const launched = await onHost('skein launch --detach');
  assert.match(
    launched.stdout,
    /^the daemon runs as pid \d+; its log is \/var\/lib\/skein\/daemon\.log\nother hosts join with: skein launch --token \S+ \S+\n$/,
    launched.stderr,
  );
  const second = await onHost('skein launch --detach');
  assert.match(second.stderr, /^skein: another daemon \(pid \d+\) answers at \/run\/skein\/skein\.sock\n$/);
  assert.equal(second.code, 1);
  assert.equal(
    (await onHost("skein host ls --format '{{.Name}} {{.Address}} {{.State}}'")).stdout,
    'h1 192.0.2.1:2376 alive\n',
  );
  assert.equal((await onHost('stat -c %a /run/skein/skein.sock')).stdout, '660\n');
});

test('a second daemon on the same directories is refused by name, also when the first does not answer', {
  skip,
}, async () => {
  const pid = (await onHost('cat /run/skein/skein.pid')).stdout.trim();
  const sameState = await onHost('skein launch --run-dir /run/other');
  assert.match(sameState.stderr, new RegExp(`journal\\.db is in use by process ${pid}; stop it first`));
  await onHost('mv /run/skein/skein.sock /run/skein/away');
  const sameRun = await onHost('skein launch --state-dir /var/lib/other');
  assert.match(
    sameRun.stderr,
    new RegExp(`another daemon \\(pid ${pid}\\) runs in /run/skein; end it first with skein stop`),
  );
  assert.equal(
    (await onHost('mv /run/skein/away /run/skein/skein.sock; skein status; cat /run/skein/skein.pid')).code,
    0,
  );
});

test('containers outlive a daemon that is killed, and the next one takes them up', { skip }, async () => {
  await onHost('skein network create demo');
  const begun = await onHost(
    "skein run -d --name test1 --network demo -- sh -c 'n=0; while true; do n=$((n+1)); echo $n; sleep 0.1; done'",
  );
  assert.equal(begun.code, 0, begun.stderr);
  const before = await onHost("skein inspect -f '{{.State.Pid}} {{json .NetworkSettings}}' test1");
  await onHost('kill -9 $(cat /run/skein/skein.pid)');
  assert.match((await onHost('skein ps')).stderr, /no daemon answers/);
  const again = await onHost('skein launch --detach');
  assert.equal(again.code, 0, again.stderr);
  assert.equal(
    (await onHost("skein inspect -f '{{.State.Pid}} {{json .NetworkSettings}}' test1")).stdout,
    before.stdout,
  );
  assert.match((await onHost('skein exec test1 -- ip -br addr')).stdout, /eth0@if\d+ +UP +10\.0\.0\.2\/24/);
  await onHost('skein kill test1');
  const lines = (await onHost('skein logs test1')).stdout.trim().split('\n').map(Number);
  assert.deepEqual(
    lines,
    lines.map((_, i) => i + 1),
    'no line of the log is lost or doubled',
  );
});

test('a reader in the foreground does not notice that the daemon was restarted', { skip }, async () => {
  const reading = onHost(
    "skein run --rm -- sh -c 'for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo $n; sleep 0.1; done; exit 6'",
  );
  await until(async () => (await onHost('skein ps -q')).stdout !== '');
  await onHost('kill -9 $(cat /run/skein/skein.pid); skein launch --detach');
  const { stdout, stderr, code } = await reading;
  assert.equal(stdout, Array.from({ length: 20 }, (_, i) => `${i + 1}\n`).join(''));
  assert.equal(stderr, 'skein: the daemon went away; waiting for it to come back\n');
  assert.equal(code, 6);
});

test('stop ends the daemon and leaves the kernel as it is', { skip }, async () => {
  await onHost('skein run -d --name test2 --network demo -- sleep 1000');
  const seen = 'ip -br link; ls /run/skein/netns';
  const before = await onHost(seen);
  assert.match(before.stdout, /1-[0-9a-f]{10}/);
  assert.deepEqual(await onHost('skein stop'), { stdout: '', stderr: '', code: 0 });
  assert.deepEqual(await onHost(seen), before);
  assert.equal((await onHost('ls /run/skein/skein.pid /run/skein/skein.sock')).code, 2);
  assert.equal((await onHost('skein launch --detach && skein rm -f test1 test2 && skein network rm demo')).code, 0);
});

test('SIGTERM ends the daemon in the foreground with 0, in order', { skip }, async () => {
  await onHost('skein stop');
  const { stderr, code } = await onHost(`
    skein launch --log-format text & pid=$!
    while [ ! -S /run/skein/skein.sock ]; do sleep 0.05; done
    kill -TERM $(cat /run/skein/skein.pid); wait $pid`);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /INFO {2}ready host=h1 .*INFO {2}the daemon ends\n$/s);
});

test('what keeps the daemon from starting is shown, with exit code 1', { skip }, async () => {
  const table: [string, RegExp][] = [
    ['--cluster-store bogus://x', /^skein: "bogus:\/\/x": there is no store "bogus"; there are etcd:/],
    ['--cluster-advertise eth7', /^skein: cannot advertise eth7: there is no such interface/],
    ['-H unix:///proc/x.sock', /^skein: cannot listen at \/proc\/x\.sock: /],
    ['--state-dir /dev/null/x', /^skein: cannot make the directory \/dev\/null\/x: /],
    ['--run-dir /dev/null/x', /^skein: cannot make the directory \/dev\/null\/x: /],
  ];
  for (const [flags, message] of table) {
    const { stderr, code } = await onHost(`skein launch --detach ${flags}`);
    assert.match(stderr, message, flags);
    assert.equal(code, 1, flags);
  }
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition()))
    if (Date.now() > deadline) throw new Error('the condition did not come true within 20 s');
}
