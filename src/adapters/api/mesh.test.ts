import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { PathProblem } from '../../controllers/hosts/hosts.ts';
import { backoff } from '../../lib/backoff.ts';
import { silent } from '../../lib/log.ts';
import { Scope } from '../../lib/scope.ts';
import { type Client, openClient } from './client.ts';
import { memoryControllers } from './memory.testing.ts';
import { type MemoryHost, MemoryMesh, serveMemoryHost } from './memory-mesh.testing.ts';
import { openApi } from './server.ts';

const scope = new Scope();
after(() => scope.close());

async function folder(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'skein-mesh-api-'));
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function serve(host: MemoryHost, problems: readonly PathProblem[] = []): Promise<Client> {
  const path = join(await folder(), 'skein.sock');
  const api = await serveMemoryHost(host, path, problems);
  scope.defer(() => api.close());
  return openClient(path);
}

/** It begins anew there, and does not answer for a moment. */
async function waitUntilIn(client: Client, cluster: string | undefined): Promise<void> {
  for await (const _ of backoff({ first: 5, most: 50, signal: AbortSignal.timeout(10_000) })) {
    const status = await client.call('getStatus', {}).catch(() => undefined);
    if (status?.state === 'ready' && status.cluster.id === cluster) return;
  }
  assert.fail(`not in ${cluster} after 10 s`);
}

test('a host joins another with its token, both show it, and it can be made an admin and locked out', async () => {
  const mesh = new MemoryMesh();
  const [one, two] = await Promise.all([serve(mesh.found('h1')), serve(mesh.found('h2'))]);
  const { token, place } = await one.call('getToken', {});
  assert.equal(place, '192.0.2.1');
  const joined = await two.call('joinHosts', { body: { targets: ['192.0.2.1', '192.0.2.9:7000'], token } });
  await waitUntilIn(two, joined.cluster);
  const status = await one.call('getStatus', {});
  assert.ok(status.state === 'ready');
  const { kind, cluster, role, empty, hosts, links } = status.mesh ?? {};
  assert.deepEqual(
    { kind, role, empty, hosts, links },
    { kind: 'member', role: 'admin', empty: true, hosts: 2, links: 1 },
  );
  assert.deepEqual([joined.cluster, joined.restarts], [cluster, true]);
  assert.deepEqual(
    joined.reached.map(({ target, host, why }) => [target, host?.name, why]),
    [
      ['192.0.2.1:6783', 'h1', undefined],
      ['192.0.2.9:7000', undefined, '192.0.2.9:7000 does not answer: is TCP port 6783 open there'],
    ],
  );
  const peers = await two.call('listPeers', {});
  assert.deepEqual(
    peers.map(({ name, role, self, links }) => [name, role, self, links.map((link) => link.name)]),
    [
      ['h1', 'admin', false, ['h2']],
      ['h2', 'member', true, ['h1']],
    ],
  );
  const [connection] = await two.call('listConnections', {});
  assert.deepEqual([connection?.peer?.name, connection?.rtt, connection?.data?.mtu], ['h1', 0.25, 1450]);
  const ranges = await two.call('listRanges', {});
  assert.deepEqual(
    ranges.map(({ kind, network, owner, count }) => [kind, network?.name, owner.name, count]),
    [
      ['vnis', undefined, 'h2', '256'],
      ['addresses', 'demo', 'h1', '18446744073709551616'],
    ],
  );
  await assert.rejects(two.call('getToken', {}), { kind: 'forbidden', message: 'this host is no admin; h1 is' });
  const params = { name: 'h2' };
  assert.equal((await one.call('promoteHost', { params })).name, 'h2');
  assert.equal((await two.call('getToken', {})).token, token);
  const removed = await one.call('removeHost', { params });
  assert.equal(removed.name, 'h2');
  assert.notEqual(removed.token, token);
  await assert.rejects(one.call('removeHost', { params }), { kind: 'not-found' });
  assert.notEqual((await one.call('rotateToken', {})).token, removed.token);
});

test('a link says how packets of containers go there, and why not in the best way', async () => {
  const mesh = new MemoryMesh();
  const [h1, h2, h3, h4] = [mesh.found('h1'), ...['h2', 'h3', 'h4'].map((name) => mesh.wait(name, ''))];
  for (const host of [h2, h3, h4]) if (host && h1?.cluster) h1.cluster.roles.set(host, 'member');
  const since = new Date().toISOString();
  const about = (host: MemoryHost | undefined) => ({ ...(host && { id: host.id, host: host.name }), since });
  assert.ok(h1);
  const client = await serve(h1, [
    { kind: 'port', sentence: 'UDP port 4789 is closed', ...about(h2) },
    { kind: 'mtu', sentence: 'packets of 1500 bytes do not pass', ...about(h3) },
    { kind: 'clash', sentence: 'another network has the subnet', network: 'a'.repeat(64), ...about(h4) },
  ]);
  assert.deepEqual(
    (await client.call('listConnections', {})).map(({ peer, data }) => [peer?.name, data]),
    [
      ['h2', { kind: 'none', reason: 'UDP port 4789 is closed' }],
      ['h3', { kind: 'vxlan', mtu: 1450, reason: 'packets of 1500 bytes do not pass' }],
      ['h4', { kind: 'vxlan', mtu: 1450 }],
    ],
  );
});

