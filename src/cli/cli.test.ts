import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openClient } from '../adapters/api/client.ts';
import { labsFolder } from '../lab/rootless.ts';
import { parseEnvironmentFile } from './environment.ts';
import { formatCommand } from './ps.ts';
import { parseTarget } from './session.ts';
import { formatDns, formatStatus } from './status.ts';
import { formatDuration, formatTable, printable } from './table.ts';

const directory = mkdtempSync(join(tmpdir(), 'skein-cli-'));
const socket = join(directory, 'skein.sock');
const place = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let daemon: ChildProcess | undefined;

before(startDaemon);
after(async () => {
  await skein('rm', '-f', ...(await skein('ps', '-aq')).stdout.split('\n').filter((id) => id !== ''));
  await endDaemon('SIGTERM');
  rmSync(directory, { recursive: true, force: true });
});

async function startDaemon(): Promise<void> {
  const started = spawn(process.execPath, [place('../adapters/api/memory-daemon.testing.ts'), socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  daemon = started;
  await once(started.stdout, 'data');
}

async function endDaemon(signal: NodeJS.Signals): Promise<void> {
  if (daemon === undefined || daemon.exitCode !== null) return;
  const ended = once(daemon, 'exit');
  daemon.kill(signal);
  await ended;
}

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function start(args: readonly string[], env: Record<string, string> = {}) {
  return execute([process.execPath, '--', place('./main.ts'), ...args], env);
}

function execute([program = '', ...args]: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(program, args, {
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: join(directory, 'compiled'),
      SKEIN_HOST: `unix://${socket}`,
      ...env,
    },
  });
  const read = async (): Promise<Ended> => {
    const [stdout, stderr] = await Promise.all([child.stdout.toArray(), child.stderr.toArray(), once(child, 'close')]);
    const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString();
    return { stdout: text(stdout), stderr: text(stderr), code: child.exitCode };
  };
  return { child, ended: read() };
}

async function skein(...args: string[]): Promise<Ended> {
  const { child, ended } = start(args);
  child.stdin.end();
  return await ended;
}

/** What a shell makes of it, where `skein` is ours. */
async function shell(script: string, env: Record<string, string> = {}): Promise<Ended> {
  const { child, ended } = execute(['sh', '-c', `skein() { "$node" -- "$main" "$@"; }\n${script}`], {
    ...env,
    node: process.execPath,
    main: place('./main.ts'),
  });
  child.stdin.end();
  return await ended;
}

test('a network is created, listed as Docker lists it, inspected and removed', async () => {
  const created = await skein('network', 'create', '-d', 'overlay', '--label', 'a=b', 'demo');
  assert.match(created.stdout, /^[0-9a-f]{64}\n$/);
  const id = created.stdout.trim();
  const listed = await skein('network', 'ls');
  assert.match(listed.stdout, /^NETWORK ID {5}NAME {6}DRIVER {4}SCOPE\n/);
  assert.match(listed.stdout, new RegExp(`${id.slice(0, 12)}   demo {6}overlay   global\n`));
  assert.equal((await skein('network', 'ls', '-q', '--no-trunc')).stdout, `${id}\n`);
  assert.equal((await skein('network', 'ls', '--format', '{{.Name}}:{{.Labels}}')).stdout, 'demo:a=b\n');
  assert.equal((await skein('network', 'inspect', '-f', '{{.Id}}', 'demo')).stdout, `${id}\n`);
  assert.equal((await skein('inspect', 'demo', '--format', '{{json .IPAM.Options}}')).stdout, '{}\n');
  const [network] = JSON.parse((await skein('network', 'inspect', 'demo')).stdout);
  assert.equal(network.Name, 'demo');
  const again = await skein('network', 'create', 'demo');
  assert.deepEqual(again, { stdout: '', stderr: 'skein: network with name demo already exists\n', code: 1 });
  assert.deepEqual(await skein('network', 'rm', 'demo', 'none'), {
    stdout: 'demo\n',
    stderr: 'skein: network none not found\n',
    code: 1,
  });
});

test('a network is created with every flag of Docker’s that works', async () => {
  const flags = [
    ...['--subnet', '10.7.0.0/16', '--subnet', 'fd00:7::/64', '--gateway', 'fd00:7::9', '--ip-range', '10.7.5.0/24'],
    ...['--aux-address', 'router=10.7.5.1', '--internal', '--attachable', '-o', 'com.docker.network.driver.mtu=1400'],
  ];
  assert.equal((await skein('network', 'create', ...flags, 'flags')).stderr, '');
  const [network] = JSON.parse((await skein('network', 'inspect', 'flags')).stdout);
  assert.deepEqual(network.IPAM.Config, [
    { Subnet: '10.7.0.0/16', IPRange: '10.7.5.0/24', Gateway: '10.7.0.1', AuxiliaryAddresses: { router: '10.7.5.1' } },
    { Subnet: 'fd00:7::/64', Gateway: 'fd00:7::9' },
  ]);
  assert.deepEqual([network.Internal, network.Attachable], [true, true]);
  assert.deepEqual(network.Options, { 'com.docker.network.driver.mtu': '1400' });
  await skein('network', 'rm', 'flags');
});

test('lists are filtered, and printed by templates, as Docker does it', async () => {
  await skein('network', 'create', '--label', 'tier=web', '--label', 'a.b=', 'front');
  await skein('network', 'create', 'back');
  const names = ['--format', '{{.Name}}'];
  const table: [string[], string][] = [
    [['network', 'ls', '-f', 'name=ro', ...names], 'front\n'],
    [['network', 'ls', '--filter', 'name=^back$', ...names], 'back\n'],
    [['network', 'ls', '-f', 'name=back', '-f', 'name=front', '-f', 'driver=overlay', ...names], 'back\nfront\n'],
    [['network', 'ls', '-f', 'label=tier', ...names], 'front\n'],
    [['network', 'ls', '-f', 'label=tier=db', ...names], ''],
    [['network', 'ls', '-f', 'label=tier=web', '-f', 'label=a.b', ...names], 'front\n'],
    [['network', 'ls', '-f', 'scope=swarm', ...names], ''],
    [['network', 'ls', '-f', 'type=custom', '-f', 'dangling=true', ...names], 'back\nfront\n'],
    [
      ['network', 'ls', '-f', 'name=front', '--format', 'table {{.Name}}\\t{{.Label "tier"}}\\t{{upper .Driver}}'],
      'NAME      tier      DRIVER\nfront     web       OVERLAY\n',
    ],
    [
      ['network', 'inspect', 'front', '-f', '{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}{{.Labels.none}}'],
      'a.b=;tier=web;<no value>\n',
    ],
    [['inspect', '--type', 'network', '-f', '{{index .Labels "tier"}}', 'front'], 'web\n'],
    [['host', 'ls', '-f', 'state=lost', '--format', '{{.Name}} {{.Self}}'], 'h2 false\n'],
    [['host', 'ls', '-f', 'name=h1', '--format', 'table {{.Name}}\\t{{.State}}'], 'NAME      STATE\nh1        alive\n'],
  ];
  for (const [args, stdout] of table) {
    assert.deepEqual(await skein(...args), { stdout, stderr: '', code: 0 }, args.join(' '));
  }
  await skein('network', 'rm', 'front', 'back');
});

test('what is wrong with a filter or a template is said', async () => {
  const table: [string[], string | RegExp][] = [
    [['network', 'ls', '-f', 'name'], "bad format of filter 'name' (expected name=value)"],
    [
      ['ps', '-f', 'nope=1'],
      "invalid filter 'nope'; there are: id, name, status, exited, label, network, before, since",
    ],
    [['ps', '-f', 'status=nope'], /^invalid filter 'status=nope'; there are: created, running,/],
    [['ps', '-f', 'since=nope'], 'container nope not found'],
    [['network', 'ls', '-f', 'name=('], "'(' is not a regular expression"],
    [['network', 'ls', '-f', 'dangling=1'], "invalid filter 'dangling=1'; there are: true, false"],
    [
      ['network', 'ls', '--format', '{{.Nope'],
      'template parsing error: template: :1:0: unclosed action: }} is missing',
    ],
    [
      ['host', 'ls', '--format', '{{.Nope}}'],
      /^template parsing error: template: :1:2: executing "" at <\.Nope>: .* there are: ID, Name, Address,/,
    ],
    [['inspect', '--type', 'image', 'x'], '"image" is not a valid value for --type: container or network'],
    [['inspect', '--type', 'container', 'front'], 'container front not found'],
  ];
  for (const [args, message] of table) {
    const { stderr, code } = await skein(...args);
    if (typeof message === 'string') assert.equal(stderr, `skein: ${message}\n`, args.join(' '));
    else assert.match(stderr.replace(/^skein: /, ''), message, args.join(' '));
    assert.equal(code, 1, args.join(' '));
  }
});

test('a namespace is attached by its path or a pid, and a container by its name', async () => {
  await skein('network', 'create', '--subnet', '10.7.0.0/24', 'demo');
  const on = ['--network', 'demo'];
  const path = '/run/netns/some';
  const shown = '{{.name}} {{.interface}} {{join .addresses ","}}';
  const attached = await skein('attach', ...on, '--name', 'box', '10.7.0.9', path, '-f', shown);
  assert.deepEqual(attached, { stdout: 'box eth0 10.7.0.9/24\n', stderr: '', code: 0 });
  assert.equal((await skein('attach', ...on, '--ip', '10.7.0.10', '123')).stdout, '10.7.0.10/24\n');
  await skein('run', '-d', '--name', 'c', '--', 'sleep', '60');
  assert.equal((await skein('attach', ...on, '10.7.0.11', '--alias', 'x', 'c')).stdout, '10.7.0.11/24\n');
  const names = '{{range .Containers}}{{.IPv4Address}} {{end}}';
  assert.equal((await skein('inspect', '-f', names, 'demo')).stdout.trim().split(' ').length, 3);
  for (const place of [path, '123', 'c']) {
    assert.deepEqual(await skein('detach', ...on, place), { stdout: '', stderr: '', code: 0 });
  }
  const table: [string[], RegExp][] = [
    [['detach', ...on, path], /^skein: the namespace is not attached/],
    [['attach', 'x'], /^skein: container x not found$/m],
    [['attach', ...on, '10.7.0.9/24'], /^skein: give the path of a namespace, a pid, or the name of a container$/m],
    [['attach', ...on, '10.7.0/24', '123'], /^skein: "10\.7\.0\/24" is not an address$/m],
    [['attach', ...on, '10.7.0.8', '--ip', '10.7.0.9', '1'], /one IPv4 address in a subnet; write others with/],
    [['attach', ...on, '--name', 'x', 'c'], /^skein: container c keeps its name: leave out --name$/m],
    [['attach', ...on, 'none'], /^skein: container none not found$/m],
  ];
  for (const [args, message] of table) {
    const { stderr, code } = await skein(...args);
    assert.match(stderr, message);
    assert.equal(code, 1);
  }
  await skein('rm', '-f', 'c');
  await skein('network', 'rm', 'demo');
});

/** What bash offers for the last of the words. */
async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const { child, ended } = execute(
    [
      'bash',
      '-c',
      `skein() { "$node" -- "$main" "$@"; }
    eval "$(skein completion bash)"; COMP_WORDS=(skein "$@"); COMP_CWORD=$#; _skein; printf '%s\\n' "\${COMPREPLY[@]}"`,
      'bash',
      ...words,
    ],
    {
      node: process.execPath,
      main: place('./main.ts'),
    },
  );
  child.stdin.end();
  return (await ended).stdout.split('\n').filter((line) => line !== '');
}

