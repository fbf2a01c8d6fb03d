import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { messageOf, Refusal } from '../../lib/errors.ts';
import { type Fields, type Log, silent } from '../../lib/log.ts';
import { Scope } from '../../lib/scope.ts';
import { type Client, NotExecuted, openClient, type StatusView } from './client.ts';
import { describeApi, describePath } from './description.ts';
import type { ApiNeeds } from './handlers.ts';
import { memoryControllers } from './memory.testing.ts';
import { type Route, routes } from './routes.ts';
import { openApi } from './server.ts';

const scope = new Scope();
after(() => scope.close());

interface Lines extends Log {
  readonly errors: Fields[];
}

async function serve(change: (needs: ApiNeeds) => Partial<ApiNeeds> = () => ({})): Promise<{
  client: Client;
  needs: ApiNeeds;
  path: string;
  log: Lines;
  stopped: () => boolean;
}> {
  const directory = await mkdtemp(join(tmpdir(), 'skein-api-'));
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'skein.sock');
  let stopped = false;
  const plain = memoryControllers({
    stop: () => {
      stopped = true;
    },
  });
  const needs = { ...plain, ...change(plain) };
  const errors: Fields[] = [];
  const log = { ...silent, errors, error: (_: string, fields: Fields = {}) => errors.push(fields) };
  const api = await openApi({ ...needs, log }, { sockets: [path] });
  scope.defer(async () => {
    await api.close();
    for (const { id } of needs.containers.list()) await needs.containers.remove(id, { force: true });
  });
  return { client: openClient(path), needs, path, log, stopped: () => stopped };
}

/** One request, as bytes. */
async function raw(
  path: string,
  options: { method: string; url: string; body?: string | Buffer; type?: string },
): Promise<{ status: number; body: unknown }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: unknown }>();
  const headers = options.body === undefined ? {} : { 'content-type': options.type ?? 'application/json' };
  const outgoing = request({ socketPath: path, agent: false, method: options.method, path: options.url, headers });
  outgoing.once('error', reject);
  outgoing.once('response', (response) => {
    response
      .toArray()
      .then((chunks) =>
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) }),
      )
      .catch(reject);
  });
  outgoing.end(options.body);
  return await promise;
}

/** Of a host that belongs to a cluster. */
async function statusOf(client: Client): Promise<StatusView> {
  const status = await client.call('getStatus', {});
  assert.ok(status.state === 'ready');
  return status;
}

const signal = () => AbortSignal.timeout(10_000);
const textOf = async (frames: AsyncIterable<{ stream: string; bytes: Uint8Array }>) => {
  const text: Record<string, string> = { stdout: '', stderr: '', note: '' };
  for await (const { stream, bytes } of frames) text[stream] += Buffer.from(bytes).toString();
  return text;
};

