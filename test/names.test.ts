import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connections } from '../src/dns/connections.ts';
import type { NameItem } from '../src/dns/dns.ts';
import { ask, tell } from '../src/dns/message.testing.ts';
import { openNameServer } from '../src/dns/open.ts';
import { Reply } from '../src/dns/reply.ts';
import { openTcp } from '../src/dns/tcp.ts';
import { openUdp } from '../src/dns/udp.ts';
import { answerTo } from '../src/dns/upstream.testing.ts';
import { openInetSocket } from '../src/kernel/inet-socket.ts';
import { openSyscalls } from '../src/kernel/syscall.ts';
import { ParseError } from '../src/lib/errors.ts';
import { bindPair, socketAddress } from './bound-sockets.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const IPPROTO_UDP = 17;
const IPPROTO_IP = 0;
const IP_RECVERR = 11;
const CLONE_NEWNET = 0x40000000;

const sys = openSyscalls();
const isRoot = process.getuid?.() === 0;
/** Of port 53 and raw sockets. */
const needsRoot = !isRoot && 'needs root';
// A namespace of its own, where nobody has port 53.
if (isRoot) {
  sys.unshare(CLONE_NEWNET);
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
}
/** Milliseconds until a test that waits has failed: nothing here takes long but on a machine that does other things. */
const patience = 60_000;

const fine = (error: Error) => assert.fail(error);

const endpoints: readonly NameItem[] = [
  { kind: 'network', id: 'demo', name: 'demo', subnets: ['10.0.0.0/24'] },
  { kind: 'endpoint', id: 'web', network: 'demo', names: ['web'], addresses: ['10.0.0.2'] },
  ...Array.from({ length: 50 }, (_, n) => {
    const one = { id: `many${n}`, network: 'demo', names: ['many'], addresses: [`10.0.0.${n + 10}`] };
    return { kind: 'endpoint' as const, ...one };
  }),
];
const asker: NameItem = {
  ...{ kind: 'asker', id: 'c', networks: ['demo'], resolvers: [] },
  places: [{ network: 'demo', address: '127.0.0.1' }],
};

/** A server in its thread, asked over the loopback by sockets that were bound before. */
async function open(t: TestContext, items: readonly NameItem[] = [...endpoints, asker]) {
  const server = await openNameServer({ domains: ['skein.local', 'weave.local.'] });
  t.after(() => server.close());
  const sockets = bindPair(sys);
  const place = { network: 'demo', family: 4 } as const;
  await server.change({
    put: [
      ...items,
      { kind: 'socket', id: 'udp', transport: 'udp', fd: sockets.udp, ...place },
      { kind: 'socket', id: 'tcp', transport: 'tcp', fd: sockets.tcp, ...place },
    ],
  });
  return { server, port: sockets.port };
}

async function overUdp(
  t: TestContext,
  port: number,
  question: Buffer,
  from = '127.0.0.1',
): Promise<ReturnType<typeof tell>> {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.bind(0, from);
  await once(socket, 'listening');
  socket.send(question, port, '127.0.0.1');
  const [bytes] = await once(socket, 'message', { signal: AbortSignal.timeout(patience) });
  return tell(bytes);
}

test('who is known is answered by an adopted socket, who is not is refused', async (t) => {
  const { port, server } = await open(t);
  assert.deepEqual((await overUdp(t, port, ask('web.weave.local'))).records[0], ['web.weave.local 1 A 10.0.0.2']);
  assert.equal((await overUdp(t, port, ask('web'), '127.0.0.2')).rcode, 5);
  await server.change({
    put: [{ kind: 'asker', id: 'all', networks: ['demo'], resolvers: [], places: [{ network: 'demo' }] }],
  });
  assert.equal((await overUdp(t, port, ask('web'), '127.0.0.2')).rcode, 0, 'everybody else at this socket');
  await server.change({
    remove: [
      { kind: 'asker', id: 'c' },
      { kind: 'asker', id: 'all' },
    ],
  });
  assert.equal((await overUdp(t, port, ask('web'))).rcode, 5);
  const { endpoints: count, questions, refused } = await server.status();
  assert.deepEqual([count, questions, refused], [51, 4, 2]);
});

