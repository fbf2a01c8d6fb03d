import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseLabDescription } from './description.ts';
import { closeLab, findLab, type LabOptions, listLabs, openLab } from './lab.ts';
import { attempt } from './run.ts';

const skip = process.getuid?.() === 0 ? false : 'a lab needs root';
/** No daemons and no etcd: the machines alone. */
const bare = {
  hosts: 2,
  underlay: 4,
  mtu: 1500,
  store: 'etcd://192.168.205.2:2379',
  tied: true,
  daemons: false,
} as const;
let labs = 0;

async function open(t: TestContext, options: Partial<LabOptions> = {}) {
  labs += 1;
  const lab = await openLab({ ...bare, name: `test-${process.pid}-${labs}`, ...options });
  t.after(() => lab.close());
  return lab;
}

test('hosts have names, addresses, a way to each other and to the outside, and see only themselves', {
  skip,
}, async (t) => {
  const lab = await open(t);
  const h1 = lab.host('h1');
  const said = async (command: readonly string[]) => (await h1.exec(command)).stdout.trim();
  assert.equal(await said(['cat', '/proc/sys/kernel/hostname']), 'h1');
  assert.deepEqual((await said(['ls', '/sys/class/net'])).split('\n'), ['eth0', 'lo']);
  assert.equal(await said(['ls', '/run']), '');
  assert.equal(await said(['sh', '-c', 'ls /var/lib/skein; hostname >/var/lib/skein/x; cat /var/lib/skein/x']), 'h1');
  assert.equal((await lab.host('h2').exec(['ls', '/var/lib/skein'])).stdout, '');
  for (const to of ['h2', '203.0.113.7', '2001:db8:7::7']) await h1.exec(['ping', '-c1', '-W5', to]);
  await assert.rejects(h1.exec(['sh', '-c', 'echo no >&2; exit 3']), /exit code 3: no$/);
});

test('the outside answers TCP with the address that asks', { skip }, async (t) => {
  const lab = await open(t);
  const ask = (address: string) => lab.host('h2').exec(['bash', '-c', `cat </dev/tcp/${address}/80`]);
  await until(async () => (await lab.host('h2').attempt(['bash', '-c', ': </dev/tcp/203.0.113.7/80'])).code === 0);
  assert.equal((await ask('203.0.113.7')).stdout, '192.168.205.11\n');
  assert.equal((await ask('2001:db8:7::7')).stdout, 'fd00:205::11\n');
});

test('over IPv6 there is no IPv4, and the MTU is the one that was asked for', { skip }, async (t) => {
  const lab = await open(t, { underlay: 6, mtu: 1400 });
  const h1 = lab.host('h1');
  assert.match((await h1.exec(['ip', '-o', 'link', 'show', 'eth0'])).stdout, / mtu 1400 /);
  assert.equal((await h1.exec(['ip', '-4', '-o', 'addr', 'show', 'eth0'])).stdout, '');
  await h1.exec(['ping', '-c1', '-W5', '-M', 'do', '-s', String(1400 - 48), lab.host('h2').address]);
  assert.notEqual((await h1.attempt(['ping', '-c1', '-W1', '-M', 'do', '-s', String(1401 - 48), 'h2'])).code, 0);
});

test('on several subnets hosts reach each other, the store and the outside through the router', { skip }, async (t) => {
  for (const underlay of [4, 6] as const) {
    const lab = await open(t, { underlay, hosts: 3, subnets: 2 });
    assert.deepEqual(
      lab.hosts.map(({ address }) => address),
      underlay === 4
        ? ['192.168.205.10', '192.168.206.11', '192.168.205.12']
        : ['fd00:205::10', 'fd00:206::11', 'fd00:205::12'],
    );
    const ttl = async (to: string) =>
      / ttl=(\d+) /.exec((await lab.host('h1').exec(['ping', '-c1', '-W5', to])).stdout)?.[1];
    assert.equal(await ttl('h2'), '63');
    assert.equal(await ttl('h3'), '64');
    for (const to of [underlay === 4 ? '192.168.205.2' : 'fd00:205::2', 'outside'])
      await lab.host('h2').exec(['ping', '-c1', '-W5', to]);
  }
});

test('a lab runs an etcd of its own, and its end ends that', { skip }, async (t) => {
  const lab = await openLab({ ...bare, store: 'etcd', name: `test-${process.pid}-etcd` });
  t.after(() => lab.close());
  const ask = ['etcdctl', '--endpoints', 'http://192.168.205.2:2379', 'put', 'a', 'b'];
  assert.equal((await lab.host('h1').exec(ask)).stdout, 'OK\n');
});