test('a network is made, listed, inspected and removed', async () => {
  const { client } = await serve();
  const { Id } = await client.call('createNetwork', { body: { name: 'demo', labels: { a: 'b' } } });
  assert.match(Id, /^[0-9a-f]{64}$/);
  const [listed] = await client.call('listNetworks', {});
  assert.equal(listed?.Name, 'demo');
  assert.deepEqual(await client.call('getNetwork', { params: { name: 'demo' } }), {
    Name: 'demo',
    Id,
    Created: listed?.Created,
    Scope: 'global',
    Driver: 'overlay',
    EnableIPv6: false,
    IPAM: { Driver: 'default', Options: {}, Config: [{ Subnet: '10.0.0.0/24', Gateway: '10.0.0.1' }] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: {},
    Options: {},
    Labels: { a: 'b' },
  });
  assert.deepEqual(await client.call('removeNetwork', { params: { name: 'demo' } }), { Id, Name: 'demo' });
  await assert.rejects(client.call('getNetwork', { params: { name: 'demo' } }), {
    name: 'Refusal',
    kind: 'not-found',
    message: 'network demo not found',
  });
});

test('a network is made with everything that Docker can ask for, and shows it as Docker does', async () => {
  const { client } = await serve();
  const subnets = [
    { subnet: '10.7.0.0/16', ipRange: '10.7.5.0/24', gateway: '10.7.0.254', auxAddresses: { router: '10.7.5.1' } },
    { subnet: 'FD00:7::/64' },
  ];
  const options = { 'com.docker.network.driver.mtu': '1400' };
  const body = { name: 'demo', internal: true, attachable: true, ipv6: true, subnets, options, labels: { a: 'b' } };
  await client.call('createNetwork', { body });
  const { IPAM, Internal, Attachable, EnableIPv6, Options, Labels } = await client.call('getNetwork', {
    params: { name: 'demo' },
  });
  assert.deepEqual(IPAM.Config, [
    {
      ...{ Subnet: '10.7.0.0/16', IPRange: '10.7.5.0/24', Gateway: '10.7.0.254' },
      AuxiliaryAddresses: { router: '10.7.5.1' },
    },
    { Subnet: 'fd00:7::/64', Gateway: 'fd00:7::1' },
  ]);
  assert.deepEqual({ Internal, Attachable, EnableIPv6 }, { Internal: true, Attachable: true, EnableIPv6: true });
  assert.deepEqual({ Options, Labels }, { Options: options, Labels: { a: 'b' } });
});

test('a container is shown with its networks, and each network with it', async () => {
  const { client } = await serve();
  const { Id: network } = await client.call('createNetwork', { body: { name: 'demo' } });
  const { Id } = await client.call('runContainer', {
    body: { command: ['sleep', '60'], name: 'test1', network: 'demo', env: ['A=b=c'] },
  });
  const container = await client.call('getContainer', { params: { name: 'test1' } });
  assert.equal(container.Id, Id);
  assert.equal(container.State.Status, 'running');
  assert.deepEqual(container.Config.Env, ['A=b=c']);
  const { EndpointID, ...place } = container.NetworkSettings.Networks['demo'] ?? { EndpointID: '' };
  assert.deepEqual(place, {
    Aliases: [],
    NetworkID: network,
    Gateway: '10.0.0.1',
    IPAddress: '10.0.0.2',
    IPPrefixLen: 24,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    MacAddress: '02:42:0a:00:00:02',
  });
  assert.deepEqual((await client.call('getNetwork', { params: { name: 'demo' } })).Containers, {
    [Id]: {
      Name: 'test1',
      EndpointID,
      MacAddress: '02:42:0a:00:00:02',
      IPv4Address: '10.0.0.2/24',
      IPv6Address: '',
    },
  });
  const bridge = await client.call('getNetwork', { params: { name: 'skein_gwbridge' } });
  assert.equal(bridge.Scope, 'local');
  assert.equal(bridge.Driver, 'bridge');
  assert.equal(bridge.Containers[Id]?.Name, `gateway_${Id.slice(0, 12)}`);
  assert.equal(bridge.Options['com.docker.network.bridge.enable_icc'], 'false');
  assert.deepEqual(bridge.IPAM.Config, [{ Subnet: '172.18.0.0/16', Gateway: '172.18.0.1' }]);
  await assert.rejects(client.call('removeNetwork', { params: { name: 'skein_gwbridge' } }), { kind: 'forbidden' });
  await assert.rejects(client.call('removeContainer', { params: { name: 'test1' } }), { kind: 'conflict' });
  await client.call('removeContainer', { params: { name: 'test1' }, query: { force: true } });
  assert.deepEqual(await client.call('listContainers', { query: { all: true } }), []);
});

test('an endpoint of another host stands under ep- and its id', async () => {
  const { client } = await serve((needs) => ({
    endpoints: {
      ...needs.endpoints,
      list: async (network) => [
        {
          lost: false,
          endpoint: {
            id: 'e'.repeat(64),
            network,
            name: 'test2',
            aliases: [],
            mac: '02:42:0a:00:00:03',
            addresses: ['10.0.0.3/24', 'fd00::3/64'],
            host: '9'.repeat(32),
            epoch: 1,
            sandbox: { id: 'a'.repeat(12), key: '/run/skein/netns/aaaaaaaaaaaa' },
            container: { id: 'd'.repeat(64), name: 'test2' },
            created: new Date().toISOString(),
          },
        },
      ],
    },
  }));
  await client.call('createNetwork', { body: { name: 'demo' } });
  const { Containers } = await client.call('getNetwork', { params: { name: 'demo' } });
  assert.deepEqual(Object.keys(Containers), [`ep-${'e'.repeat(64)}`]);
  assert.equal(Containers[`ep-${'e'.repeat(64)}`]?.IPv6Address, 'fd00::3/64');
});

test('a running container is connected to a further network and disconnected', async () => {
  const { client } = await serve();
  await client.call('createNetwork', { body: { name: 'demo' } });
  const { Id } = await client.call('runContainer', { body: { command: ['sleep', '60'], name: 'c' } });
  const alone = await client.call('getContainer', { params: { name: 'c' } });
  assert.deepEqual(Object.keys(alone.NetworkSettings.Networks), ['skein_gwbridge']);
  const attached = await client.call('connectContainer', {
    params: { name: 'demo' },
    body: { container: 'c', aliases: ['x'], ip: '10.0.0.9' },
  });
  assert.deepEqual(attached.addresses, ['10.0.0.9/24']);
  const { NetworkSettings } = await client.call('getContainer', { params: { name: 'c' } });
  assert.deepEqual(NetworkSettings.Networks['demo']?.Aliases, ['x', Id.slice(0, 12)]);
  await client.call('disconnectContainer', { params: { name: 'demo' }, body: { container: 'c' } });
  await assert.rejects(client.call('disconnectContainer', { params: { name: 'demo' }, body: { container: 'c' } }), {
    kind: 'not-found',
  });
  await client.call('removeContainer', { params: { name: 'c' }, query: { force: true } });
});

test('a namespace is attached and detached, and let go when it is on no network any more', async () => {
  const { client, needs } = await serve();
  await client.call('createNetwork', { body: { name: 'demo' } });
  const place = { network: 'demo', path: '/run/netns/x' };
  const attached = await client.call('attach', { body: { ...place, name: 'box' } });
  assert.equal(attached.name, 'box');
  assert.equal(needs.endpoints.sandboxes().length, 1);
  await client.call('detach', { body: place });
  assert.equal(needs.endpoints.sandboxes().length, 0);
  await assert.rejects(client.call('detach', { body: place }), { kind: 'not-found' });
  assert.equal(needs.endpoints.sandboxes().length, 0);
  await assert.rejects(client.call('attach', { body: { network: 'demo' } }), /either the path or the pid/);
  await assert.rejects(client.call('attach', { body: { ...place, pid: 1 } }), /either the path or the pid/);
});

test('the host itself is put on a network and taken off, and its status tells', async () => {
  const { client } = await serve();
  const { Id } = await client.call('createNetwork', { body: { name: 'demo' } });
  const params = { name: 'demo' };
  const exposed = await client.call('exposeHost', { params, body: { name: 'edge', ip: '10.0.0.9' } });
  assert.deepEqual(exposed, {
    ...{ id: Id, network: 'demo', name: 'edge', interface: `skein-${Id.slice(0, 9)}` },
    ...{ addresses: ['10.0.0.9/24'], mac: '02:42:0a:00:00:02', masquerade: true },
  });
  assert.deepEqual((await statusOf(client)).exposed, [exposed]);
  await assert.rejects(client.call('exposeHost', { params, body: { ip: '10.0.0' } }), { kind: 'invalid' });
  await assert.rejects(client.call('exposeHost', { params: { name: 'none' }, body: {} }), { kind: 'not-found' });
  await assert.rejects(client.call('exposeHost', { params: { name: 'skein_gwbridge' }, body: {} }), {
    kind: 'forbidden',
  });
  await assert.rejects(client.call('hideHost', { params, body: { address: '10.0.0.8' } }), { kind: 'conflict' });
  assert.deepEqual(await client.call('hideHost', { params, body: {} }), { addresses: ['10.0.0.9/24'] });
  assert.deepEqual(await client.call('hideHost', { params, body: {} }), { addresses: [] });
  assert.deepEqual((await statusOf(client)).exposed, []);
});

test('inspect finds containers before networks, and says when there is neither', async () => {
  const { client } = await serve();
  await client.call('createNetwork', { body: { name: 'same' } });
  assert.equal((await client.call('inspect', { params: { name: 'same' } })).Kind, 'network');
  await client.call('runContainer', { body: { command: ['true'], name: 'same' } });
  assert.equal((await client.call('inspect', { params: { name: 'same' } })).Kind, 'container');
  await assert.rejects(client.call('inspect', { params: { name: 'none' } }), /^Refusal: no such object: none$/);
});

test('output, input and exit code of a container go through the API', async () => {
  const { client } = await serve();
  const body = { command: ['sh', '-c', 'cat; echo oops >&2; exit 3'], interactive: true };
  const { Id } = await client.call('runContainer', { body });
  const [text, , code] = await Promise.all([
    textOf(client.output(Id, { follow: true, signal: signal() })),
    client.input(Id, Readable.from([Buffer.from('hello '), Buffer.from('world')]), { signal: signal() }),
    client.wait(Id, { signal: signal() }),
  ]);
  assert.deepEqual(text, { stdout: 'hello world', stderr: 'oops\n', note: '' });
  assert.equal(code, 3);
  assert.equal((await textOf(client.output(Id, { follow: false, tail: 0, signal: signal() })))['stdout'], '');
});

test('a long input waits for its reader often and leaves no listeners behind', async () => {
  const { client } = await serve();
  const warnings: string[] = [];
  const note = ({ name }: Error) => warnings.push(name);
  process.on('warning', note);
  const { Id } = await client.call('runContainer', { body: { command: ['wc', '-c'], interactive: true } });
  const chunks = Array.from({ length: 64 }, () => Buffer.alloc(65_536));
  await client.input(Id, Readable.from(chunks), { signal: signal() });
  assert.equal((await textOf(client.output(Id, { follow: true, signal: signal() })))['stdout'], '4194304\n');
  process.off('warning', note);
  assert.ok(!warnings.includes('MaxListenersExceededWarning'));
});

test('an exec has the same streams', async () => {
  const { client } = await serve();
  await client.call('runContainer', { body: { command: ['sleep', '60'], name: 'c' } });
  const { Id } = await client.call('execContainer', { params: { name: 'c' }, body: { command: ['echo', 'hi'] } });
  assert.equal((await textOf(client.output(Id, { follow: true, signal: signal() })))['stdout'], 'hi\n');
  assert.equal(await client.wait(Id, { signal: signal() }), 0);
  await client.call('removeContainer', { params: { name: 'c' }, query: { force: true } });
});

test('what cannot be executed is told with its exit code, and nothing is left', async () => {
  const { client, needs } = await serve();
  await assert.rejects(client.call('runContainer', { body: { command: ['/no/such/program'] } }), (error) => {
    assert.ok(error instanceof NotExecuted);
    assert.equal(error.exitCode, 127);
    return true;
  });
  assert.equal(needs.endpoints.sandboxes().length, 0);
});

test('a reader of output and a writer of input that were cut off go on where they were', async () => {
  const { client, path } = await serve();
  const { proxy, cut, connections } = await openProxy(path);
  const followed = openClient(proxy);
  const body = { command: ['sh', '-c', 'while read line; do echo "got $line"; done'], interactive: true };
  const { Id } = await client.call('runContainer', { body });
  const abort = signal();
  const lost: string[] = [];
  const options = { signal: abort, onLost: (message: string) => lost.push(message) };
  const lines = Readable.from(
    (async function* () {
      for (const line of ['one', 'two', 'three']) {
        yield Buffer.from(`${line}\n`);
        await until(async () =>
          (await textOf(client.output(Id, { follow: false, signal: abort })))['stdout']?.includes(line),
        );
        await until(async () => connections() === 3);
        const before = lost.length;
        cut();
        await until(async () => lost.length === before + 3);
      }
    })(),
  );
  const [text, , code] = await Promise.all([
    textOf(followed.output(Id, { ...options, follow: true })),
    followed.input(Id, lines, options),
    followed.wait(Id, options),
  ]);
  assert.equal(text['stdout'], 'got one\ngot two\ngot three\n');
  assert.equal(code, 0);
  assert.equal(lost.length, 9);
  assert.equal(lost[0], 'the daemon went away; waiting for it to come back');
});

test('a client without a daemon says which socket it tried', async () => {
  const client = openClient('/nonexistent/skein.sock');
  await assert.rejects(client.call('getVersion', {}), {
    kind: 'unavailable',
    message: 'no daemon answers at /nonexistent/skein.sock; start one with skein launch',
  });
});

test('status tells cluster, store, host, peers and what was skipped', async () => {
  const { client } = await serve();
  const status = await statusOf(client);
  assert.deepEqual(status.hosts, { alive: 1, lost: 1 });
  assert.deepEqual(status.skipped, [{ place: '/skein/networks/x', reason: 'is not JSON' }]);
  assert.equal(status.host.self, true);
  const hosts = await client.call('listHosts', {});
  assert.deepEqual(
    hosts.map(({ name, state, self }) => [name, state, self]),
    [
      ['h1', 'alive', true],
      ['h2', 'lost', false],
    ],
  );
});

test('stop asks the daemon to end and is answered', async () => {
  const { client, stopped } = await serve();
  await client.call('stopDaemon', {});
  assert.equal(stopped(), true);
});

test('the socket is for root and one group, and a second server does not take it over', async () => {
  const { path } = await serve();
  assert.equal((await stat(path)).mode & 0o777, 0o660);
  const second = openApi({ ...memoryControllers({ stop: () => undefined }), log: silent }, { sockets: [path] });
  await assert.rejects(second, /another daemon answers at .*skein\.sock; end it first with skein stop/);
});

test('a failure inside is logged, answered with 500, and the daemon goes on', async () => {
  const { client, path, log } = await serve((needs) => ({
    containers: {
      ...needs.containers,
      run: async () => {
        throw new TypeError('x is not a function');
      },
    },
  }));
  const answer = await raw(path, { method: 'POST', url: '/v1/containers', body: '{"command":["true"]}' });
  assert.deepEqual(answer, { status: 500, body: { error: 'x is not a function', kind: 'internal' } });
  assert.equal(log.errors.length, 1);
  assert.ok((await client.call('getVersion', {})).Version);
});

const deep = `{"name":"x","labels":{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}}`;
const bad: readonly [
  string,
  { method?: string; url?: string; body?: string | Buffer; type?: string },
  number,
  RegExp,
][] = [
  ['malformed JSON', { body: '{"name":' }, 400, /^the body: is not JSON$/],
  ['no UTF-8', { body: Buffer.from([0x22, 0xff, 0x22]) }, 400, /^the body: is not JSON$/],
  ['a body of 2 MiB', { body: `"${'x'.repeat(2 * 1024 * 1024)}"` }, 400, /^the body: is longer than 1048576 bytes$/],
  ['another type', { body: '{}', type: 'text/plain' }, 400, /^the body: is "text\/plain", not application\/json$/],
  ['deep nesting', { body: deep }, 400, /^the body: labels\.a must be string, not Array$/],
  ['nothing', { body: '' }, 400, /^the body: name is missing$/],
  ['a list', { body: '[]' }, 400, /^the body: is not a JSON object$/],
  ['null', { body: 'null' }, 400, /^the body: is not a JSON object$/],
  ['a wrong type', { body: '{"name":5}' }, 400, /^the body: name must be string, not 5$/],
  ['a hostile name', { body: '{"name":"../../etc/passwd"}' }, 400, /^the body: name is not a name:/],
  ['control characters', { body: '{"name":"a\\u001b[2J"}' }, 400, /^the body: name is not a name:/],
  ['an empty name', { body: '{"name":""}' }, 400, /^the body: name is not a name:/],
  ['a long name', { body: `{"name":"${'x'.repeat(129)}"}` }, 400, /^the body: name is longer than 128 characters$/],
  ['an unknown field', { body: '{"name":"x","ingress":true}' }, 400, /^the body: ingress is not known here$/],
  [
    'an unknown field within',
    { body: '{"name":"x","subnets":[{"subnet":"10.0.0.0/24","range":"x"}]}' },
    400,
    /^the body: subnets\.0\.range is not known here$/,
  ],
  ['a prototype', { body: '{"name":"x","__proto__":{"polluted":1}}' }, 400, /^the body: __proto__ is not known here$/],
  [
    'many subnets',
    { body: JSON.stringify({ name: 'x', subnets: Array(65).fill({ subnet: '10.0.0.0/24' }) }) },
    400,
    /^the body: subnets are more than 64$/,
  ],
  [
    'many labels',
    {
      body: JSON.stringify({
        name: 'x',
        labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ''])),
      }),
    },
    400,
    /^the body: labels are more than 64$/,
  ],
  ['a driver that is none', { body: '{"name":"x","driver":"bridge"}' }, 501, /^there is no driver bridge$/],
  [
    'no command',
    { url: '/v1/containers', body: '{"command":[]}' },
    400,
    /^the body: command is empty: give the program to run$/,
  ],
  [
    'a command of text',
    { url: '/v1/containers', body: '{"command":"sh"}' },
    400,
    /^the body: command must be Array, not "sh"$/,
  ],
  [
    'a variable without a value',
    { url: '/v1/containers', body: '{"command":["x"],"env":["A"]}' },
    400,
    /^the body: env\.0 is not KEY=VALUE$/,
  ],
  [
    'a multicast MAC',
    { url: '/v1/containers', body: '{"command":["x"],"mac":"01:00:5e:00:00:01"}' },
    400,
    /^the body: mac is a multicast MAC address$/,
  ],
  [
    'a relative rootfs',
    { url: '/v1/containers', body: '{"command":["x"],"rootfs":"a"}' },
    400,
    /^the body: rootfs is not an absolute path$/,
  ],
  [
    'a pid of 1.5',
    { url: '/v1/attach', body: '{"network":"x","pid":1.5}' },
    400,
    /^the body: pid is not a whole number$/,
  ],
  [
    'a network that is not there',
    { url: '/v1/attach', body: '{"network":"none","pid":1}' },
    404,
    /^network none not found$/,
  ],
  [
    'a long name in the path',
    { method: 'GET', url: `/v1/networks/${'x'.repeat(200)}` },
    400,
    /^the path: name is longer than 128 characters$/,
  ],
  [
    'a path out of the path',
    { method: 'GET', url: '/v1/networks/..%2f..%2fetc' },
    404,
    /^network \.\.\/\.\.\/etc not found$/,
  ],
  ['a half escape', { method: 'GET', url: '/v1/networks/%zz' }, 404, /^network %zz not found$/],
  ['an unknown query', { method: 'GET', url: '/v1/containers?size=true' }, 400, /^the query: size is not known here$/],
  ['a query where there is none', { method: 'GET', url: '/v1/hosts?x=1' }, 400, /^the query: x is not known here$/],
  [
    'a flag that is none',
    { method: 'GET', url: '/v1/containers?all=maybe' },
    400,
    /^the query: all is neither true nor false$/,
  ],
  ['a stream that is none', { method: 'GET', url: '/v1/streams/abc/output' }, 400, /^the path: id is not an id of 64/],
  [
    'a stream that is not there',
    { method: 'GET', url: `/v1/streams/${'a'.repeat(64)}/output` },
    404,
    /^there is no container or exec/,
  ],
  [
    'a tail that is none',
    { method: 'GET', url: `/v1/streams/${'a'.repeat(64)}/output?tail=-1` },
    400,
    /^the query: tail is not a whole number$/,
  ],
  [
    'a terminal of no size',
    { url: `/v1/streams/${'a'.repeat(64)}/resize`, body: '{"rows":0,"columns":80}' },
    400,
    /^the body: rows is smaller than 1$/,
  ],
  ['a path that is none', { method: 'GET', url: '/v1/nothing' }, 404, /^there is no GET \/v1\/nothing$/],
  [
    'a method that is none',
    { method: 'PUT', url: '/v1/networks', body: '{}' },
    404,
    /^there is no PUT \/v1\/networks$/,
  ],
  ['a name that is empty', { method: 'GET', url: '/v1/networks/' }, 404, /^there is no GET \/v1\/networks\/$/],
  [
    'more in the path',
    { method: 'GET', url: '/v1/networks/demo/connect/x' },
    404,
    /^there is no GET \/v1\/networks\/demo\/connect\/x$/,
  ],
  [
    'a name twice',
    { method: 'GET', url: '/v1/containers?all=maybe&all=true' },
    400,
    /^the query: all is neither true nor false$/,
  ],
  ['another version', { method: 'GET', url: '/v9/hosts' }, 404, /^there is no GET \/v9\/hosts$/],
];

