import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type MemoryHost, MemoryMesh, serveMemoryHost } from '../../adapters/api/memory-mesh.testing.ts';
import { Scope } from '../../lib/scope.ts';
import { parseTokenText } from '../../model/join-token.ts';
import { parseFlags, parseSettings } from '../../model/settings.ts';
import { handOver, howItWent } from '../launch.ts';

const directory = mkdtempSync(join(tmpdir(), 'skein-mesh-'));
const scope = new Scope();
scope.defer(async () => rmSync(directory, { recursive: true, force: true }));
after(() => scope.close());

const socketOf = (host: MemoryHost) => join(directory, `${host.name}.sock`);

async function serve(host: MemoryHost): Promise<void> {
  const api = await serveMemoryHost(host, socketOf(host));
  scope.defer(() => api.close());
}

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

function skein(host: MemoryHost | undefined, words: readonly string[], { input = '', env = {} } = {}): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const target = host === undefined ? {} : { SKEIN_HOST: `unix://${socketOf(host)}` };
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const own = { env: { PATH, NODE_COMPILE_CACHE, ...target, ...env } };
  const child = execFile(process.execPath, ['--', main, ...words], own, (error, stdout, stderr) => {
    resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code) });
  });
  child.stdin?.end(input);
  return promise;
}

test('a token is made without a daemon, and no two are alike', async () => {
  const [one, two] = await Promise.all([skein(undefined, ['token', 'new']), skein(undefined, ['token', 'new'])]);
  assert.deepEqual([one.code, one.stderr], [0, '']);
  assert.equal(parseTokenText(one.stdout).fingerprint, undefined);
  assert.notEqual(one.stdout, two.stdout);
});

test('a host joins another with a token from a file, and everything about it is shown on both', async () => {
  const mesh = new MemoryMesh();
  const [h1, h2] = [mesh.found('h1'), mesh.found('h2')];
  await Promise.all([serve(h1), serve(h2)]);
  assert.match(
    (await skein(h1, ['status'])).stdout,
    /^Mesh: +1 host, 0 links, admin, at 192\.0\.2\.1; empty: this host can still join others$/m,
  );
  const { stdout: token } = await skein(h1, ['token', 'show']);
  const line = (await skein(h1, ['token', 'show', '--command'])).stdout;
  assert.equal(line, `skein launch --token ${token.trim()} 192.0.2.1\n`);
  const file = join(directory, 'token');
  writeFileSync(file, token);
  const joined = await skein(h2, ['connect', '--token', `@${file}`, '192.0.2.1', '192.0.2.9']);
  const cluster = h1.cluster?.id.slice(0, 12);
  assert.deepEqual(joined, {
    stdout: `joined cluster ${cluster}\n192.0.2.1:6783 is h1\n`,
    stderr: 'skein: 192.0.2.9:6783 does not answer: is TCP port 6783 open there\n',
    code: 1,
  });
  assert.match((await skein(h1, ['status'])).stdout, /^Mesh: +2 hosts, 1 link, admin, at 192\.0\.2\.1$/m);
  const id = (host: MemoryHost) => host.id.slice(0, 12);
  assert.equal(
    (await skein(h2, ['status', 'peers'])).stdout,
    [
      'HOST ID          NAME      ROLE      STATE     ADDRESSES        LINKS',
      `${id(h1)}     h1        admin     alive     192.0.2.1:6783   h2 0.3 ms`,
      `${id(h2)} *   h2        member    alive     192.0.2.2:6783   h1 0.3 ms\n`,
    ].join('\n'),
  );
  assert.match(
    (await skein(h2, ['status', 'connections'])).stdout,
    /^DIALLED .*\nhere +192\.0\.2\.1:6783 +h1 +established +\S.* 0\.3 ms +vxlan +1450 +\n$/,
  );
  assert.match(
    (await skein(h2, ['status', 'targets'])).stdout,
    /\n192\.0\.2\.9:6783 +- +by hand +retrying +in Less than a second +it does not answer\n$/,
  );
  assert.equal(
    (await skein(h2, ['status', 'ipam', '--format', '{{.Numbers}}|{{.Owner}}|{{.Count}}|{{.Share}}|{{.Ranges}}']))
      .stdout,
    'VNIs|h2|256|100.0%|0-255\ndemo IPv6|h1|18446744073709551616|100.0%|0-255\n',
  );
  assert.equal((await skein(h2, ['report', '-f', '{{range .mesh.peers}}{{.name}} {{end}}'])).stdout, 'h1 h2 \n');
  assert.equal(JSON.parse((await skein(h2, ['report'])).stdout).status.mesh.kind, 'member');
  assert.deepEqual(await skein(h2, ['forget', '192.0.2.9']), { stdout: '', stderr: '', code: 0 });
  assert.equal((await skein(h2, ['status', 'targets', '-f', '{{.Address}}'])).stdout, '192.0.2.1:6783\n');
  assert.equal((await skein(h2, ['disconnect', '192.0.2.9'])).stderr, 'skein: 192.0.2.9:6783 is no target\n');
  assert.equal((await skein(h2, ['__complete', 'bash', 'disconnect', ''])).stdout, '192.0.2.1:6783\n');
  await skein(h2, ['connect', '--replace']);
  assert.equal((await skein(h2, ['status', 'targets', '-f', '{{.Address}}'])).stdout, '');

  assert.match((await skein(h2, ['token', 'rotate'])).stderr, /^skein: this host is no admin; h1 is\n$/);
  assert.equal((await skein(h1, ['host', 'promote', 'h2'])).stdout, 'h2\n');
  assert.notEqual((await skein(h2, ['token', 'rotate'])).stdout, token);
  const removed = await skein(h1, ['host', 'rm', id(h2)]);
  assert.equal(
    removed.stdout,
    `h2\nit knew the token, which was replaced; hosts join with: skein launch --token ${h1.cluster?.token} 192.0.2.1\n`,
  );
  assert.deepEqual(await skein(h1, ['host', 'rm', 'h2']), {
    ...{ stdout: '', stderr: 'skein: host h2 not found\n', code: 1 },
  });
});