test('a change is answered once it is done', async (t) => {
  const { port, server } = await open(t);
  const at = (n: number) =>
    ({ kind: 'endpoint', id: 'web', network: 'demo', names: ['web'], addresses: [`10.0.1.${n}`] }) as const;
  for (let n = 1; n <= 20; n++) {
    await server.change({ put: [at(n)] });
    assert.deepEqual((await overUdp(t, port, ask('web'))).records[0], [`web 1 A 10.0.1.${n}`]);
  }
});

test('while much is entered, questions are answered', async (t) => {
  const { port, server } = await open(t);
  let entered = false;
  const change = server.change({ put: manyEndpoints(50_000) }).then(() => {
    entered = true;
  });
  for (let n = 0; n < 3; n++) assert.equal((await overUdp(t, port, ask('web'))).rcode, 0);
  assert.equal(entered, false);
  await change;
  assert.equal((await server.status()).endpoints, 50_051);
});

test('a look-up is answered as its asker is', async (t) => {
  const { server } = await open(t);
  const look = (name: string, type: string, who = 'c') => server.lookup({ asker: who, name, type });
  assert.deepEqual(await look('Web.demo.weave.local.', 'a'), {
    ...{ status: 'NOERROR', own: true },
    records: [{ name: 'web.demo.weave.local.', ttl: 1, type: 'A', data: '10.0.0.2' }],
  });
  const web = { name: '2.0.0.10.in-addr.arpa.', ttl: 1, type: 'PTR', data: 'web.demo.' };
  assert.deepEqual(await look('10.0.0.2', 'PTR'), { status: 'NOERROR', own: true, records: [web] });
  assert.deepEqual(await look('web', 'TYPE28'), { status: 'NOERROR', own: true, records: [] });
  assert.deepEqual(await look('nobody.skein.local', 'A'), { status: 'NXDOMAIN', own: true, records: [] });
  assert.deepEqual(await look('example.com', 'A'), { status: 'NXDOMAIN', own: false, records: [] });
  await assert.rejects(look('web', 'QUUX'), ParseError);
  await assert.rejects(look('a..b', 'A'), ParseError);
  await assert.rejects(look('web', 'A', 'nobody'), /nobody asks as nobody/);
  assert.equal((await server.status()).questions, 5, 'those that were questions');
});

test('where it answers itself it does not ask, as long as it does: over TCP alone, or no more, another may be there', {
  skip: needsRoot,
}, async (t) => {
  const address = '127.0.0.10';
  const bind = (transport: 'udp' | 'tcp') => openInetSocket(sys, { transport, address, port: 53 });
  const udp = bind('udp');
  const { server } = await open(t, [...endpoints, { ...asker, resolvers: [address] }]);
  const place = { kind: 'socket', network: 'demo', family: 4 } as const;
  const status = async () => (await server.lookup({ asker: 'c', name: 'example.com', type: 'A' })).status;
  await server.change({ put: [{ ...place, id: 'tcp53', transport: 'tcp', fd: bind('tcp') }] });
  await server.change({ put: [{ ...place, id: 'udp53', transport: 'udp', fd: udp }] });
  assert.equal(await status(), 'SERVFAIL');
  assert.equal((await server.status()).questions, 1, 'it did not ask itself');
  await server.change({ remove: [{ kind: 'socket', id: 'udp53' }] });
  const { asked } = await server.lookup({ asker: 'c', name: 'www.example.com', type: 'A' });
  assert.deepEqual(asked, [{ address, silent: true }]);
  const other = createSocket('udp4', (question, { port, address: to }) =>
    other.send(answerTo(question, { rcode: 3, soa: [300, 300] }), port, to),
  );
  t.after(() => other.close());
  other.bind(53, address);
  await once(other, 'listening');
  assert.equal(await status(), 'NXDOMAIN');
});