test('what a container is told of names is in its inspect, and what resolv.conf cannot have is refused', async () => {
  const dns = ['--dns', '192.0.2.1', '--dns', 'FD00::1', '--dns-search', '.', '--dns-option', 'ndots:2'];
  const ports = ['--expose', 'http:80', '--expose', '53/udp'];
  await skein('run', '-d', '--name', 'named', ...dns, ...ports, '--', 'sleep', '60');
  const shown =
    '{{json .HostConfig.Dns}} {{json .HostConfig.DnsSearch}} {{json .HostConfig.DnsOptions}} {{json .Config.ExposedPorts}}';
  assert.equal(
    (await skein('inspect', 'named', '-f', shown)).stdout,
    '["192.0.2.1","fd00::1"] ["."] ["ndots:2"] {"80/tcp":{},"53/udp":{}}\n',
  );
  for (const [flag, value] of [
    ['--dns', 'fe80::1%eth0'],
    ['--dns', 'dns.example'],
    ['--dns-search', 'a b'],
    ['--dns-search', `${'a'.repeat(64)}.example`],
    ['--dns-option', 'ndots:x'],
    ['--dns-option', 'rotate\nnameserver 192.0.2.2'],
  ] as const) {
    const { code, stderr } = await skein('run', '-d', flag, value, '--', 'true');
    assert.equal(code, 125, `${flag} ${value}`);
    assert.ok(stderr.startsWith(`skein: ${flag} ${JSON.stringify(value)} is `), stderr);
  }
  await skein('rm', '-f', 'named');
});