test('a host that waits says for what, refuses the rest, and joins with the token that it has', async () => {
  const mesh = new MemoryMesh();
  const h3 = mesh.found('h3');
  const h4 = mesh.wait('h4', await h3.token());
  await serve(h4);
  assert.match(
    (await skein(h4, ['status'])).stdout,
    /^Host: +h4 \([0-9a-f]{32}\)\nCluster: +none yet: this host waits for others with its token: skein connect HOST\nPlace: +192\.0\.2\.4, where/m,
  );
  assert.deepEqual(await skein(h4, ['ps']), {
    ...{ stdout: '', stderr: 'skein: this host waits for others with its token: skein connect HOST\n', code: 1 },
  });
  assert.match(
    await howItWent({ host: [socketOf(h4)], runDir: directory, peer: [] }),
    /^this host waits for others with its token; .*: skein connect HOST\n$/,
  );
  assert.deepEqual(await skein(h4, ['connect', '192.0.2.9']), {
    stdout: 'this host goes on waiting for a cluster: skein status says for whom\n',
    stderr: 'skein: 192.0.2.9:6783 does not answer: is TCP port 6783 open there\n',
    code: 1,
  });
  assert.match((await skein(h4, ['status'])).stdout, /^Targets: +192\.0\.2\.9:6783: it does not answer$/m);
  const joined = `joined cluster ${h3.cluster?.id.slice(0, 12)}\n192.0.2.3:6783 is h3\n`;
  assert.match(
    await howItWent({ host: [socketOf(h4)], runDir: directory, peer: ['192.0.2.9:6783'] }, 200),
    /: skein connect HOST\n {2}192\.0\.2\.9:6783: it does not answer\n$/,
  );
  assert.deepEqual(await skein(h4, ['connect', '192.0.2.3']), { stdout: joined, stderr: '', code: 0 });
  assert.match((await skein(h4, ['status'])).stdout, /^Mesh: +2 hosts, 1 link, member, at 192\.0\.2\.4$/m);
});