test('who closes the server waits until what was read is answered', { skip: needsRoot }, async (t) => {
  const asked = Promise.withResolvers<() => void>();
  const upstream = createSocket('udp4', (question, { port, address }) => {
    asked.resolve(() => upstream.send(answerTo(question, { rcode: 3, soa: [300, 300] }), port, address));
  });
  t.after(() => upstream.close());
  upstream.bind(53, '127.0.0.9');
  await once(upstream, 'listening');
  const { port, server } = await open(t, [...endpoints, { ...asker, resolvers: ['127.0.0.9'] }]);
  const [used, fresh] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  used.write(frame(ask('web')));
  await Promise.all([once(used, 'data', { signal: AbortSignal.timeout(patience) }), once(fresh, 'connect')]);
  const forwarded = overUdp(t, port, ask('example.com'));
  const answer = await asked.promise;
  const closed = server.close();
  await once(used.resume(), 'close', { signal: AbortSignal.timeout(patience) });
  fresh.end(frame(ask('web')));
  assert.equal((await messages(fresh))[0]?.rcode, 0, 'it was accepted before');
  answer();
  assert.equal((await forwarded).rcode, 3);
  await closed;
});

test('over TCP questions may come together, in pieces, and before all answers were read', async (t) => {
  const { port } = await open(t);
  const connection = connect(port, '127.0.0.1');
  t.after(() => connection.destroy());
  const framed = Array.from({ length: 100 }, (_, id) => frame(ask(id % 2 === 0 ? 'many' : 'web', { id })));
  const all = Buffer.concat(framed);
  for (let at = 0; at < all.length; at += 7) connection.write(all.subarray(at, at + 7));
  connection.end();
  const answers = await messages(connection);
  assert.deepEqual(
    answers.map(({ id }) => id).sort((a, b) => a - b),
    framed.map((_, id) => id),
  );
  for (const { id, records } of answers) assert.equal(records[0].length, id % 2 === 0 ? 50 : 1);
});

test('over TCP an endless question, an answer and a seventeenth connection are cut off', async (t) => {
  const { port } = await open(t);
  const open16 = Array.from({ length: 16 }, () => connect(port, '127.0.0.1'));
  t.after(() => {
    for (const one of open16) one.destroy();
  });
  await Promise.all(open16.map((one) => once(one, 'connect')));
  const isCut = async (bytes?: Buffer) => {
    const connection = connect(port, '127.0.0.1');
    connection.on('error', () => {});
    if (bytes !== undefined) connection.write(bytes);
    connection.resume();
    await once(connection, 'close', { signal: AbortSignal.timeout(patience) });
  };
  await isCut();
  const [first, second] = open16;
  if (first === undefined || second === undefined) return assert.fail();
  first.write(Buffer.from([0xff, 0xff, 1]));
  second.write(frame(Buffer.alloc(12, 0x80)));
  await Promise.all(
    [first, second].map((one) => once(one.resume(), 'close', { signal: AbortSignal.timeout(patience) })),
  );
  const again = connect(port, '127.0.0.1');
  t.after(() => again.destroy());
  again.write(frame(ask('web')));
  const [bytes] = await once(again, 'data', { signal: AbortSignal.timeout(patience) });
  assert.equal(tell(bytes.subarray(2)).rcode, 0);
});