test('names are given by hand, looked up, listed and taken back', async () => {
  await skein('network', 'create', 'office');
  const given = ['dns', 'add', 'printer', '192.0.2.9', 'FD00::9', '--port', 'http:631', '--network', 'office'];
  assert.deepEqual(await skein(...given), { code: 0, stdout: 'printer\n', stderr: '' });
  await skein('dns', 'add', 'scanner', '192.0.2.10');
  const list = '{{.Name}} {{.Network}} {{.Addresses}} {{.Ports}} {{.Kind}} {{.Host}} {{.State}}';
  assert.equal(
    (await skein('dns', 'ls', '--format', list)).stdout,
    'printer office 192.0.2.9,fd00::9 http:631/tcp record h1 alive\nscanner * 192.0.2.10  record h1 alive\n',
  );
  assert.match((await skein('dns', 'ls')).stdout, /^NAME +NETWORK +ADDRESSES +KIND +HOST +STATE\nprinter +office /);
  assert.match((await skein('dns', 'ls', '-q', '--filter', 'network=office')).stdout, /^[0-9a-f]{12}\n$/);
  assert.equal((await skein('dns', 'ls', '-q', '--filter', 'kind=container')).stdout, '');
  assert.equal((await skein('dns', 'lookup', 'printer')).stdout, '192.0.2.9\nfd00::9\n');
  assert.equal((await skein('dns', 'lookup', 'printer', '--type', 'aaaa')).stdout, 'fd00::9\n');
  const [json] = (await skein('dns', 'lookup', 'scanner', '--format', 'json')).stdout.split('\n');
  assert.deepEqual(JSON.parse(json ?? ''), {
    ...{ name: 'scanner', status: 'NOERROR', own: true },
    records: [{ name: 'scanner', ttl: 1, type: 'A', data: '192.0.2.10' }],
  });
  for (const [words, message] of [
    [['lookup', 'scanner', '--type', 'AAAA'], 'skein: scanner has no record of type AAAA\n'],
    [['lookup', 'nobody'], 'skein: nobody is answered with NXDOMAIN\n'],
    [['lookup', 'a.example'], 'skein: a.example is answered with SERVFAIL: 192.0.2.54 did not answer\n'],
    [['lookup', 'x', '--from', 'nobody'], 'skein: container nobody not found\n'],
    [['lookup', 'x', '--type', 'A+B'], 'skein: the query: type is not a type of records\n'],
    [['add', 'x', '192.0.2'], 'skein: address "192.0.2" is not an IP address\n'],
    [
      ['add', 'x', '192.0.2.1', '--network', 'skein_gwbridge'],
      "skein: skein_gwbridge is this host's own bridge: containers join it by themselves\n",
    ],
    [['lookup', ''], 'skein: cannot look up an empty name: give one, or an address\n'],
    [['remove', 'x'], 'skein: no record x was added on this host\n'],
  ] as const) {
    assert.deepEqual(await skein('dns', ...words), { code: 1, stdout: '', stderr: message });
  }
  assert.equal((await skein('dns', 'remove', 'printer', 'fd00::9', '--network', 'office')).stdout, 'printer office\n');
  assert.equal((await skein('dns', 'lookup', 'printer')).stdout, '192.0.2.9\n');
  await skein('dns', 'add', 'printer', '192.0.2.11');
  await skein('run', '-d', '--name', 'clerk', '--network', 'office', '--', 'sleep', '60');
  await skein('run', '-d', '--name', 'guest', '--', 'sleep', '60');
  assert.equal((await skein('dns', 'lookup', 'printer', '--from', 'clerk')).stdout, '192.0.2.9\n');
  assert.equal((await skein('dns', 'lookup', 'printer', '--from', 'guest')).stdout, '192.0.2.11\n');
  const long = 'x'.repeat(64);
  const { stderr } = await skein('run', '-d', '--name', long, '--network', 'office', '--', 'true');
  assert.match(stderr, /^skein: warning: nobody can ask for x{64}: DNS has at most 63 characters between dots; /);
  await skein('rm', '-f', 'clerk', long, 'guest');
  assert.equal((await skein('dns', 'remove', 'printer')).stdout, 'printer\n');
  assert.equal((await skein('dns', 'remove', 'printer')).code, 1);
  assert.equal((await skein('dns', 'lookup', 'printer')).stdout, '192.0.2.9\n');
  assert.equal((await skein('dns', 'rm', 'printer', '--network', 'office')).stdout, 'printer office\n');
  await skein('dns', 'add', 'printer', '192.0.2.11');
  await skein('dns', 'add', '--network', 'office', 'printer', '192.0.2.9');
  assert.equal((await skein('dns', 'rm', 'printer', '--all-networks', '--network', 'office')).code, 1);
  assert.equal((await skein('dns', 'rm', 'printer', '--all-networks')).stdout, 'printer\nprinter office\n');
  await skein('dns', 'rm', 'scanner');
  assert.equal((await skein('dns', 'ls', '-q')).stdout, '');
  await skein('network', 'rm', 'office');
});

