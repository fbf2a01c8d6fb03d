import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silent } from '../lib/log.ts';
import { Forwarder, type ForwarderOptions, most } from './forwarder.ts';
import type { Resolver } from './host-resolvers.ts';
import { type AskOptions, ask, tell } from './message.testing.ts';
import { decodeQuery, FLAG, headerSize, RCODE, skipName, u16 } from './message.ts';
import { Reply } from './reply.ts';
import { answerTo, type Behaviour, openUpstream, type Upstream } from './upstream.testing.ts';

/** Of a timer that must not matter: the longest that there can be. */
const endless = 2 ** 31 - 1;
/** For tests in which a second try is wanted. */
const brief = 20;
/** A test that would wait for a timer does not end by itself. */
const bounded = { timeout: 60_000 } as const;

interface Setting {
  readonly forwarder: Forwarder;
  readonly servers: readonly Upstream[];
  /** What the client is told, undefined when it is that there is no answer. */
  readonly ask: (
    name: string,
    options?: AskOptions & {
      readonly asker?: string;
      readonly source?: string;
      readonly limit?: number;
      readonly of?: readonly Resolver[];
    },
  ) => Promise<ReturnType<typeof tell> | number>;
}

async function open(
  t: TestContext,
  behaviours: readonly Behaviour[],
  options: Partial<ForwarderOptions> = {},
): Promise<Setting> {
  const servers = await Promise.all(behaviours.map(openUpstream));
  const timers = { patience: endless, deadline: endless, tcpPatience: endless };
  const forwarder = new Forwarder({ log: silent, ...timers, ...options });
  t.after(() => {
    forwarder.close();
    for (const server of servers) server.close();
  });
  const reply = new Reply();
  return {
    forwarder,
    servers,
    async ask(name, { asker = 'a', source = '', limit = 65535, of = servers, ...options } = {}) {
      const request = ask(name, options);
      const query = decodeQuery(request);
      if (query?.kind !== 'query') return assert.fail();
      const forwarded = await forwarder.ask({ request, query, asker, source, resolvers: of });
      if (forwarded.kind === 'failed') return forwarded.rcode;
      reply.begin(request, query, limit);
      return tell(Buffer.from(reply.bytes.subarray(0, reply.foreign(forwarded.answer, forwarded.age))));
    },
  };
}

const good: Behaviour = (question) => [answerTo(question, { addresses: ['192.0.2.1'] })];
const says =
  (rcode: number): Behaviour =>
  (question) => [answerTo(question, { rcode })];
const mute: Behaviour = () => [];
const behind =
  (gate: Promise<void>): Behaviour =>
  async (question, over, port) => {
    await gate;
    return good(question, over, port);
  };

function addresses(found: ReturnType<typeof tell> | number): readonly string[] {
  if (typeof found === 'number') return assert.fail(`rcode ${found}`);
  return found.records[0].map((text) => text.split(' ').slice(1).join(' '));
}

test('the first server is asked, with an id and a port of chance, and the question as it came', async (t) => {
  const { ask: lookUp, servers } = await open(t, [good, good]);
  for (let n = 0; n < 20; n++) assert.deepEqual(addresses(await lookUp(`Host${n}.Example`)), ['60 A 192.0.2.1']);
  const [first, second] = servers;
  assert.equal(second?.asked.length, 0);
  const asked = first?.asked ?? [];
  assert.equal(new Set(asked.map(({ question }) => u16(question, 0))).size, 20, 'ids');
  assert.ok(new Set(asked.map(({ port }) => port)).size > 15, 'ports');
  assert.equal(tell(asked[3]?.question ?? assert.fail()).question, 'Host3.Example A');
});

for (const [what, rcode] of [
  ['SERVFAIL', RCODE.SERVFAIL],
  ['REFUSED', RCODE.REFUSED],
] as const) {
  test(`after ${what} the next server is asked at once, and what all say is told`, async (t) => {
    const { ask: lookUp, servers } = await open(t, [says(rcode), good]);
    assert.deepEqual(addresses(await lookUp('a.example')), ['60 A 192.0.2.1']);
    servers[1]?.behave(says(rcode));
    assert.equal(await lookUp('b.example'), rcode);
    assert.deepEqual(
      servers.map(({ asked }) => asked.length),
      [2, 2],
      'nobody is asked twice',
    );
  });
}