test('of one connection so many questions wait at once, and no more are read', async (t) => {
  const { tcp, udp, port } = bindPair(sys);
  sys.close(udp);
  const waiting: (() => void)[] = [];
  const answering = {
    take(question: Buffer, _origin: unknown, send: (bytes: Buffer, length: number) => void): boolean {
      waiting.push(() => send(question, question.length));
      return true;
    },
  };
  const limits = { pending: 3, unfetched: 1024 * 1024 };
  const server = await openTcp({ network: 'demo', fd: tcp }, answering, {
    connections: new Connections(),
    onFail: fine,
    limits,
  });
  t.after(() => server.close());
  const connection = connect(port, '127.0.0.1');
  t.after(() => connection.destroy());
  connection.write(Buffer.concat(Array.from({ length: 20 }, (_, id) => frame(ask('web', { id })))));
  for (let answered = 0; answered < 20; answered++) {
    for (const end = Date.now() + patience; waiting.length === 0; await sleep(5)) assert.ok(Date.now() < end);
    assert.ok(waiting.length <= 3, `${waiting.length} wait`);
    waiting.shift()?.();
  }
});

test('connections of all sockets together are bounded, and whoever has most of them idle makes room', async (t) => {
  const connections = new Connections({ connections: 3, perSource: 8 });
  const unanswered = { take: () => true };
  const ports: number[] = [];
  for (const network of ['one', 'other']) {
    const { tcp, udp, port } = bindPair(sys);
    sys.close(udp);
    const server = await openTcp({ network, fd: tcp }, unanswered, { connections, onFail: fine });
    t.after(() => server.close());
    ports.push(port);
  }
  const [one = assert.fail(), other = assert.fail()] = ports;
  const open = async (port: number) => {
    const connection = connect(port, '127.0.0.1').on('error', () => {});
    t.after(() => connection.destroy());
    const ended = once(connection.resume(), 'close', { signal: AbortSignal.timeout(patience) });
    await once(connection, 'connect');
    return { connection, ended };
  };
  const [busy, idle] = [await open(one), await open(one)];
  busy.connection.write(frame(ask('web')));
  await open(one);
  const fresh = await open(other);
  await idle.ended;
  await (await open(one)).ended;
  assert.deepEqual(
    [busy, fresh].map(({ connection }) => connection.destroyed),
    [false, false],
  );
});

test('over TCP a question that trickles in is cut off', async (t) => {
  const { tcp, udp, port } = bindPair(sys);
  sys.close(udp);
  const server = await openTcp(
    { network: 'demo', fd: tcp },
    { take: () => true },
    { connections: new Connections(), onFail: fine, idleMs: 300 },
  );
  t.after(() => server.close());
  const connection = connect(port, '127.0.0.1');
  t.after(() => connection.destroy());
  connection.on('error', () => {});
  connection.resume();
  const closed = once(connection, 'close', { signal: AbortSignal.timeout(patience) });
  const bytes = Buffer.concat([Buffer.from([0x0f, 0xff]), Buffer.alloc(4000)]);
  let sent = 0;
  const trickle = setInterval(() => connection.write(bytes.subarray(sent, ++sent)), 20);
  t.after(() => clearInterval(trickle));
  await closed;
  assert.ok(sent < bytes.length);
});

test('what others know is asked of them, and of nobody from internal networks', async (t) => {
  const { port, server } = await open(t);
  assert.equal((await overUdp(t, port, ask('example.com'))).rcode, 3);
  // To this address nobody can connect.
  await server.change({ put: [{ ...asker, resolvers: ['255.255.255.255'] }] });
  assert.equal((await overUdp(t, port, ask('example.com'))).rcode, 2);
  const { forwarded, failed } = await server.status();
  assert.deepEqual([forwarded, failed], [1, 1]);
});

test('a question from port 0 is passed over', { skip: needsRoot }, async (t) => {
  const { port } = await open(t);
  const raw = sys.socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
  t.after(() => sys.close(raw));
  sys.connect(raw, socketAddress('127.0.0.1', 0));
  const question = ask('web');
  const head = Buffer.alloc(8);
  head.writeUInt16BE(port, 2);
  head.writeUInt16BE(head.length + question.length, 4);
  sys.send(raw, Buffer.concat([head, question]), 0);
  assert.equal((await overUdp(t, port, question)).rcode, 0);
});