test('expose and hide take the default network or the only one there is, and name the choices when there are more', async () => {
  await skein('network', 'rm', 'skein');
  assert.equal((await skein('expose', '10.0.1.9/24')).stdout, '10.0.1.9\n');
  await skein('network', 'create', 'front');
  assert.equal((await skein('hide', '--network', 'skein')).stdout, '10.0.1.9\n');
  await skein('network', 'rm', 'skein');
  assert.deepEqual(await skein('expose', '10.0.0.40'), { code: 0, stdout: '10.0.0.40\n', stderr: '' });
  await skein('network', 'create', 'back');
  for (const [words, message] of [
    [['expose'], 'skein: there are several networks, name one with --network: back, front\n'],
    [['expose', '10.0.0/24'], 'skein: "10.0.0/24" is not an address\n'],
    [['hide', '10.0.0.99'], 'skein: this host has 10.0.0.99 on no network: skein status shows where it is\n'],
    [['hide', 'x'], 'skein: "x" is not an address\n'],
    [
      ['expose', '--network', 'back', '10.0.0.4', '10.0.0.5'],
      'skein: 10.0.0.4 and 10.0.0.5: an endpoint has one IPv4 address in a subnet; write others with their length\n',
    ],
  ] as const) {
    const { code, stderr } = await skein(...words);
    assert.deepEqual([code, sorted(stderr)], [1, sorted(message)]);
  }
  const edge = await skein(
    'expose',
    '--network',
    'back',
    '-h',
    'edge',
    '--without-masquerade',
    '-f',
    '{{.name}} {{.masquerade}}',
  );
  assert.equal(edge.stdout, 'edge false\n');
  assert.match(
    (await skein('status')).stdout,
    /^Exposed: +on front as h1, 10\.0\.0\.40\/24 \(skein-[0-9a-f]{9}\)\n +on back as edge, .*no masquerade\)$/m,
  );
  assert.match(
    (await skein('hide')).stderr,
    /^skein: this host is on several networks, name one with --network: front, back\n$/,
  );
  assert.deepEqual((await skein('__complete', 'bash', 'hide', '--network', 'f')).stdout, 'front\n');
  assert.equal((await skein('hide', '10.0.0.40')).stdout, '10.0.0.40\n');
  assert.equal((await skein('hide')).code, 0);
  assert.deepEqual(await skein('hide'), { code: 0, stdout: '', stderr: '' });
  for (const name of ['front', 'back']) await skein('network', 'rm', name);
});

/** The memory of the daemon lists networks in no order. */
function sorted(text: string): string {
  return text
    .split(/[ ,\n]+/)
    .toSorted()
    .join(' ');
}

test('status dns says where names are asked for, and who says nothing', async () => {
  const { stdout } = await skein('status', 'dns');
  assert.equal(
    stdout,
    [
      'Servers:     169.254.53.53, fd53::53',
      'Domains:     skein.local',
      'Names:       of 0 endpoints and records',
      'Questions:   12, of which others were asked 3; they left 1 unanswered; 0 refused',
      'Others:      192.0.2.53',
      '             192.0.2.54 is silent',
      '',
    ].join('\n'),
  );
  assert.equal(
    (await skein('status', 'dns', '--format', '{{range .resolvers}}{{.silent}} {{end}}')).stdout,
    'false true \n',
  );
  const status = {
    ...JSON.parse((await skein('status', 'dns', '--format', 'json')).stdout),
    staleSince: '2026-01-01T00:00:00Z',
  };
  assert.match(
    formatDns(status, Date.parse('2026-01-01T00:00:10Z')),
    /\nStale: +since 2026-01-01T00:00:00Z \(10 seconds\): the store is away/,
  );
  assert.match(
    formatDns({ ...status, unheld: 'it hangs' }, 0),
    /\nUnheld: +questions will not wait for the next daemon: it hangs\n$/,
  );
});