test('a wrong token, no place and no token are refused in a sentence that does not show what was given', async () => {
  const h5 = new MemoryMesh().found('h5');
  await serve(h5);
  const token = (await skein(undefined, ['token', 'new'])).stdout.trim();
  const broken = `${token.slice(0, -6)}AAAAAA`;
  for (const [words, options, message] of [
    [['connect'], {}, /^skein: name a host to connect to: skein connect HOST\n$/],
    [['connect', 'a:b:c'], {}, /^skein: "a:b:c" is not HOST or HOST:PORT, /],
    [['connect', '--token', broken, 'h1'], {}, /^skein: the token was not copied as it is: /],
    [['connect', '--token', '-', 'h1'], { input: broken }, /^skein: the standard input: the token was not copied /],
    [['connect', '--token', '@/nonexistent', 'h1'], {}, /^skein: cannot read the token from \/nonexistent: ENOENT/],
    [['connect', 'h1'], { env: { SKEIN_TOKEN: broken } }, /^skein: the token was not copied as it is: /],
    [['launch', '--token', broken], {}, /^skein: --token: the token was not copied as it is: /],
  ] as const) {
    const { stderr, code } = await skein(h5, words, options);
    assert.match(stderr, message);
    assert.ok(!stderr.includes(token.slice(8, 16)), stderr);
    assert.equal(code, 1);
  }
});

test('a launch ends with how others join, where it is the first of its cluster, and else with the cluster', async () => {
  const mesh = new MemoryMesh();
  const h6 = mesh.found('h6');
  await serve(h6);
  const say = () => howItWent({ host: [], runDir: directory, peer: [] });
  assert.equal(await say(), '');
  const at = { host: [socketOf(h6)], runDir: directory, peer: [] };
  assert.equal(await howItWent(at), `other hosts join with: skein launch --token ${await h6.token()} 192.0.2.6\n`);
  const { restart } = await mesh.wait('h7', await h6.token()).connect({ targets: [h6.place], replace: false });
  restart?.();
  assert.equal(await howItWent(at), `it belongs to cluster ${h6.cluster?.id.slice(0, 12)}\n`);
});

test('a launched daemon is told everything, and its token by no argument', () => {
  const token = 'skein1.q6urq6urq6urq6urq6urqw.AAECAwQFBgcICQoLDA0ODxij';
  const given = ['--token', token, '--no-discovery', '--mesh-port=7000', '--peer', 'h1', 'h2:7001', '-H', 'unix:///a'];
  const flags = parseFlags(given);
  const chosen = parseSettings({ flags, env: {} });
  const { args, env } = handOver(flags, chosen);
  assert.ok(!args.join(' ').includes('skein1.'), args.join(' '));
  const received = parseSettings({ flags: parseFlags(args), env });
  const { token: source, ...rest } = received;
  assert.ok(source !== undefined && 'reveal' in source && source.reveal() === token);
  assert.deepEqual({ ...rest, token: undefined }, { ...chosen, token: undefined });
  assert.deepEqual([rest.peer, rest.meshPort, rest.discovery], [['h1:6783', 'h2:7001'], 7000, false]);
});

test('interfaces are listed as weave ps does', async (t) => {
  const h8 = new MemoryMesh().found('h8');
  await serve(h8);
  t.after(() => skein(h8, ['rm', '-f', 'c', 'several', 'alone']));
  for (const name of ['demo', 'other']) await skein(h8, ['network', 'create', name]);
  const id = (await skein(h8, ['run', '-d', '--network', 'demo', '--name', 'c', '--', 'sleep', '60'])).stdout.trim();
  await skein(h8, ['network', 'connect', 'other', 'c']);
  const alone = ['run', '-d', '--network', 'skein_gwbridge', '--name', 'alone', '--', 'sleep', '60'];
  assert.equal((await skein(h8, alone)).code, 0);
  await skein(h8, ['expose', '--network', 'demo']);
  const words = ['run', '-d', '--network', 'demo', '--name', 'several', '10.2.1.1/24', '10.2.2.1/24'];
  const several = (await skein(h8, [...words, '--', 'sleep', '60'])).stdout.trim();
  const mac = '(02:42(?::[0-9a-f]{2}){4})';
  const lines = (await skein(h8, ['ps', '--weave'])).stdout;
  assert.match(lines, new RegExp(`^${several.slice(0, 12)} ${mac} 10\\.2\\.1\\.1/24 10\\.2\\.2\\.1/24$`, 'm'));
  assert.match(
    lines.replace(new RegExp(`${several.slice(0, 12)} .*\n`), ''),
    new RegExp(
      [
        `^weave:expose ${mac} 10\\.0\\.0\\.\\d+/24`,
        `${id.slice(0, 12)} ${mac} 10\\.0\\.0\\.\\d+/24`,
        `${id.slice(0, 12)} ${mac} 10\\.0\\.0\\.\\d+/24\n$`,
      ].join('\n'),
    ),
  );
});
