import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { allowances, type Channel, type Pace } from './channel.ts';
import { dial } from './dial.ts';
import { decodeFrame, encodeFrame, FrameReader } from './frame.ts';
import { dialAs, Listening, listenAs, quickPace, realHost, until } from './link.testing.ts';
import { sourceOf } from './source.ts';

const [here, there, other] = [realHost('here'), realHost('there'), realHost('other')];

/** Two ends of a link. */
async function pair(t: TestContext, pace?: Pace): Promise<readonly [dialled: Channel, accepted: Channel]> {
  const channels: Channel[] = [];
  const listener = await listenAs(t, there, async (channel) => void channels.push(channel), pace);
  const dialled = await dialAs(t, here, listener.port, there.id);
  await until(() => channels.length > 0);
  const [accepted] = channels;
  assert.ok(accepted);
  t.after(() => accepted.close('the test is over'));
  return [dialled, accepted];
}

/** Someone who knows TLS and our frames, and means no good. */
async function attacker(
  t: TestContext,
  port: number,
  options: ConnectionOptions = {},
): Promise<{ socket: TLSSocket; bye: () => string | undefined }> {
  const { key, cert } = other.credentials;
  const tls = { key, cert, rejectUnauthorized: false, minVersion: 'TLSv1.3', ALPNProtocols: ['skein/1'] } as const;
  const socket = connect({ ...tls, host: '127.0.0.1', port, ...options });
  const reader = new FrameReader(1 << 20);
  let why: string | undefined;
  socket.on('error', () => undefined);
  socket.on('data', (piece) => {
    reader.push(piece);
    for (let bytes = reader.next(); bytes; bytes = reader.next()) {
      const frame = bytes.length > 0 ? Object(decodeFrame(bytes)) : {};
      if (frame.t === 'bye') why = String(frame.why);
    }
  });
  t.after(() => socket.destroy());
  await new Promise((resolve) => socket.once('secureConnect', resolve).once('close', resolve));
  return { socket, bye: () => why };
}

/** Listens, and keeps what the attacker's channel came to. */
async function victim(t: TestContext, pace: Pace = quickPace) {
  const seen: { channel: Channel; listening: Listening }[] = [];
  const listener = await listenAs(
    t,
    there,
    async (channel) => void seen.push({ channel, listening: new Listening(channel) }),
    pace,
  );
  return { port: listener.port, seen };
}

test('frames pass both ways, and each end knows the other’s key', async (t) => {
  const [one, two] = await pair(t);
  assert.deepEqual([one.peerKey, two.peerKey], [there.signer.key, here.signer.key]);
  assert.deepEqual([one.dialled, two.dialled], [true, false]);
  const [atOne, atTwo] = [new Listening(one), new Listening(two)];
  for (const n of [1, 2, 3]) assert.ok(one.send({ n }) && two.send({ n: -n }));
  await until(() => atOne.frames.length === 3 && atTwo.frames.length === 3);
  assert.deepEqual(
    [atTwo.frames, atOne.frames],
    [
      [{ n: 1 }, { n: 2 }, { n: 3 }],
      [{ n: -1 }, { n: -2 }, { n: -3 }],
    ],
  );
});

test('both ends have one binding, and no other connection has it', async (t) => {
  const pairs = [await pair(t), await pair(t)];
  const bindings = pairs.map(([one, two]) => {
    assert.equal(one.binding, two.binding);
    return one.binding;
  });
  assert.equal(new Set(bindings).size, 2);
  assert.match(bindings[0] ?? '', /^[0-9a-f]{64}$/);
});

test('what comes before anybody takes it waits', async (t) => {
  const [one, two] = await pair(t);
  new Listening(one);
  one.send('early');
  await until(() => one.send('more'));
  const late = new Listening(two);
  await until(() => late.frames.length === 2);
});

test('who closes a link says why, in words that a terminal can show', async (t) => {
  const [one, two] = await pair(t);
  const [atOne, atTwo] = [new Listening(one), new Listening(two)];
  one.close('it was\u001b[31m removed');
  await until(() => atOne.closed !== undefined && atTwo.closed !== undefined);
  assert.deepEqual(
    [atOne.closed, atTwo.closed],
    ['it was\u001b[31m removed', 'the other side says: it was[31m removed'],
  );
  one.close('again');
  assert.equal(one.send('nobody hears it'), false);
});

