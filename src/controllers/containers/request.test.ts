import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../../lib/errors.ts';
import type { ContainerDns } from '../../model/container.ts';
import { chooseName } from './container-name.ts';
import type { RunSpec } from './containers.ts';
import { formatHosts, formEnvironment } from './etc.ts';
import { checkRun } from './request.ts';
import { chooseResolvConf, formResolvConf } from './resolv-conf.ts';
import { formatShimSpec } from './shim-spec.ts';
import { parseSignal } from './signal.ts';

const plain: RunSpec = { command: ['true'], aliases: [], env: [], interactive: false, tty: false, remove: false };

const dns = (part: Partial<ContainerDns>): ContainerDns => ({ servers: [], search: [], options: [], ...part });

test('what cannot be run is refused before anything is done', async () => {
  const wrong: readonly [Partial<RunSpec>, RegExp][] = [
    [{ command: [] }, /No command specified/],
    [{ command: [''] }, /No command specified/],
    [{ name: '-x' }, /Invalid container name \(-x\)/],
    [{ name: 'x'.repeat(129) }, /Invalid container name/],
    [{ hostname: 'a b' }, /invalid hostname: a b/],
    [{ hostname: 'x'.repeat(65) }, /invalid hostname/],
    [{ env: ['A'] }, /invalid environment variable: A/],
    [{ env: ['=b'] }, /invalid environment variable: =b/],
    [{ size: { rows: 1, columns: 1 } }, /a size is given, but no terminal/],
    [{ tty: true, size: { rows: 0, columns: 80 } }, /a terminal of 0 rows and 80 columns/],
    [{ ip: '10.0.0.2' }, /--ip needs a network/],
    [{ mac: '02:42:0a:00:00:02' }, /--mac-address needs a network/],
    [{ aliases: ['db'] }, /--alias needs a network/],
    [{ addresses: ['10.0.1.1/24'] }, /10\.0\.1\.1\/24 needs a network/],
    [
      { dns: dns({ servers: ['192.0.2.1', '169.254.53.53'] }) },
      /--dns 169\.254\.53\.53: this is where names are answered/,
    ],
    [{ dns: dns({ servers: ['fd53::53'] }) }, /--dns fd53::53: this is where names are answered/],
    [{ dns: dns({ servers: ['0.0.0.0'] }) }, /--dns 0\.0\.0\.0: no server can have this address/],
    [{ rootfs: 'relative' }, /root file system relative/],
    [{ rootfs: '/etc/passwd' }, /root file system \/etc\/passwd/],
    [{ rootfs: '/etc/..' }, /root file system \/etc\/\.\./],
  ];
  for (const [part, why] of wrong) {
    await assert.rejects(checkRun({ ...plain, ...part }), (error: unknown) => {
      assert.ok(error instanceof Refusal && error.kind === 'invalid');
      assert.match(error.message, why);
      return true;
    });
  }
  await assert.rejects(
    checkRun({ ...plain, dns: dns({ servers: ['172.18.0.1'] }) }, ['172.18.0.1']),
    /--dns 172\.18\.0\.1: this is where names are answered/,
  );
  await checkRun({ ...plain, name: 'a', hostname: 'a.b', network: 'n', ip: '10.0.0.2', env: ['A='], rootfs: '/tmp' });
  await checkRun({ ...plain, dns: dns({ servers: ['127.0.0.53', '::1', '192.0.2.1', 'fd00::1'] }) });
});

test('signals have names with and without SIG, numbers, and real-time offsets', () => {
  const right = {
    SIGKILL: 9,
    kill: 9,
    TERM: 15,
    '15': 15,
    sigusr1: 10,
    'RTMIN+3': 37,
    'SIGRTMAX-1': 63,
    RTMIN: 34,
    '64': 64,
  };
  for (const [text, number] of Object.entries(right)) assert.equal(parseSignal(text), number);
  for (const text of ['', '0', '65', '999', 'NOPE', 'RTMIN+31', '-9', '9 ', 'SIGSIGKILL', '__proto__', 'RTMAX+1']) {
    assert.throws(() => parseSignal(text), Refusal, text);
  }
});

test('hosts holds the addresses under the host name, and its first part when it is longer', () => {
  const text = formatHosts('web.example', ['10.0.0.2', 'fd00::2']);
  assert.match(text, /^127\.0\.0\.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n/);
  assert.match(text, /\n10\.0\.0\.2\tweb\.example web\nfd00::2\tweb\.example web\n$/);
  assert.match(formatHosts('box', ['10.0.0.2']), /\n10\.0\.0\.2\tbox\n$/);
});