test('a shell completes commands, flags and the names that the daemon knows', async () => {
  await skein('network', 'create', 'frontend');
  await skein('run', '-d', '--name', 'freddy', '--', 'sleep', '60');
  await skein('dns', 'add', 'fridge', '192.0.2.1');
  const table: [string[], string[]][] = [
    [['net'], ['network']],
    [['network', 'i'], ['inspect']],
    [['network', 'ls', '--no'], ['--no-trunc']],
    [['network', 'rm', 'f'], ['frontend']],
    [['network', 'connect', 'frontend', 'f'], ['freddy']],
    [
      ['inspect', 'fr'],
      ['freddy', 'frontend'],
    ],
    [['run', '--network', 'fr'], ['frontend']],
    [['run', '--network', '=', 'fr'], ['frontend']],
    // The way out of a host can be looked at, and nothing else.
    [['network', 'inspect', 'skein_'], ['skein_gwbridge']],
    [['network', 'rm', 'skein_'], []],
    [['network', 'connect', 'skein_'], []],
    [['run', '--network', 'skein_'], []],
    [
      ['run', '--restart', ''],
      ['no', 'on-failure', 'always', 'unless-stopped'],
    ],
    [['dns', 'remove', 'f'], ['fridge']],
    [['dns', 'lookup', '--from', 'f'], ['freddy']],
    [['status', 'd'], ['dns']],
    [['logs', '-f', 'fr'], ['freddy']],
    [['inspect', '--type', 'n'], ['network']],
    [['completion', 'z'], ['zsh']],
    [
      ['lab', 'up', '--underlay', ''],
      ['4', '6'],
    ],
    [['-H', 'unix:///no/such', 'logs', ''], []],
    [['--ho'], ['--host']],
  ];
  for (const [words, want] of table) assert.deepEqual(await offered(...words), want, words.join(' '));
  assert.match((await skein('__complete', 'fish', 'netw')).stdout, /^network\tNetworks of the cluster\n$/);
  assert.match((await skein('__complete', 'zsh', 'netw')).stdout, /^network:Networks of the cluster\n$/);
  await skein('rm', '-f', 'freddy');
  await skein('dns', 'remove', 'fridge');
  await skein('network', 'rm', 'frontend');
});

test('help is the same by both ways, and what is no command is named', async () => {
  const { stdout } = await skein('help', 'network', 'ls');
  assert.equal(stdout, (await skein('network', 'ls', '--help')).stdout);
  assert.match(stdout, /\nExample:\n {2}skein network ls --filter label=tier=web /);
  assert.equal((await skein('help')).stdout, (await skein('--help')).stdout);
  assert.equal((await skein('help', 'nope')).stderr, 'skein: there is no command nope; see skein --help\n');
});

test('on a terminal what takes more than a second is said, and nowhere else', async (t) => {
  const through = join(directory, 'slow.sock');
  const server = createServer((connection) => {
    connection.on('error', () => {});
    setTimeout(() => connection.destroy(), 1_300);
  });
  t.after(() => server.close());
  server.listen(through);
  await once(server, 'listening');
  const command = `"$node" -- "$main" -H ${through} ps`;
  const env = { node: process.execPath, main: place('./main.ts'), TERM: 'xterm' };
  const [onTerminal, piped] = await Promise.all([
    execute(['script', '-qec', command, '/dev/null'], env).ended,
    execute(['sh', '-c', command], env).ended,
  ]);
  const said = `waiting for the daemon at ${through} … 1 s\u001b[K\r\u001b[Kskein: `;
  assert.ok(onTerminal.stdout.includes(said), onTerminal.stdout);
  assert.match(piped.stderr, /^skein: the daemon at .* went away/);
});

test('run takes addresses before -- among its flags, and puts who names no network on the default one', async () => {
  const shown = '{{range $name, $at := .NetworkSettings.Networks}}{{$name}} {{$at.IPAddress}}{{end}}';
  for (const [words, networks] of [
    [['--', 'sleep', '60'], /^skein 10\.0\.0\.\d+$/m],
    [['10.0.1.1/24', '-h', 'one', 'ip:10.0.2.1/24', '--', 'sleep', '60'], /^skein 10\.0\.1\.1$/m],
    [['net:default', '--', 'sleep', '60'], /^skein /m],
    [['--network', 'skein_gwbridge', 'sleep', '60'], /^skein_gwbridge 172\./m],
  ] as const) {
    const { stdout, stderr } = await skein('run', '-d', '--name', 'lone', ...words);
    assert.equal(stderr, '');
    assert.match((await skein('inspect', '-f', shown, stdout.trim())).stdout, networks, words.join(' '));
    await skein('rm', '-f', 'lone');
  }
  for (const [words, message] of [
    [['10.0.1.1/24', 'nginx'], /^skein: containers of images \(nginx\) do not work yet: put -- between/],
    [['10.0.1.1/24'], /^skein: missing required argument 'command'/],
    [['10.0.1.1/24', '--'], /^skein: missing required argument 'command'/],
    [['--', '10.0.1.1/24'], /^skein: cannot run 10\.0\.1\.1\/24/],
    [['10.0.1.1/24', '--loud', '--', 'true'], /^skein: unknown option '--loud'/],
  ] as const) {
    const { stderr, code } = await skein('run', ...words);
    assert.match(stderr, message, words.join(' '));
    assert.equal(code, words[0] === '--' ? 127 : 125);
  }
});

test('run shows both outputs and ends with the code of the command', async () => {
  assert.deepEqual(await skein('run', '--rm', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'), {
    stdout: 'out\n',
    stderr: 'err\n',
    code: 7,
  });
});