test('a link whose other end is gone ends, also when nobody had taken it yet', async (t) => {
  const { port, seen } = await victim(t);
  const { socket } = await attacker(t, port);
  await until(() => seen.length === 1);
  socket.destroy();
  await until(() => seen[0]?.listening.closed !== undefined);
  const [one, two] = await pair(t);
  one.close('gone');
  const late = new Listening(two);
  await until(() => late.closed !== undefined);
});

test('who has no certificate is told so and gets no channel', async (t) => {
  const { port, seen } = await victim(t);
  const { socket, bye } = await attacker(t, port, { key: '', cert: '' });
  await until(() => bye() !== undefined);
  assert.match(bye() ?? '', /showed no certificate/);
  await until(() => socket.destroyed);
  assert.equal(seen.length, 0);
});

test('a certificate of another kind, with a key that is not held, or of TLS 1.2 gets no channel', async (t) => {
  const { port, seen } = await victim(t);
  assert.throws(
    () => connect({ port, key: here.credentials.key, cert: other.credentials.cert }),
    /key values mismatch/,
  );
  for (const options of [
    { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' },
    { ALPNProtocols: ['http/1.1'] },
    { sigalgs: 'rsa_pss_rsae_sha256' },
  ] as const) {
    const { socket } = await attacker(t, port, options);
    await until(() => socket.destroyed);
  }
  const { socket, bye } = await attacker(t, port, { ALPNProtocols: [] });
  await until(() => socket.destroyed);
  assert.match(bye() ?? '', /does not speak skein/);
  assert.equal(seen.length, 0);
});

test('a host that answers with another key than was expected is not talked to', async (t) => {
  const { port, seen } = await victim(t);
  await assert.rejects(dialAs(t, here, port, other.id), /another host answers there/);
  await until(() => seen.every(({ listening }) => listening.closed !== undefined));
  for (const { listening } of seen) assert.deepEqual(listening.frames, []);
});

test('a frame of 4 GB, one nested deeply, and what is not JSON end the link at once, and the peer is told', async (t) => {
  const { port, seen } = await victim(t);
  for (const [bytes, why] of [
    [Buffer.from('ffffffff', 'hex'), /4294967295 bytes, where 65536 are allowed/],
    [encodeFrame('x'.repeat(65_536)), /65538 bytes, where 65536/],
    [framed(`${'['.repeat(20_000)}${']'.repeat(20_000)}`), /nested more than 64 deep/],
    [framed('{"a":'), /not JSON/],
  ] as const) {
    const { socket, bye } = await attacker(t, port);
    socket.write(bytes);
    await until(() => bye() !== undefined);
    assert.match(bye() ?? '', why);
    await until(() => socket.destroyed);
    assert.deepEqual(seen.at(-1)?.listening.frames, []);
  }
});

function framed(text: string): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(Buffer.byteLength(text));
  return Buffer.concat([head, Buffer.from(text)]);
}

test('a peer that floods is read no faster than it may send, and is dropped when it does not stop', async (t) => {
  const { port, seen } = await victim(t);
  const { socket, bye } = await attacker(t, port);
  const burst = Buffer.concat(Array.from({ length: 500 }, () => encodeFrame({ t: 'x' })));
  const pump = () => socket.write(burst, (error) => (error ? undefined : setImmediate(pump)));
  pump();
  await until(() => seen[0]?.listening.closed !== undefined);
  assert.match(seen[0]?.listening.closed ?? '', /sends more than is read/);
  const { frames, perSecond } = {
    frames: seen[0]?.listening.frames.length ?? 0,
    perSecond: allowances.stranger.frames.perSecond,
  };
  const most = allowances.stranger.frames.burst + 6 * perSecond + 1;
  assert.ok(frames >= allowances.stranger.frames.burst && frames <= most, `${frames} frames were read`);
  await until(() => bye() !== undefined);
});

test('a member may send much at once', async (t) => {
  const [one, two] = await pair(t);
  two.allow(allowances.member);
  const at = new Listening(two);
  const big = 'x'.repeat(4 << 20);
  for (let n = 0; n < 5000; n += 1) one.send(n);
  one.send(big);
  await until(() => at.frames.length === 5001);
  assert.equal(at.frames.at(-1), big);
});