test('resolv.conf has no server that a container cannot reach, and comes from where there is one', () => {
  const stub = '# stub\nnameserver 127.0.0.53\noptions edns0\nsearch example\n';
  const real = 'nameserver 192.0.2.1\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver fd00::1\nsearch example\n';
  const cleaned = 'nameserver 192.0.2.1\nnameserver fd00::1\nsearch example\n';
  assert.equal(chooseResolvConf([real, stub]), cleaned);
  assert.equal(chooseResolvConf([stub, real]), cleaned);
  assert.equal(chooseResolvConf([stub, '']), '# stub\noptions edns0\nsearch example\n');
  assert.equal(chooseResolvConf([]), '\n');
});

const house = '# of the house\nnameserver 192.0.2.1\nsearch house.example lab.example\noptions timeout:2 ndots:2\n';

test('on a network resolv.conf names our server, keeps search and options of the host, and asks for names as they are', () => {
  const on = { server: '169.254.53.53' };
  const search = 'search house.example lab.example\n';
  const ours = 'nameserver 169.254.53.53\n';
  assert.equal(formResolvConf({ candidates: [house], ...on }), `${ours}${search}options timeout:2 ndots:0\n`);
  assert.equal(formResolvConf({ candidates: ['', house], server: 'fd53::53' }).split('\n')[0], 'nameserver fd53::53');
  assert.equal(formResolvConf({ candidates: [], ...on }), `${ours}options ndots:0\n`);
});

test('what is given for resolv.conf replaces what the host has, each by itself', () => {
  const on = { candidates: [house], server: '169.254.53.53' };
  const ours = 'nameserver 169.254.53.53\n';
  const [search, options] = ['search house.example lab.example\n', 'options timeout:2 ndots:0\n'];
  assert.equal(formResolvConf({ ...on, dns: dns({ servers: ['192.0.2.9'] }) }), ours + search + options);
  assert.equal(
    formResolvConf({ ...on, dns: dns({ search: ['b.example', '.', 'c'] }) }),
    `${ours}search b.example c\n${options}`,
  );
  assert.equal(formResolvConf({ ...on, dns: dns({ search: ['.'] }) }), ours + options);
  assert.equal(
    formResolvConf({ ...on, dns: dns({ options: ['rotate'] }) }),
    `${ours}${search}options rotate ndots:0\n`,
  );
  assert.equal(formResolvConf({ ...on, dns: dns({ options: ['ndots:3'] }) }), `${ours}${search}options ndots:3\n`);
});

test('without a network resolv.conf is the host’s, with what was given in its place', () => {
  const off = { candidates: [house] };
  assert.equal(formResolvConf(off), house);
  assert.equal(formResolvConf({ ...off, dns: dns({}) }), house);
  const given = dns({ servers: ['127.0.0.1'], search: ['.'], options: ['rotate'] });
  assert.equal(formResolvConf({ ...off, dns: given }), 'nameserver 127.0.0.1\noptions rotate\n');
  assert.equal(
    formResolvConf({ ...off, dns: dns({ search: ['b'] }) }),
    'nameserver 192.0.2.1\nsearch b\noptions timeout:2 ndots:2\n',
  );
});

test("the environment is Docker's defaults with what was asked for over them", () => {
  assert.deepEqual(formEnvironment(['A=1', 'HOME=/x', 'A=2=3'], { hostname: 'box', tty: true }), [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOSTNAME=box',
    'TERM=xterm',
    'HOME=/x',
    'A=2=3',
  ]);
});

test('a name is an adjective and a noun, with a number when many are taken', () => {
  assert.match(
    chooseName(() => false),
    /^[a-z]+_[a-z]+$/,
  );
  assert.match(
    chooseName((name) => !/\d/.test(name)),
    /^[a-z]+_[a-z]+\d+$/,
  );
});

test('a spec holds no NUL beside its own, and no more than the supervisor reads', () => {
  const spec = {
    mode: 'run',
    control: '/c',
    netns: '/n',
    hostname: 'h',
    command: ['a'],
    env: ['A=b'],
    tty: true,
    input: false,
    logSize: 65536,
  } as const;
  assert.equal(
    Buffer.from(formatShimSpec(spec)).toString(),
    'skein-spec=1\0control=/c\0netns=/n\0hostname=h\0tty=1\0input=0\0log-size=65536\0env=A=b\0arg=a\0end=\0',
  );
  assert.match(
    Buffer.from(formatShimSpec({ ...spec, size: { rows: 24, columns: 80 } })).toString(),
    /\0tty=1\0rows=24\0columns=80\0input=0\0/,
  );
  assert.throws(() => formatShimSpec({ ...spec, command: ['a\0arg=b'] }), /NUL/);
  assert.throws(() => formatShimSpec({ ...spec, command: Array(4097).fill('a') }), /more than 4096/);
  assert.throws(() => formatShimSpec({ ...spec, command: ['a'.repeat(2 ** 21)] }), /longer than/);
});