test('NXDOMAIN is an answer', async (t) => {
  const { ask: lookUp, servers } = await open(t, [says(RCODE.NXDOMAIN), good]);
  const found = await lookUp('a.example');
  assert.equal(typeof found === 'number' ? found : found.rcode, RCODE.NXDOMAIN);
  assert.equal(servers[1]?.asked.length, 0);
});

test('a silent server is passed over, and asked last from then on', async (t) => {
  const { ask: lookUp, servers, forwarder } = await open(t, [mute, good], { patience: brief });
  assert.deepEqual(addresses(await lookUp('a.example')), ['60 A 192.0.2.1']);
  assert.deepEqual(
    servers.map((server) => forwarder.isSilent(server)),
    [true, false],
  );
  const before: (number | undefined)[] = [];
  const asked = () => servers[0]?.asked.filter(({ question }) => tell(question).question === 'b.example A').length;
  servers[1]?.behave((question, over, port) => {
    before.push(asked());
    return good(question, over, port);
  });
  assert.deepEqual(addresses(await lookUp('b.example')), ['60 A 192.0.2.1']);
  assert.equal(before[0], 0);
});

test('a server that says other things meanwhile is not silent', async (t) => {
  const { ask: lookUp, servers, forwarder } = await open(t, [mute, mute], { patience: 200 });
  const only: Behaviour = (question, over, port) =>
    tell(question).question?.startsWith('dead') ? [] : good(question, over, port);
  const [first, second] = servers;
  first?.behave(only);
  second?.behave(async (question, over, port) => {
    // By now the first has left one question unanswered.
    assert.deepEqual(addresses(await lookUp('alive.example')), ['60 A 192.0.2.1']);
    return good(question, over, port);
  });
  assert.deepEqual(addresses(await lookUp('dead.example')), ['60 A 192.0.2.1']);
  assert.equal(forwarder.isSilent(first ?? assert.fail()), false);
});

test('where no way leads the next is asked at once', bounded, async (t) => {
  const upstream = await openUpstream(good);
  const forwarder = new Forwarder({ log: silent, patience: endless, deadline: endless });
  t.after(() => {
    forwarder.close();
    upstream.close();
  });
  const request = ask('a.example');
  const query = decodeQuery(request);
  if (query?.kind !== 'query') return assert.fail();
  // A broadcast address cannot be connected to.
  const resolvers = [{ address: '255.255.255.255', port: 53 }, upstream];
  const found = await forwarder.ask({ request, query, asker: 'a', resolvers });
  assert.equal(found.kind, 'answer');
});

test('where nobody listens the next is asked at once', async (t) => {
  const { ask: lookUp, servers } = await open(t, [good, good]);
  servers[0]?.close();
  assert.deepEqual(addresses(await lookUp('a.example')), ['60 A 192.0.2.1']);
});

test('a late answer still counts', bounded, async (t) => {
  const { ask: lookUp, servers } = await open(t, [mute, mute], { patience: brief });
  const [first, second] = servers;
  const asked = Promise.withResolvers<void>();
  second?.behave(() => {
    asked.resolve();
    return [];
  });
  first?.behave(async (question, over, port) => {
    // Of the first question alone, when the second server has it too.
    if (first.asked.length > 1) return [];
    await asked.promise;
    return good(question, over, port);
  });
  assert.deepEqual(addresses(await lookUp('a.example')), ['60 A 192.0.2.1']);
});

test('silent servers are asked twice each', bounded, async (t) => {
  const { ask: lookUp, servers, forwarder } = await open(t, [mute, mute], { patience: brief });
  const found = lookUp('a.example');
  await until(() => servers.every(({ asked }) => asked.length === 2));
  forwarder.close();
  assert.equal(await found, RCODE.SERVFAIL);
});

test('when all are silent the asker is told in time, and nobody is asked again for a second', bounded, async (t) => {
  let time = 0;
  const { ask: lookUp, servers } = await open(t, [mute, mute], { deadline: 1000, now: () => time });
  assert.equal(await lookUp('a.example'), RCODE.SERVFAIL);
  for (const server of servers) server.behave(good);
  time = 999;
  assert.equal(await lookUp('a.example'), RCODE.SERVFAIL, 'though now they would answer');
  time = 1000;
  assert.deepEqual(addresses(await lookUp('a.example')), ['60 A 192.0.2.1']);
});

