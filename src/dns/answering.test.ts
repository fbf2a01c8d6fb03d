import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silent } from '../lib/log.ts';
import { Answering, type Origin } from './answering.ts';
import { Forwarder } from './forwarder.ts';
import { ask, type Told, tell } from './message.testing.ts';
import { RCODE } from './message.ts';
import { answerTo, openUpstream } from './upstream.testing.ts';
import { toWireName } from './wire-name.ts';

const origin: Origin = { network: 'n', address: '10.0.0.2', port: 5353, transport: 'udp' };
const domains = [toWireName('skein.local') ?? ''];

function take(answering: Answering, question: Buffer): Promise<Told> {
  const { promise, resolve } = Promise.withResolvers<Told>();
  answering.take(question, origin, (bytes, length) => resolve(tell(Buffer.from(bytes.subarray(0, length)))));
  return promise;
}

/** One whose host's resolver knows no name. */
async function openDenied(t: TestContext): Promise<Answering> {
  const upstream = await openUpstream((question) => [answerTo(question, { rcode: RCODE.NXDOMAIN, soa: [300, 300] })]);
  const answering = new Answering({ domains, hostResolvers: { list: () => [upstream], last: [] }, log: silent });
  t.after(() => {
    answering.forwarder.close();
    upstream.close();
  });
  return answering;
}

const asker = {
  kind: 'asker',
  id: 'a',
  places: [{ network: 'n', address: '10.0.0.2' }],
  networks: [],
  resolvers: 'host',
} as const;

test('that others do not know a name which a container may get is soon forgotten', async (t) => {
  const answering = await openDenied(t);
  answering.names.putNetwork({ id: 'n', name: 'demo', subnets: [] });
  const place = { network: 'n', address: '10.0.0.2' };
  answering.askers.put({ kind: 'asker', id: 'a', places: [place], networks: ['n'], resolvers: 'host' });
  const ttl = async (name: string) => (await take(answering, ask(name))).records[1][0]?.split(' ')[1];
  assert.deepEqual([await ttl('web'), await ttl('web.demo'), await ttl('web.example')], ['5', '5', '300']);
});

test('who is told to ask this server itself is told that nobody answers', async () => {
  const hostResolvers = { list: () => assert.fail('they are not asked'), last: [] };
  const forwarder = new Forwarder({ log: silent, own: new Set(['169.254.53.53', 'fd53::53']) });
  const answering = new Answering({ domains, hostResolvers, log: silent, forwarder });
  const place = { network: 'n', address: '10.0.0.2' };
  const resolvers = ['::ffff:169.254.53.53', 'fd53::53%lo'];
  answering.askers.put({ kind: 'asker', id: 'a', places: [place], networks: [], resolvers });
  assert.equal((await take(answering, ask('a.example'))).rcode, RCODE.SERVFAIL);
});

test('a question that came by no socket counts as one, as its passing on does', async (t) => {
  const answering = await openDenied(t);
  answering.askers.put({ kind: 'asker', id: 'a', places: [], networks: [], resolvers: 'host' });
  await answering.ask(ask('a.example'), answering.askers.get('a') ?? assert.fail());
  assert.deepEqual(answering.counts, { questions: 1, forwarded: 1, failed: 0, refused: 0 });
});

test('an answer that cannot be sent is told in the log, and harms nobody', async () => {
  const logged = Promise.withResolvers<string>();
  const log = { ...silent, error: (message: string) => logged.resolve(message) };
  const answering = new Answering({ domains, hostResolvers: { list: () => [], last: [] }, log });
  answering.askers.put(asker);
  answering.take(ask('a.example'), origin, () => {
    throw new Error('the socket is closed');
  });
  assert.equal(await logged.promise, 'a question could not be passed on');
});

test('a datagram that is sent again is answered once, by what its first was asked for', async (t) => {
  const gate = Promise.withResolvers<void>();
  const upstream = await openUpstream(async (question) => {
    await gate.promise;
    return [answerTo(question, { addresses: ['192.0.2.1'] })];
  });
  const answering = new Answering({ domains, hostResolvers: { list: () => [upstream], last: [] }, log: silent });
  t.after(() => {
    answering.forwarder.close();
    upstream.close();
  });
  answering.askers.put(asker);
  const answered: number[] = [];
  const send = (bytes: Buffer) => answered.push(tell(Buffer.from(bytes)).id);
  const taken = (question: Buffer, from: Partial<Origin> = {}) =>
    answering.take(question, { ...origin, ...from }, (bytes, length) => send(bytes.subarray(0, length)));
  const first = ask('a.example', { id: 7 });
  assert.deepEqual([taken(first), taken(first), taken(Buffer.from(first))], [true, false, false]);
  const others = [
    taken(ask('a.example', { id: 8 })),
    taken(ask('a.example', { id: 7, type: 'AAAA' })),
    taken(first, { port: 5354 }),
    taken(first, { transport: 'tcp' }),
  ];
  assert.deepEqual(others, [true, true, true, true]);
  gate.resolve();
  for (const end = Date.now() + 10_000; answered.length < 5; await sleep(5)) assert.ok(Date.now() < end);
  assert.equal(taken(first), true, 'the first answer may have been lost');
  for (const end = Date.now() + 10_000; answered.length < 6; await sleep(5)) assert.ok(Date.now() < end);
  assert.deepEqual(
    answered.sort((a, b) => a - b),
    [7, 7, 7, 7, 7, 8],
  );
});