test('run gives the command its input, and what stands behind it is its own', async () => {
  const { child, ended } = start(
    ['run', '--rm', '-i', '-e', 'A=1', '-e', 'B', 'sh', '-c', 'cat; echo $A$B "$@"', 'x', '--rm', '-d'],
    { B: '2' },
  );
  child.stdin.end('hello\n');
  assert.equal((await ended).stdout, 'hello\n12 --rm -d\n');
});

test('exit codes are those of Docker', async () => {
  const table: [string[], number, RegExp][] = [
    [['run', '--', '/no/such'], 127, /^skein: cannot run \/no\/such/],
    [['run', '--network', 'none', '--', 'true'], 125, /^skein: network none not found\n$/],
    [['run'], 125, /^skein: missing required argument 'command'/],
    [['run', '--loud', 'true'], 125, /^skein: unknown option '--loud'/],
    [['run', '-p', '80:80', 'true'], 125, /^skein: --publish does not work yet\n$/],
    [['run', '-it', 'true'], 125, /^skein: the input device is not a TTY\n$/],
    [['run', '--net', 'a', '--network', 'b', 'true'], 125, /^skein: give one network/],
    [['run', '--mac-address', '01:00:5e:00:00:01', 'true'], 125, /^skein: the body: mac is a multicast/],
    [['run', '--env-file', '/no/such', 'true'], 125, /^skein: cannot read \/no\/such/],
    [['exec', 'none', 'true'], 1, /^skein: container none not found\n$/],
    [['network', 'create', '--ingress', 'x'], 1, /^skein: --ingress does not work yet\n$/],
    [
      ['network', 'create', '--ip-range', '10.0.0.0/28', 'x'],
      1,
      /^skein: every ip-range or gateway must have a corresponding subnet\n$/,
    ],
    [['network', 'create', '../x'], 1, /^skein: the body: name is not a name:/],
    [
      ['network', 'create', '--subnet', '10.0.0.0/24', '--gateway', '10.9.0.1', 'x'],
      1,
      /no matching subnet for gateway 10\.9\.0\.1/,
    ],
    [['network', 'create', '--subnet', 'x', '--gateway', '10.9.0.1', 'x'], 1, /"x" is not an address/],
    [['network'], 1, /Usage: skein network/],
    [['network', 'bogus'], 1, /^skein: unknown command 'bogus'/],
    [['bogus'], 1, /^skein: unknown command 'bogus'/],
    [['ps', 'x'], 1, /too many arguments/],
    [['logs', '--tail', '-1', 'x'], 1, /^skein: --tail "-1" is neither a number nor all/],
    [['inspect', '-f', '{{.Id', 'x'], 1, /^skein: template parsing error: template: :1:0: unclosed action/],
    [['-H', 'tcp://1.2.3.4:2375', 'ps'], 1, /^skein: cannot speak to tcp:/],
    [
      ['-H', 'unix:///no/such.sock', 'ps'],
      1,
      /^skein: no daemon answers at \/no\/such\.sock; start one with skein launch\n$/,
    ],
    [['-H', 'nolabhost', 'run', 'true'], 125, /skein-lab\/default\/nolabhost\/run\/skein\/skein\.sock/],
    [['launch', '--data-port', '0'], 1, /^skein: --data-port: "0" is not a port/],
    [['launch', '-H', 'tcp://0.0.0.0:1'], 1, /^skein: --host: .* would need client certificates/],
    [['launch', '--config-file', '/no/such.json'], 1, /^skein: cannot read \/no\/such\.json/],
  ];
  for (const [args, code, message] of table) {
    const ended = await skein(...args);
    assert.match(ended.stderr, message, args.join(' '));
    assert.equal(ended.code, code, args.join(' '));
  }
});