test('a peer that does not read is told nothing more, and is dropped', async (t) => {
  const { port, seen } = await victim(t, { ...quickPace, silence: 60_000 });
  const { socket } = await attacker(t, port);
  await until(() => seen.length === 1);
  socket.pause();
  const [first] = seen;
  assert.ok(first);
  const big = 'x'.repeat(1 << 20);
  let taken = 0;
  while (first.channel.send(big)) taken += 1;
  assert.ok(taken > 8 && taken < 40, `${taken} MiB were taken`);
  await until(() => first.listening.closed !== undefined);
  assert.match(first.listening.closed ?? '', /does not read/);
});

test('a link that was full tells when to go on', async (t) => {
  const [one, two] = await pair(t);
  two.allow(allowances.member);
  const at = new Listening(one);
  while (one.send('x'.repeat(1 << 20))) assert.equal(at.drains, 0);
  const reading = new Listening(two);
  await until(() => at.drains === 1);
  assert.ok(one.send('go on'));
  await until(() => reading.frames.at(-1) === 'go on');
});

test('a peer that says nothing is taken for gone, one that only gives signs of life is not', async (t) => {
  const { port, seen } = await victim(t);
  const { socket, bye } = await attacker(t, port);
  await until(() => bye() !== undefined);
  assert.match(bye() ?? '', /said nothing/);
  assert.ok(socket.destroyed || (await once(socket, 'close')));
  const quick = await dial({
    credentials: here.credentials,
    host: '127.0.0.1',
    port,
    signal: t.signal,
    pace: quickPace,
  });
  const atQuick = new Listening(quick);
  await until(() => seen.length === 2);
  for (const channel of [quick, seen[1]?.channel]) channel?.allow(allowances.member);
  const since = performance.now();
  await until(() => performance.now() - since > 3 * quickPace.silence);
  assert.deepEqual([atQuick.closed, seen[1]?.listening.closed], [undefined, undefined]);
  quick.close('done');
});

test('connections that are opened and left are few, and make room when they are cut off', async (t) => {
  const { port, seen } = await victim(t, { ...quickPace, handshake: 1500 });
  const sockets: Socket[] = Array.from({ length: 12 }, () => connectTcp(port, '127.0.0.1'));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  let cut = 0;
  for (const socket of sockets) socket.on('error', () => undefined).on('close', () => (cut += 1));
  await until(() => cut === 4);
  const { socket } = await attacker(t, port);
  assert.ok(socket.destroyed && seen.length === 0, 'nobody more from there');
  await until(() => cut === 12);
  await attacker(t, port);
  await until(() => seen.length === 1);
});

test('one source cannot connect without end', async (t) => {
  const { port, seen } = await victim(t);
  const since = performance.now();
  for (let n = 0; n < 60; n += 1) {
    const before = seen.length;
    const { socket } = await attacker(t, port);
    await until(() => seen.length > before || socket.destroyed);
    socket.destroy();
  }
  const most = 30 + (5 * (performance.now() - since)) / 1000;
  assert.ok(seen.length >= 30 && seen.length <= most, `${seen.length} of 60 came through, where ${most} may`);
});

test('what stands in the way of a connection is named', async (t) => {
  const dialTo = (port: number) =>
    dial({ credentials: here.credentials, host: '127.0.0.1', port, signal: t.signal, pace: quickPace });
  const mute = createServer(() => undefined).listen(0, '127.0.0.1');
  const chatty = createServer((socket) => socket.on('error', () => undefined).end('220 mail.example ESMTP\r\n')).listen(
    0,
    '127.0.0.1',
  );
  await Promise.all([once(mute, 'listening'), once(chatty, 'listening')]);
  t.after(() => [mute, chatty].map((server) => server.close()));
  const portOf = (server: typeof mute) => Object(server.address()).port as number;
  await assert.rejects(dialTo(portOf(mute)), /does not answer in TLS/);
  await assert.rejects(dialTo(portOf(chatty)), /does not speak TLS/);
  await assert.rejects(dialTo(1), /connect to 127\.0\.0\.1:1: nobody listens there/);
  await assert.rejects(
    dial({ credentials: here.credentials, host: '127.0.0.1', port: 1, signal: AbortSignal.abort() }),
    /given up/,
  );
});

test('a source is an IPv4 address or the /64 of an IPv6 address', () => {
  assert.equal(sourceOf('192.0.2.1'), '192.0.2.1');
  assert.equal(sourceOf('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(sourceOf('2001:db8::1'), sourceOf('2001:db8::ffff:1'));
  assert.notEqual(sourceOf('2001:db8::1'), sourceOf('2001:db8:0:1::1'));
  assert.equal(sourceOf('fe80::1%eth0'), sourceOf('fe80::2'));
});