test('bad input is refused with the place and the reason, and changes nothing', async () => {
  const { client, needs, path } = await serve();
  for (const [what, { method = 'POST', url = '/v1/networks', ...rest }, status, message] of bad) {
    const answer = await raw(path, { method, url, ...rest });
    assert.equal(answer.status, status, `${what}: ${JSON.stringify(answer.body)}`);
    assert.match(String(Object(answer.body).error), message, what);
  }
  assert.deepEqual(needs.networks.list(), []);
  assert.deepEqual(needs.containers.list(), []);
  assert.deepEqual(needs.endpoints.sandboxes(), []);
  assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
  assert.ok((await client.call('getVersion', {})).Version);
});

test('bytes that are no HTTP do not end the daemon', async () => {
  const { client, path } = await serve();
  for (const bytes of ['\0\0\0\0', 'GET / HTTP/9.9\r\n\r\n', `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`]) {
    const socket = connect({ path });
    socket.end(bytes);
    await socket.toArray().catch(() => undefined);
  }
  assert.ok((await client.call('getVersion', {})).Version);
});

test('refusals of every kind have their status and come back as they were', async () => {
  const kinds = { invalid: 400, forbidden: 403, 'not-found': 404, conflict: 409, unsupported: 501, unavailable: 503 };
  for (const [kind, status] of Object.entries(kinds) as [keyof typeof kinds, number][]) {
    const { client, path } = await serve((needs) => ({
      networks: {
        ...needs.networks,
        create: async () => {
          throw new Refusal(kind, 'because');
        },
      },
    }));
    assert.equal((await raw(path, { method: 'POST', url: '/v1/networks', body: '{"name":"x"}' })).status, status);
    await assert.rejects(client.call('createNetwork', { body: { name: 'x' } }), {
      name: 'Refusal',
      kind,
      message: 'because',
    });
  }
});