test('what is answered when its socket is gone harms nobody', async () => {
  const { tcp, udp, port } = bindPair(sys);
  sys.close(tcp);
  const waiting = Promise.withResolvers<() => void>();
  const answering = {
    reply: new Reply(),
    take(question: Buffer, _origin: unknown, send: (bytes: Buffer, length: number) => void): boolean {
      waiting.resolve(() => send(question, question.length));
      return true;
    },
  };
  const server = await openUdp({ network: 'demo', fd: udp, family: 4 }, answering, fine);
  const client = createSocket('udp4');
  client.send(ask('web'), port, '127.0.0.1');
  const answer = await waiting.promise;
  client.close();
  server.close();
  answer();
});

test('a socket that is put again stays as it is; one that cannot be opened is closed', async (t) => {
  const { tcp, udp, port } = bindPair(sys);
  const server = await openNameServer();
  t.after(() => server.close());
  const socket = { kind: 'socket', network: 'demo', family: 4 } as const;
  const good = { ...socket, id: 'good', transport: 'udp', fd: udp } as const;
  await server.change({ put: [asker, ...endpoints, good, good] });
  await server.change({ put: [good] });
  assert.equal((await overUdp(t, port, ask('web'))).rcode, 0);
  await assert.rejects(server.change({ put: [{ ...socket, id: 'bad', transport: 'udp', fd: tcp }] }));
  assert.throws(() => sys.getsockname(tcp, Buffer.alloc(16)), /EBADF|ENOTSOCK/);
});

test('what cannot be entered takes nothing else with it, and is named', async (t) => {
  const lost: string[] = [];
  const server = await openNameServer({ onLost: (sockets) => lost.push(...sockets) });
  t.after(() => server.close());
  const [wrong, right] = [bindPair(sys), bindPair(sys)];
  sys.close(wrong.udp);
  sys.close(right.tcp);
  const socket = { kind: 'socket', network: 'demo', family: 4, transport: 'udp' } as const;
  const change = server.change({
    put: [
      { kind: 'network', id: 'broken', subnets: ['10.0.0.0/33'] },
      { ...socket, id: 'wrong', fd: wrong.tcp },
      { ...socket, id: 'right', fd: right.udp },
      ...[...endpoints, asker],
    ],
  });
  await assert.rejects(
    change,
    /^Error: 2 of 56 could not be entered: network broken: .*10\.0\.0\.0\/33.*; socket wrong: /,
  );
  assert.deepEqual((await overUdp(t, right.port, ask('web'))).records[0], ['web 1 A 10.0.0.2']);
  assert.deepEqual(lost, ['wrong']);
});

test('a socket that fails later is closed and said to be lost, and may be given again', async (t) => {
  const lost: string[] = [];
  const server = await openNameServer({ onLost: (sockets) => lost.push(...sockets) });
  t.after(() => server.close());
  const { udp, tcp, port } = bindPair(sys);
  sys.close(tcp);
  const socket = { kind: 'socket', id: 'udp', network: 'demo', family: 4, transport: 'udp' } as const;
  await server.change({ put: [...endpoints, asker, { ...socket, fd: udp }] });
  assert.equal((await overUdp(t, port, ask('web'))).rcode, 0);
  // That nobody takes an answer is an error of the socket's from now on.
  sys.setsockopt(udp, IPPROTO_IP, IP_RECVERR, Buffer.from([1, 0, 0, 0]));
  for (const end = Date.now() + patience; lost.length === 0; await sleep(5)) {
    assert.ok(Date.now() < end);
    const hasty = sys.socket(AF_INET, SOCK_DGRAM, 0);
    sys.connect(hasty, socketAddress('127.0.0.1', port));
    sys.send(hasty, ask('many'), 0);
    sys.close(hasty);
  }
  assert.deepEqual(lost, ['udp']);
  assert.throws(() => sys.getsockname(udp, Buffer.alloc(16)), /EBADF|ENOTSOCK/);
  const again = bindPair(sys, '127.0.0.1', port);
  sys.close(again.tcp);
  await server.change({ put: [{ ...socket, fd: again.udp }] });
  assert.equal((await overUdp(t, port, ask('web'))).rcode, 0);
});