test('an older Node is named', async () => {
  const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.9.0' } })`;
  const { ended } = start(['ps'], { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(older)}` });
  const { stderr, code } = await ended;
  assert.deepEqual({ stderr, code }, { stderr: 'skein: this is Node 22.9.0; 24 or later is needed\n', code: 1 });
});

test('a settings file with an unknown key is refused, naming file and key', async () => {
  const file = join(directory, 'daemon.json');
  writeFileSync(file, '{"cluster-stoer": "etcd://127.0.0.1"}');
  const { stderr, code } = await skein('launch', '--config-file', file);
  assert.match(stderr, /daemon\.json: "cluster-stoer" is not a setting; there are: cluster-store,/);
  assert.equal(code, 1);
});

test('ps has the columns of Docker, and its fields', async () => {
  const alone = ['--network', 'skein_gwbridge'];
  const { stdout } = await skein(
    'run',
    '-d',
    ...alone,
    '--name',
    'sleeper',
    '--',
    'sh',
    '-c',
    'while true; do sleep 3600; done',
  );
  const id = stdout.trim();
  const table = (await skein('ps')).stdout.split('\n');
  assert.match(table[0] ?? '', /^CONTAINER ID {3}IMAGE {5}COMMAND +CREATED +STATUS +PORTS {5}NAMES$/);
  assert.match(table[1] ?? '', new RegExp(`^${id.slice(0, 12)}   - {9}"sh -c 'while true; …" +.* ago +Up .* sleeper$`));
  assert.equal(
    (await skein('ps', '--format', '{{.Names}} {{.State}} {{.Networks}}')).stdout,
    'sleeper running skein_gwbridge\n',
  );
  assert.equal(JSON.parse((await skein('ps', '--format', 'json')).stdout).Names, 'sleeper');
  for (const [filter, found] of [
    ['name=sleep', true],
    [`id=${id.slice(0, 5)}`, true],
    ['status=exited', false],
    ['network=skein_gwbridge', true],
    ['network=none', false],
    ['label=x', false],
    ['since=sleeper', false],
  ] as const) {
    const { stdout: ids } = await skein('ps', '-q', '--no-trunc', '-f', filter);
    assert.equal(ids, found ? `${id}\n` : '', filter);
  }
  assert.equal((await skein('ps', '-ql')).stdout, `${id.slice(0, 12)}\n`);
  assert.equal((await skein('exec', 'sleeper', '--', 'sh', '-c', 'echo hi; exit 4')).code, 4);
  assert.deepEqual(await skein('rm', 'sleeper'), {
    stdout: '',
    stderr: 'skein: container sleeper is running: kill it first or use force\n',
    code: 1,
  });
  assert.equal((await skein('kill', '-s', 'TERM', 'sleeper')).stdout, 'sleeper\n');
  assert.equal((await skein('logs', '-f', 'sleeper')).code, 0);
  assert.equal((await skein('ps', '-qf', 'exited=143', '-n', '1', '--no-trunc')).stdout, `${id}\n`);
  assert.match((await skein('ps', '-a')).stdout, /Exited \(143\) .* ago/);
  assert.equal((await skein('rm', 'sleeper')).stdout, 'sleeper\n');
});

test('a container in the foreground gets the signals that run gets', async () => {
  const { child, ended } = start([
    'run',
    '--rm',
    '--',
    'sh',
    '-c',
    "trap 'echo got it; exit 9' TERM; echo ready; while true; do sleep 0.05; done",
  ]);
  await once(child.stdout, 'readable');
  child.kill('SIGTERM');
  const { stdout, code } = await ended;
  assert.deepEqual({ stdout, code }, { stdout: 'ready\ngot it\n', code: 9 });
});

test('a reader of the output who has gone away ends it quietly, and a full disk with a sentence', async () => {
  await skein('run', '-d', '--name', 'talker', '--', 'sh', '-c', 'while echo line; do sleep 0.01; done');
  const full = 'skein: cannot write to the standard output: ENOSPC: no space left on device, write\n';
  const table: [string, string][] = [
    ['{ skein logs -f talker; echo $? >&2; } | head -1', '141\n'],
    // The shell's echo fails when the reader has gone.
    [`trap '' PIPE; { while echo; do :; done 2>/dev/null; skein ps; echo $? >&2; } | :`, '141\n'],
    ['skein logs -f talker >/dev/full; echo $? >&2', `${full}1\n`],
    ['skein ps >/dev/full; echo $? >&2', `${full}1\n`],
    ['skein --help >/dev/full; echo $? >&2', `${full}1\n`],
    ['(skein bogus 2>/dev/full; echo $? >&2)', '1\n'],
  ];
  for (const [script, stderr] of table) assert.equal((await shell(script)).stderr, stderr, script);
  await skein('rm', '-f', 'talker');
});

test('an input that the command did not wait for is nothing to complain of', async (t) => {
  const through = join(directory, 'late.sock');
  const client = openClient(socket);
  let connections = 0;
  const passOn = (from: Socket) => {
    const to = connect(socket);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
    from.pipe(to).pipe(from);
  };
  const whenEnded = async () => {
    const { Id } = await client.call('getContainer', { params: { name: 'brief' } });
    await client.wait(Id, { signal: AbortSignal.timeout(10_000) });
  };
  // What comes after the request to run it arrives when the command has ended.
  const proxy = createServer((from) => {
    connections += 1;
    if (connections === 1) passOn(from);
    else
      whenEnded().then(
        () => passOn(from),
        (error: Error) => from.destroy(error),
      );
  });
  t.after(() => proxy.close());
  proxy.listen(through);
  await once(proxy, 'listening');
  const { child, ended } = start(['-H', through, 'run', '-i', '--name', 'brief', '--', 'echo', 'done']);
  t.after(() => child.kill());
  assert.deepEqual(await ended, { stdout: 'done\n', stderr: '', code: 0 });
});

test('an input that a living command cannot get is complained of', async () => {
  const { stdout } = await shell(
    'skein run -i --name deaf -- sleep 60 2>&1 0>/dev/null | { read line; echo "$line"; skein kill deaf; }',
  );
  assert.equal(stdout, 'skein: input: EBADF: bad file descriptor, read\ndeaf\n');
});

test('a daemon in the background that ends before it is ready is quoted', async () => {
  const stateDir = join(directory, 'state');
  const log = join(stateDir, 'daemon.log');
  const launch = async (code: string) => {
    const script = `if (process.argv[1].includes('/daemon/')) { ${code} }`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(script)}`;
    return await shell(`skein launch --detach --state-dir ${stateDir}`, { NODE_OPTIONS });
  };
  const first = await launch(`for (let i = 1; i < 8; i++) console.error('line ' + i + '\\x1b'); process.exit(3)`);
  const lines = [3, 4, 5, 6, 7].map((i) => `  line ${i}\\x1b\n`).join('');
  assert.equal(first.stderr, `skein: the daemon ended with code 3 before it was ready; the end of ${log}:\n${lines}`);
  assert.equal(first.code, 1);
  const second = await launch(`process.kill(process.pid, 'SIGKILL')`);
  assert.equal(second.stderr, `skein: the daemon ended with SIGKILL before it was ready; see ${log}\n`);
});

test('what is missing is complained of and the rest is shown', async () => {
  await skein('network', 'create', 'shown');
  const { stdout, stderr, code } = await skein('inspect', 'none', 'shown');
  assert.equal(JSON.parse(stdout)[0].Name, 'shown');
  assert.equal(stderr, 'skein: no such object: none\n');
  assert.equal(code, 1);
  await skein('network', 'rm', 'shown');
});