test('the description is OpenAPI 3.1 and covers exactly the routes', async () => {
  const { client, path } = await serve();
  const served = await client.call('getDescription', {});
  const description = describeApi(String(Object(served['info']).version));
  assert.deepEqual(served, JSON.parse(JSON.stringify(description)));
  assert.match(description.openapi, /^3\.1\.\d+$/);
  const described = Object.entries(description.paths).flatMap(([at, operations]) =>
    Object.entries(operations).map(([method, { operationId }]) => `${operationId}: ${method.toUpperCase()} ${at}`),
  );
  const wanted = Object.entries<Route>(routes).map(
    ([key, route]) => `${key}: ${route.method} ${describePath(route.path)}`,
  );
  assert.deepEqual(described.toSorted(), wanted.toSorted());
  for (const [at, operations] of Object.entries(description.paths)) {
    for (const { parameters, responses, summary } of Object.values(operations)) {
      const inPath = parameters
        .filter((parameter) => Object(parameter).in === 'path')
        .map((parameter) => Object(parameter).name);
      assert.deepEqual(
        inPath,
        [...at.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      );
      assert.ok(responses['200'] && responses['default'] && summary.length > 3);
    }
  }
  // What is described is what is served: each route is there, and answers to an empty request with anything but "no route".
  for (const route of Object.values<Route>(routes)) {
    const url = `/v1${route.path.replace(':name', 'x').replace(':id', 'a'.repeat(64))}`;
    const { body } = await raw(path, { method: route.method, url });
    assert.doesNotMatch(messageOf(Object(body).error), /^there is no (GET|POST|DELETE) /, url);
  }
});

/** A proxy in front of a socket whose connections can be cut, as a daemon that dies does. */
async function openProxy(target: string): Promise<{ proxy: string; cut: () => void; connections: () => number }> {
  const proxy = `${target}.proxy`;
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (inner) => {
    const outer = connect({ path: target, allowHalfOpen: true });
    for (const socket of [inner, outer]) {
      open.add(socket);
      socket.on('error', () => undefined).once('close', () => open.delete(socket));
    }
    inner.pipe(outer).pipe(inner);
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(proxy, resolve);
  await promise;
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  scope.defer(() => {
    cut();
    server.close();
  });
  return { proxy, cut, connections: () => open.size / 2 };
}

async function until(condition: () => Promise<boolean | undefined>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition did not come true within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