test('what is changed before the server is closed leaves nothing behind', async () => {
  const { tcp, udp } = bindPair(sys);
  const server = await openNameServer();
  const place = { kind: 'socket', network: 'demo', family: 4 } as const;
  const change = server.change({
    put: [
      ...manyEndpoints(1000),
      { ...place, id: 'udp', transport: 'udp', fd: udp },
      { ...place, id: 'tcp', transport: 'tcp', fd: tcp },
    ],
  });
  await Promise.all([change, server.close()]);
  for (const fd of [udp, tcp]) assert.throws(() => sys.getsockname(fd, Buffer.alloc(16)), /EBADF|ENOTSOCK/);
});

function manyEndpoints(count: number) {
  return Array.from({ length: count }, (_, n) => {
    const addresses = [`10.0.1.${n & 255}`];
    return { kind: 'endpoint' as const, id: `n${n}`, network: 'demo', names: [`n${n}`], addresses };
  });
}

test('dig finds names, over UDP, TCP and with a small EDNS size', async (t) => {
  const { port } = await open(t);
  const dig = (...question: readonly string[]) =>
    new Promise<string>((resolve, reject) => {
      const fixed = ['@127.0.0.1', '-p', String(port), '+tries=1', `+time=${patience / 1000}`, '+short'];
      execFile('dig', [...fixed, ...question], (error, output) => (error === null ? resolve(output) : reject(error)));
    });
  assert.equal(await dig('WEB.demo.skein.local'), '10.0.0.2\n');
  assert.equal(await dig('-x', '10.0.0.2'), 'web.demo.\n');
  for (const how of ['+notcp', '+noedns', '+bufsize=512', '+tcp']) {
    const lines = (await dig('many', how)).trimEnd().split('\n');
    assert.equal(new Set(lines).size, 50, how);
  }
});

test('a socket that is taken away is answered no more, and the rest goes on', async (t) => {
  const { port, server } = await open(t);
  await server.change({ remove: [{ kind: 'socket', id: 'udp' }] });
  const connection = connect(port, '127.0.0.1');
  t.after(() => connection.destroy());
  connection.write(frame(ask('web')));
  const [bytes] = await once(connection, 'data', { signal: AbortSignal.timeout(patience) });
  assert.equal(tell(bytes.subarray(2)).rcode, 0);
  const closed = once(connection.resume(), 'close', { signal: AbortSignal.timeout(patience) });
  await server.change({ remove: [{ kind: 'socket', id: 'tcp' }] });
  await closed;
});

test('a descriptor that is no socket is an error, and a closed server says that it is', async () => {
  const server = await openNameServer();
  const socket = { kind: 'socket', id: 'x', network: 'demo', family: 4, fd: 1_000_000 } as const;
  await assert.rejects(server.change({ put: [{ ...socket, transport: 'udp' }] }));
  await assert.rejects(server.change({ put: [{ ...socket, transport: 'tcp' }] }));
  assert.equal((await server.status()).endpoints, 0);
  await Promise.all([server.close(), server.close()]);
  await assert.rejects(server.status(), /closed/);
  await assert.rejects(openNameServer({ domains: ['a..b'] }), /not a domain/);
});

function frame(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
}

async function messages(connection: AsyncIterable<Buffer>): Promise<readonly ReturnType<typeof tell>[]> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of connection) bytes = Buffer.concat([bytes, chunk]);
  const found: ReturnType<typeof tell>[] = [];
  for (let at = 0; at < bytes.length; at += 2 + bytes.readUInt16BE(at)) {
    found.push(tell(bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at))));
  }
  return found;
}