test('targets are added, replaced and dropped, each written in one way', async () => {
  const mesh = new MemoryMesh();
  const client = await serve(mesh.found('h1'));
  const targets = async () => (await client.call('listTargets', {})).map(({ address }) => address);
  await client.call('joinHosts', { body: { targets: ['192.0.2.7', '2001:DB8::1', 'H3.example.:7000'] } });
  assert.deepEqual(await targets(), ['192.0.2.7:6783', '[2001:db8::1]:6783', 'h3.example.:7000']);
  await client.call('leaveHosts', { body: { targets: ['[2001:db8:0::1]:6783'] } });
  assert.deepEqual(await targets(), ['192.0.2.7:6783', 'h3.example.:7000']);
  await assert.rejects(client.call('leaveHosts', { body: { targets: ['192.0.2.8'] } }), { kind: 'not-found' });
  await client.call('joinHosts', { body: { targets: [], replace: true } });
  assert.deepEqual(await targets(), []);
});

test('what is no place and no token, and too many of them, is refused at the door and not quoted', async () => {
  const client = await serve(new MemoryMesh().found('h1'));
  for (const [body, message] of [
    [{ targets: ['192.0.2.300'] }, /targets\.0 is not HOST or HOST:PORT$/],
    [{ targets: ['h1:70000'] }, /targets\.0 is not HOST or HOST:PORT$/],
    [{ targets: [] }, /targets are none$/],
    [{ targets: Array.from({ length: 65 }, (_, i) => `h${i}`) }, /targets are more than 64$/],
    [{ targets: ['h1'], token: 'secret' }, /token is no token: it begins with skein1\.$/],
    [{ targets: ['h1'], token: `skein1.${'x'.repeat(100)}` }, /token is longer than a token$/],
  ] as const) {
    await assert.rejects(client.call('joinHosts', { body: { ...body, targets: [...body.targets] } }), {
      kind: 'invalid',
      message,
    });
  }
});

test('a host that waits says what for, joins, and refuses everything else in one sentence', async () => {
  const mesh = new MemoryMesh();
  const first = mesh.found('h1');
  const client = await serve(mesh.wait('h2', await first.token()));
  const status = await client.call('getStatus', {});
  assert.ok(status.state === 'waiting');
  assert.deepEqual([status.host.name, status.mesh.kind, status.mesh.place], ['h2', 'waiting', '192.0.2.2']);
  const refusal = { kind: 'unavailable', message: 'this host waits for others with its token: skein connect HOST' };
  await assert.rejects(client.call('listNetworks', {}), refusal);
  await assert.rejects(client.call('runContainer', { body: { command: ['true'] } }), refusal);
  const output = client.output('a'.repeat(64), { follow: false, signal: AbortSignal.timeout(10_000) });
  await assert.rejects(Array.fromAsync(output), refusal);
  await client.call('joinHosts', { body: { targets: ['192.0.2.9'] } });
  const { status: reported, mesh: parts } = await client.call('getReport', {});
  assert.equal(reported.state, 'waiting');
  assert.deepEqual(
    parts?.targets.map(({ address, state }) => [address, state]),
    [['192.0.2.9:6783', 'retrying']],
  );
  const { cluster, restarts } = await client.call('joinHosts', { body: { targets: ['192.0.2.1'] } });
  assert.deepEqual([cluster, restarts], [first.cluster?.id, true]);
  await waitUntilIn(client, cluster);
});

test('a host begins anew in its cluster also when nobody waits for the answer any more', async () => {
  const host = new MemoryMesh().found('h1');
  const [asked, gone, begun] = [0, 1, 2].map(() => Promise.withResolvers<void>());
  host.connect = async () => {
    asked?.resolve();
    await gone?.promise;
    return { restart: () => begun?.resolve(), reached: [] };
  };
  const client = await serve(host);
  const asking = new AbortController();
  const answer = client.call('joinHosts', { body: { targets: ['h2'] } }, { signal: asking.signal });
  await asked?.promise;
  asking.abort();
  await assert.rejects(answer, { name: 'AbortError' });
  // The server has seen it, too.
  await client.call('getVersion', {});
  gone?.resolve();
  await begun?.promise;
});

test('a host that holds something joins no other cluster', async () => {
  const mesh = new MemoryMesh();
  const first = mesh.found('h1');
  const client = await serve(mesh.found('h2', { empty: false }));
  await assert.rejects(
    client.call('joinHosts', { body: { targets: ['192.0.2.1'], token: await first.token() } }),
    /^Refusal: this host cannot join: .* skein reset/,
  );
  assert.deepEqual(await client.call('listTargets', {}), []);
});

test('on a store there is no mesh to ask or to change, and the report says the rest', async () => {
  const path = join(await folder(), 'skein.sock');
  const api = await openApi({ ...memoryControllers({ stop: () => undefined }), log: silent }, { sockets: [path] });
  scope.defer(() => api.close());
  const client = openClient(path);
  for (const call of [
    client.call('getToken', {}),
    client.call('joinHosts', { body: { targets: ['h1'] } }),
    client.call('removeHost', { params: { name: 'h2' } }),
    client.call('listPeers', {}),
  ]) {
    await assert.rejects(call, { kind: 'unsupported', message: /: the cluster of this host lives in memory:, / });
  }
  const { status, hosts, dns, mesh } = await client.call('getReport', {});
  assert.ok(status.state === 'ready');
  assert.equal(status.mesh, undefined);
  assert.deepEqual([hosts?.length, typeof dns?.questions, mesh], [2, 'number', undefined]);
});