test('answers that nobody asked for are passed over: another id, port, question, name or type, no answer, garbage', async (t) => {
  const spoof = (question: Buffer) => answerTo(question, { addresses: ['203.0.113.66'] });
  const changed = (question: Buffer, at: number, value: number) => {
    const bytes = spoof(question);
    bytes.writeUInt8(bytes.readUInt8(at) ^ value, at);
    return bytes;
  };
  const { ask: lookUp, servers } = await open(t, [mute]);
  const lies: readonly ((question: Buffer) => Buffer)[] = [
    (question) => changed(question, 1, 1),
    (question) => changed(question, 13, 1),
    (question) => changed(question, (skipName(question, headerSize) ?? 0) + 1, 28),
    (question) => changed(question, 2, 0x80),
    (question) => spoof(question).subarray(0, 20),
    () => Buffer.alloc(600, 0xff),
    () => Buffer.alloc(0),
  ];
  servers[0]?.behave((question, _over, port) => {
    servers[0]?.sendFromElsewhere(spoof(question), port);
    return [...lies.map((lie) => lie(question)), answerTo(question, { addresses: ['192.0.2.1'] })];
  });
  assert.deepEqual(addresses(await lookUp('aa.example')), ['60 A 192.0.2.1']);
});

test('somebody who guesses ids has eight guesses a port', bounded, async (t) => {
  const { ask: lookUp, servers } = await open(t, [mute]);
  servers[0]?.behave((question) => {
    const right = answerTo(question, { addresses: ['203.0.113.66'] });
    const wrong = Array.from({ length: 8 }, (_, n) => {
      const bytes = Buffer.from(right);
      bytes.writeUInt16BE(u16(right, 0) ^ (n + 1), 0);
      return bytes;
    });
    return [...wrong, right];
  });
  assert.equal(await lookUp('a.example'), RCODE.SERVFAIL);
});

test('equal questions share one, whoever asks and in whatever case', async (t) => {
  const gate = Promise.withResolvers<void>();
  const { ask: lookUp, servers } = await open(t, [behind(gate.promise)]);
  const all = ['a.example', 'A.Example', 'a.EXAMPLE'].map((name, n) => lookUp(name, { asker: String(n), id: n }));
  const other = lookUp('a.example', { type: 'AAAA' });
  const dnssec = lookUp('a.example', { size: 1232, dnssec: true });
  await until(() => (servers[0]?.asked.length ?? 0) >= 3);
  gate.resolve();
  const found = await Promise.all(all);
  assert.deepEqual(
    found.map((one) => (typeof one === 'number' ? one : one.question)),
    ['a.example A', 'A.Example A', 'a.EXAMPLE A'],
  );
  assert.deepEqual(
    found.map((one) => (typeof one === 'number' ? one : one.id)),
    [0, 1, 2],
  );
  await Promise.all([other, dnssec]);
  assert.equal(servers[0]?.asked.length, 3);
});

test('an answer is kept as long as it says and counted down, a denial as its SOA says', async (t) => {
  let time = 0;
  const { ask: lookUp, servers } = await open(t, [good], { now: () => time });
  const count = () => servers[0]?.asked.length;
  await lookUp('a.example');
  time = 40_000;
  assert.deepEqual(addresses(await lookUp('a.example')), ['20 A 192.0.2.1']);
  assert.equal(count(), 1);
  time = 60_000;
  await lookUp('a.example');
  assert.equal(count(), 2);
  servers[0]?.behave((question) => [answerTo(question, { rcode: RCODE.NXDOMAIN, soa: [300, 5] })]);
  await lookUp('b.example');
  time += 4000;
  await lookUp('b.example');
  assert.equal(count(), 3);
  time += 1000;
  await lookUp('b.example');
  assert.equal(count(), 4);
});

test('an answer that was cut is fetched over TCP; where TCP is shut the part is told', async (t) => {
  const many = Array.from({ length: 200 }, (_, n) => `192.0.2.${n}`);
  const { ask: lookUp, servers } = await open(t, [
    (question, over) =>
      over === 'tcp'
        ? [answerTo(question, { addresses: many })]
        : [answerTo(question, { addresses: ['192.0.2.1'], flags: FLAG.TC })],
  ]);
  assert.equal(addresses(await lookUp('a.example')).length, 200);
  servers[0]?.behave((question, over) =>
    over === 'tcp' ? [Buffer.alloc(30)] : [answerTo(question, { addresses: ['192.0.2.1'], flags: FLAG.TC })],
  );
  for (let n = 1; n <= 2; n++) {
    const found = await lookUp('b.example', { limit: 512 });
    assert.deepEqual(typeof found === 'number' ? found : found.flags, ['QR', 'TC', 'RD', 'RA']);
    assert.equal(servers[0]?.asked.filter(({ over }) => over === 'tcp').length, 1 + n, 'it is not kept');
  }
});