test('a name is used once, and free again after the end, which may be called twice', { skip }, async (t) => {
  const lab = await open(t);
  await assert.rejects(openLab({ ...bare, name: lab.name }), { name: 'Refusal', kind: 'conflict' });
  assert.ok(findLab(lab.name).host('h1'));
  assert.throws(() => findLab(lab.name).host('h9'), { name: 'Refusal', message: /no host h9, only h1, h2/ });
  const pids = [lab.host('h1').pid, lab.outside.pid];
  await Promise.all([lab.close(), lab.close()]);
  await lab.close();
  assert.throws(() => findLab(lab.name), { name: 'Refusal', kind: 'not-found' });
  assert.ok(!existsSync(`/run/skein-lab/${lab.name}`));
  for (const pid of pids)
    assert.ok(!existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
  await (await open(t, { name: lab.name })).close();
});

test('after a reboot only the disk is left of a host', { skip }, async (t) => {
  const lab = await open(t);
  const of = (command: string) => lab.host('h1').exec(['sh', '-euc', command]);
  const bootId = 'cat /proc/sys/kernel/random/boot_id';
  const before = await of(bootId);
  await of('echo kept >/var/lib/skein/file; ip link add left type bridge; ip netns add left');
  lab.host('h1').spawn(['sleep', '1000'], { stdio: 'ignore' });
  await lab.host('h1').reboot();
  assert.equal(
    (await of('cat /var/lib/skein/file; ls /run; ls /sys/class/net; pidof sleep | wc -w')).stdout,
    'kept\neth0\nlo\n1\n',
  );
  assert.notEqual((await of(bootId)).stdout, before.stdout);
  assert.equal((await lab.host('h2').exec(['cat', '/proc/sys/kernel/random/boot_id'])).stdout, before.stdout);
  for (const to of ['h2', '203.0.113.7']) await lab.host('h1').exec(['ping', '-c1', '-W5', to]);
  const again = await of(bootId);
  await lab.host('h1').reboot();
  assert.notEqual((await of(bootId)).stdout, again.stdout);
  assert.equal((await of('cat /var/lib/skein/file')).stdout, 'kept\n');
});

test('two labs of the same addresses live side by side', { skip }, async (t) => {
  const [one, other] = await Promise.all([open(t), open(t)]);
  assert.notEqual(one.name, other.name);
  for (const lab of [one, other]) await lab.host('h1').exec(['ping', '-c1', '-W5', 'h2']);
});

test('a lab ends with the process that it is tied to, however that ends, and is cleared up later', {
  skip,
}, async (t) => {
  const name = `test-${process.pid}-tied`;
  t.after(() => closeLab(name));
  const opener = spawnOpener({ ...bare, name });
  await until(async () => listLabs().some((lab) => lab.name === name && lab.alive));
  const { pid } = findLab(name).host('h1');
  opener.kill('SIGKILL');
  await until(async () => !existsSync(`/proc/${pid}/ns/net`) && opener.signalCode !== null);
  await open(t);
  assert.ok(!existsSync(`/run/skein-lab/${name}`));
});

test('what was killed half-way up is ended by its name', { skip }, async (t) => {
  const name = `test-${process.pid}-half`;
  t.after(() => closeLab(name));
  for (const delay of [0, 10, 30, 100, 200]) {
    const opener = spawnOpener({ ...bare, name, tied: false });
    await until(async () => listLabs().some((lab) => lab.name === name));
    await sleep(delay);
    opener.kill('SIGKILL');
    await closeLab(name);
    assert.deepEqual(
      listLabs().filter((lab) => lab.name === name),
      [],
    );
    // A holder that was just beginning finds no folder and gives up.
    const begun = ['sh', '-c', `grep -sl -- /run/skein-la[b]/${name}/ /proc/[1-9]*/cmdline`];
    await until(async () => (await attempt(begun)).stdout === '');
  }
});

test('a lab that cannot be says so', { skip }, async () => {
  const tried = (options: Partial<LabOptions>) => openLab({ ...bare, name: 'never', ...options });
  await assert.rejects(tried({ hosts: 0 }), /a lab has 1 to 64 hosts, not 0/);
  await assert.rejects(tried({ subnets: 3 }), /2 hosts are on 1 to 2 subnets, not 3/);
  await assert.rejects(tried({ mtu: 500 }), /the MTU of a lab is between 1280 and 65000, not 500/);
  await assert.rejects(tried({ name: '../x' }), /"..\/x" is no name of a lab/);
  await assert.rejects(tried({ store: 'local:' }), /local: is a store for one host/);
  assert.throws(() => parseLabDescription('{"hosts": 0}', 'lab.json'), /lab.json: hosts/);
});

function spawnOpener(options: LabOptions) {
  const module = join(import.meta.dirname, 'lab.ts');
  const script = `import { openLab } from ${JSON.stringify(module)}; await openLab(${JSON.stringify(options)}); setInterval(() => {}, 1e6);`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `not within 10 s: ${holds.toString()}`);
    await sleep(10);
  }
}