test('status, version and host ls tell what there is', async () => {
  assert.match((await skein('status')).stdout, /^Hosts: +1 alive, 1 lost$/m);
  assert.match((await skein('status')).stdout, /^Skipped: +\/skein\/networks\/x: is not JSON$/m);
  assert.equal((await skein('status', '-f', '{{.host.name}}')).stdout, 'h1\n');
  assert.match((await skein('version')).stdout, /^Client:\n Version: .*Server:\n Version: /s);
  assert.match((await skein('host', 'ls')).stdout, /^HOST ID .*\n0{12} \* +h1 .* alive +now +\S+\n2{12} +h2 .* lost /);
});

test('stop ends the daemon, and version says that none answers', async () => {
  assert.deepEqual(await skein('stop'), { stdout: '', stderr: '', code: 0 });
  assert.match((await skein('version')).stdout, /Server: none answers at /);
  assert.equal((await skein('version', '-f', '{{.Server.Version}}')).code, 1);
  await startDaemon();
});

test('targets are sockets or hosts of a lab', () => {
  assert.equal(parseTarget('unix:///a/b.sock'), '/a/b.sock');
  assert.equal(parseTarget('/a/b.sock'), '/a/b.sock');
  assert.equal(parseTarget('h1'), `${labsFolder()}/default/h1/run/skein/skein.sock`);
  assert.equal(parseTarget('demo/h1'), `${labsFolder()}/demo/h1/run/skein/skein.sock`);
  for (const text of ['', '../x', 'a/b/c', 'a/../b', 'unix://relative', 'a b'])
    assert.throws(() => parseTarget(text), text);
});

test('tables are as wide as Docker makes them, and steer no terminal', () => {
  assert.equal(
    formatTable(['A', 'LONG HEADER', 'B'], [['1', '2', '\u001b[2J']]),
    'A         LONG HEADER   B\n1         2             \\x1b[2J\n',
  );
  assert.equal(printable('a\nb'), 'a\\x0ab');
});

test('durations are in Docker’s words', () => {
  const table: [number, string][] = [
    [0, 'Less than a second'],
    [1_000, '1 second'],
    [59_999, '59 seconds'],
    [60_000, 'About a minute'],
    [120_000, '2 minutes'],
    [3_600_000, 'About an hour'],
    [2 * 3_600_000, '2 hours'],
    [48 * 3_600_000, '2 days'],
    [14 * 86_400_000, '2 weeks'],
    [60 * 86_400_000, '2 months'],
    [730 * 86_400_000, '2 years'],
  ];
  for (const [ms, text] of table) assert.equal(formatDuration(ms), text);
});

test('commands are quoted and cut as Docker does it', () => {
  const table: [string[], string, string][] = [
    [['sleep', 'infinity'], '"sleep infinity"', '"sleep infinity"'],
    [['sh', '-c', 'while true; do x'], `"sh -c 'while true; …"`, `"sh -c 'while true; do x'"`],
    [['a b', 'c'], '"a b c"', '"a b c"'],
    [['12345678901234567890'], '"12345678901234567890"', '"12345678901234567890"'],
    [['😀'.repeat(21)], `"${'😀'.repeat(19)}…"`, `"${'😀'.repeat(21)}"`],
    [['echo', '"\\\n\u001b'], '"echo \\"\\\\\\n\\x1b"', '"echo \\"\\\\\\n\\x1b"'],
  ];
  for (const [command, short, whole] of table) {
    assert.equal(formatCommand(command, true), short);
    assert.equal(formatCommand(command, false), whole);
  }
});

test('status says since when the store has not answered, and which member', () => {
  const host = {
    id: 'i',
    name: 'h1',
    advertise: 'a',
    data: 'd',
    mtu: 1500,
    version: '1',
    state: 'alive' as const,
    self: true,
  };
  const text = formatStatus(
    {
      state: 'ready',
      version: '1',
      pid: 1,
      started: '2026-01-01T00:00:00Z',
      cluster: { id: 'c', generation: 1, featureLevel: 1, dataPort: 4789, underlay: 4 },
      store: {
        url: 'etcd://a:1,b:1',
        members: [
          { url: 'a:1', healthy: true },
          { url: 'b:1', healthy: false },
        ],
        failingSince: '2026-01-01T00:00:00Z',
        lastError: 'refused',
      },
      host,
      hosts: { alive: 1, lost: 0 },
      networks: 0,
      containers: { all: 0, running: 0 },
      sandboxes: 0,
      exposed: [
        {
          ...{ id: 'n', network: 'demo', name: 'h1', interface: 'skein-3d430f333', masquerade: false },
          addresses: ['10.0.0.5/24', 'fd01::5/64'],
        },
      ],
      paths: [
        { kind: 'mtu', host: 'h2', sentence: 'packets of 1500 bytes do not pass', since: '2026-01-01T00:00:00Z' },
      ],
      skipped: [],
    },
    Date.parse('2026-01-01T00:00:10Z'),
  );
  assert.match(text, /^Exposed: +on demo as h1, 10\.0\.0\.5\/24 fd01::5\/64 \(skein-3d430f333, no masquerade\)$/m);
  assert.match(text, /^Problems: +packets of 1500 bytes do not pass$/m);
  assert.match(
    text,
    /^Store: +etcd:\/\/a:1,b:1 has not answered since 2026-01-01T00:00:00Z \(10 seconds ago\): refused\n +b:1 does not answer$/m,
  );
});

test('a file of variables is read as Docker reads it', () => {
  assert.deepEqual(parseEnvironmentFile('# note\nA=1\r\n\n  B=2 \nC\n'), ['A=1', 'B=2 ', 'C']);
});