test('where TCP is silent the part is told, of a server that is not', bounded, async (t) => {
  const part: Behaviour = (question, over) =>
    over === 'tcp' ? [] : [answerTo(question, { addresses: ['192.0.2.1'], flags: FLAG.TC })];
  const { ask: lookUp, servers, forwarder } = await open(t, [part], { tcpPatience: brief });
  assert.deepEqual(addresses(await lookUp('a.example')), ['60 A 192.0.2.1']);
  assert.equal(forwarder.isSilent(servers[0] ?? assert.fail()), false);
});

test('a server from before EDNS is asked without, also the next time, until it may know it', async (t) => {
  let time = 0;
  const old: Behaviour = (question) =>
    u16(question, 10) > 0
      ? [answerTo(question, { rcode: RCODE.FORMERR, edns: false })]
      : [answerTo(question, { addresses: ['192.0.2.1'], edns: false })];
  const { ask: lookUp, servers } = await open(t, [old], { now: () => time });
  const options = Buffer.from('fde90000', 'hex');
  assert.deepEqual(addresses(await lookUp('a.example', { size: 1232, options })), ['60 A 192.0.2.1']);
  assert.equal(servers[0]?.asked.length, 2);
  assert.deepEqual(addresses(await lookUp('a.example', { size: 1232 })), ['60 A 192.0.2.1']);
  assert.equal(servers[0]?.asked.length, 4, 'it may have been the options');
  assert.deepEqual(addresses(await lookUp('b.example')), ['60 A 192.0.2.1']);
  assert.equal(servers[0]?.asked.length, 5);
  time = 600_000;
  assert.deepEqual(addresses(await lookUp('c.example')), ['60 A 192.0.2.1']);
  assert.equal(servers[0]?.asked.length, 7);
});

test('options go both ways, but for those of one hop', async (t) => {
  const ecs = '00080007000118' + '00c00002';
  const cookie = '000a00080102030405060708';
  const { ask: lookUp, servers } = await open(t, [
    (question) => {
      const plain = answerTo(question, { addresses: ['192.0.2.1'], edns: false });
      plain.writeUInt16BE(1, 10);
      return [Buffer.concat([plain, Buffer.from('0000290200000080000004fde90000', 'hex')])];
    },
  ]);
  const found = await lookUp('a.example', { size: 4096, dnssec: true, options: Buffer.from(ecs + cookie, 'hex') });
  assert.deepEqual(typeof found === 'number' ? found : found.edns, {
    size: 1232,
    rcode: 0,
    dnssec: true,
    options: 'fde90000',
  });
  const asked = tell(servers[0]?.asked[0]?.question ?? assert.fail());
  assert.deepEqual(asked.edns, { size: 1232, rcode: 0, dnssec: true, options: ecs });
});

test('who asks much at once waits for its turn, and nobody else; who asks too much is told so', bounded, async (t) => {
  const gate = Promise.withResolvers<void>();
  const { ask: lookUp, servers } = await open(t, [behind(gate.promise)]);
  const began: string[] = [];
  const greedy = Array.from({ length: most.perAsker }, (_, n) => lookUp(`n${n}.example`, { asker: 'greedy' }));
  await until(() => (servers[0]?.asked.length ?? 0) >= most.perSource);
  assert.equal(await lookUp('more.example', { asker: 'greedy' }), RCODE.SERVFAIL);
  assert.equal(servers[0]?.asked.length, most.perSource);
  servers[0]?.behave((question, over, port) => {
    began.push(tell(question).question ?? '');
    return good(question, over, port);
  });
  assert.deepEqual(addresses(await lookUp('other.example', { asker: 'modest' })), ['60 A 192.0.2.1']);
  assert.deepEqual(began.splice(0), ['other.example A']);
  gate.resolve();
  for (const one of greedy) assert.deepEqual(addresses(await one), ['60 A 192.0.2.1']);
  const place = (question: string) => Number(/\d+/.exec(question));
  assert.equal(began.length, most.perAsker - most.perSource);
  began.forEach((question, n) => {
    assert.ok(Math.abs(place(question) - n - most.perSource) < 2 * most.perSource, `${question} came as number ${n}`);
  });
  assert.deepEqual(addresses(await lookUp('again.example', { asker: 'greedy' })), ['60 A 192.0.2.1']);
});

test('what is known waits for no turn', bounded, async (t) => {
  const { ask: lookUp, servers } = await open(t, [good]);
  await lookUp('known.example', { asker: 'greedy' });
  servers[0]?.behave(mute);
  for (let n = 0; n <= most.perSource; n++) void lookUp(`n${n}.example`, { asker: 'greedy' });
  assert.deepEqual(addresses(await lookUp('known.example', { asker: 'greedy' })), ['60 A 192.0.2.1']);
});

test('those that ask as one asker have their turns by their addresses', bounded, async (t) => {
  const { ask: lookUp, servers } = await open(t, [mute, good]);
  const [silent = assert.fail(), quick = assert.fail()] = servers;
  for (let n = 0; n < 2 * most.perSource; n++) {
    void lookUp(`n${n}.example`, { asker: 'host', source: '10.0.0.1', of: [silent] });
  }
  const other = await lookUp('a.example', { asker: 'host', source: '10.0.0.2', of: [quick] });
  assert.deepEqual(addresses(other), ['60 A 192.0.2.1']);
  assert.equal(silent.asked.length, most.perSource);
});

test('closing ends what is under way and what waits', bounded, async (t) => {
  const { ask: lookUp, forwarder, servers } = await open(t, [mute]);
  const all = Array.from({ length: most.underWay + 100 }, (_, n) => lookUp(`n${n}.example`, { asker: String(n) }));
  await until(() => (servers[0]?.asked.length ?? 0) > 0);
  forwarder.close();
  for (const one of all) assert.equal(await one, RCODE.SERVFAIL);
});

test('a few that have all the questions under way make room for others', bounded, async (t) => {
  const { ask: lookUp, servers } = await open(t, [mute, good], { patience: 200 });
  const greedy = Array.from({ length: most.underWay }, (_, n) =>
    lookUp(`n${n}.example`, { asker: String(Math.floor(n / most.perSource)), of: servers.slice(0, 1) }),
  );
  const modest = lookUp('other.example', { asker: 'modest', of: servers.slice(1) });
  assert.deepEqual(addresses(await modest), ['60 A 192.0.2.1']);
  assert.equal(await greedy[0], RCODE.SERVFAIL, 'the oldest');
});

test('of what waits, whoever has most of it makes room for others', bounded, async (t) => {
  const { ask: lookUp, servers } = await open(t, [mute, good]);
  const [silent = assert.fail(), quick = assert.fail()] = servers;
  const greedy = Array.from({ length: most.waiting }, (_, n) =>
    lookUp(`n${n}.example`, { asker: String(Math.floor(n / most.perAsker)), of: [silent] }),
  );
  await until(() => silent.asked.length > 0);
  assert.deepEqual(addresses(await lookUp('other.example', { asker: 'modest', of: [quick] })), ['60 A 192.0.2.1']);
  assert.equal(await greedy[most.perSource], RCODE.SERVFAIL, 'the oldest that has not begun');
});

test('without resolvers there is no answer, at once', bounded, async () => {
  const forwarder = new Forwarder({ log: silent, deadline: endless });
  const request = ask('a.example');
  const query = decodeQuery(request);
  const resolvers: readonly Resolver[] = [];
  if (query?.kind !== 'query') return assert.fail();
  const found = await forwarder.ask({ request, query, asker: 'a', resolvers });
  assert.deepEqual(found, { kind: 'failed', rcode: RCODE.SERVFAIL });
});

test('other types are passed on byte for byte', async (t) => {
  const data = Buffer.from('00010203c00cfeff', 'hex');
  const { ask: lookUp } = await open(t, [
    (question) => {
      const bytes = answerTo(question, { addresses: ['1.2.3.4'], edns: false });
      const head = bytes.subarray(0, bytes.length - 16);
      const record = Buffer.from('c00cff0000010000003c0008', 'hex');
      return [Buffer.concat([head, record, data])];
    },
  ]);
  const found = await lookUp('a.example', { type: 0xff00 });
  assert.deepEqual(addresses(found), [`60 ${0xff00} ${data.toString('hex')}`]);
});

async function until(done: () => boolean): Promise<void> {
  for (const end = performance.now() + 30_000; !done(); await sleep(5)) {
    if (performance.now() > end) throw new Error('it did not come to that');
  }
}
