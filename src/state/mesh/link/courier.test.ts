import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { silent } from '../../../lib/log.ts';
import { Courier } from './courier.ts';
import { openDatagrams } from './datagrams.ts';
import { type RealHost, realHost, until } from './link.testing.ts';
import { longestPacket, longestPayload, packet } from './packet.ts';
import { pairSecret } from './pair-secret.ts';
import { ReplayWindow } from './replay-window.ts';

const [one, two, stranger] = [realHost('one'), realHost('two'), realHost('stranger')];

/** A courier of a host in a cluster of one and two; `clock` is what it takes for the time. */
function courierOf(host: RealHost, { cluster = 'c', clock = { now: 0 }, members = [one, two] } = {}): Courier {
  const keys = new Map(members.map(({ id, signer }) => [id, signer.key]));
  return new Courier({
    ...{ self: host.id, privateKey: host.privateKey, cluster },
    keyOf: (id) => keys.get(id),
    random: (size) => randomBytes(size),
    now: () => clock.now,
  });
}

function sealed(courier: Courier, to: RealHost, message: unknown): Uint8Array {
  return courier.seal(to.id, message) ?? assert.fail('not sealed');
}

/** Hands a packet to and fro until nothing is answered; the messages that came of it. */
function exchange(bytes: Uint8Array, to: Courier, back: Courier): unknown[] {
  const messages: unknown[] = [];
  let [next, other]: [Courier, Courier] = [to, back];
  let opened = next.open(bytes);
  for (let turns = 0; opened?.kind === 'answer' && turns < 10; turns += 1) {
    [next, other] = [other, next];
    opened = next.open(opened.bytes);
  }
  if (opened?.kind === 'message') messages.push(opened.message);
  return messages;
}

test('two hosts share a secret with each other alone', () => {
  for (let n = 0; n < 5; n += 1) {
    const [a, b, c] = [realHost('a'), realHost('b'), realHost('c')];
    const shared = pairSecret(a.privateKey, b.signer.key);
    assert.deepEqual(pairSecret(b.privateKey, a.signer.key), shared);
    assert.notDeepEqual(pairSecret(c.privateKey, a.signer.key), shared);
  }
});

test('the first message comes after one round trip, those after it at once', () => {
  const [a, b] = [courierOf(one), courierOf(two)];
  const first = sealed(a, two, 'first');
  assert.equal(b.open(first)?.kind, 'answer');
  assert.deepEqual(exchange(sealed(a, two, 'again'), b, a), ['again']);
  for (const n of [1, 2, 3]) assert.deepEqual(b.open(sealed(a, two, n)), { kind: 'message', from: one.id, message: n });
  assert.deepEqual(a.open(sealed(b, one, 'back')), { kind: 'message', from: two.id, message: 'back' });
});

test('a message counts once, and a recording of it never again', () => {
  const [a, b] = [courierOf(one), courierOf(two)];
  exchange(sealed(a, two, 'hello'), b, a);
  const recorded = [1, 2, 3].map((n) => sealed(a, two, n));
  for (const bytes of recorded.toReversed()) assert.equal(b.open(bytes)?.kind, 'message');
  for (const bytes of recorded) assert.equal(b.open(bytes), undefined);
});

test('who starts anew is heard after one round trip, and what was recorded before is worth nothing', () => {
  const [a, b] = [courierOf(one), courierOf(two)];
  exchange(sealed(a, two, 'hello'), b, a);
  const recorded = sealed(a, two, 'before');
  const newB = courierOf(two);
  assert.deepEqual(exchange(recorded, newB, courierOf(one)), []);
  assert.deepEqual(exchange(sealed(a, two, 'to the new one'), newB, a), ['to the new one']);
  const newA = courierOf(one);
  assert.deepEqual(exchange(sealed(newA, two, 'from the new one'), newB, newA), ['from the new one']);
  assert.notEqual(newB.open(recorded)?.kind, 'message');
  // What was made in the old life and comes late still counts, once, and does not shut out the new life.
  const late = sealed(a, two, 'late');
  assert.equal(newB.open(late)?.kind, 'message');
  assert.equal(newB.open(late), undefined);
  assert.equal(newB.open(sealed(newA, two, 'still'))?.kind, 'message');
  assert.equal(newA.open(sealed(newB, one, 'to the life heard last'))?.kind, 'message');
});

test('strangers, hosts that were removed and hosts of another cluster are not heard and not answered', () => {
  const b = courierOf(two);
  assert.equal(b.open(sealed(courierOf(stranger, { members: [two] }), two, 'x')), undefined);
  assert.equal(b.open(sealed(courierOf(one, { cluster: 'other' }), two, 'x')), undefined);
  assert.equal(courierOf(one).seal(stranger.id, 'x'), undefined);
  assert.equal(b.open(sealed(courierOf(one), two, 'x'))?.kind, 'answer');
  const without = courierOf(two, { members: [two] });
  assert.equal(without.open(sealed(courierOf(one), two, 'x')), undefined);
  // A stranger that says it is one of them.
  const liar = new Courier({
    ...{ self: one.id, privateKey: stranger.privateKey, cluster: 'c', now: () => 0 },
    keyOf: () => two.signer.key,
    random: (size) => randomBytes(size),
  });
  assert.equal(b.open(sealed(liar, two, 'x')), undefined);
});

test('a packet with one bit changed, cut off or sent back is nothing', () => {
  const [a, b] = [courierOf(one), courierOf(two)];
  exchange(sealed(a, two, 'hello'), b, a);
  const bytes = sealed(a, two, 'message');
  for (let bit = 0; bit < bytes.length * 8; bit += 3) {
    const changed = Uint8Array.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(b.open(changed), undefined, `bit ${bit}`);
  }
  for (let end = 0; end < bytes.length; end += 1) assert.equal(b.open(bytes.subarray(0, end)), undefined);
  assert.equal(a.open(bytes), undefined);
  assert.equal(b.open(bytes)?.kind, 'message');
});

test('a packet fits 1200 bytes, and what would not is not sealed', () => {
  const a = courierOf(one);
  assert.equal(sealed(a, two, 'x'.repeat(longestPayload - 2)).length, longestPacket);
  assert.equal(a.seal(two.id, 'x'.repeat(longestPayload - 1)), undefined);
  assert.ok(longestPayload > 1100);
  assert.equal(courierOf(two).open(new Uint8Array(longestPacket + 1)), undefined);
});

test('recordings and forgeries are answered seldom, and are looked at no faster than some', () => {
  const clock = { now: 0 };
  const [a, b] = [courierOf(one), courierOf(two, { clock })];
  const recorded = Array.from({ length: 100 }, (_, n) => sealed(a, two, n));
  const answered = () => recorded.filter((bytes) => b.open(bytes) !== undefined).length;
  assert.equal(answered(), 5);
  clock.now += 1000;
  assert.equal(answered(), 5);
});

test('a window takes each number once, unless it is far behind', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3000), { maxLength: 200 }), (numbers) => {
      const window = new ReplayWindow();
      const taken = new Set<number>();
      let highest = -1;
      for (const number of numbers) {
        const expected = !taken.has(number) && number > highest - 1024;
        assert.equal(window.take(number), expected);
        if (expected) taken.add(number);
        highest = Math.max(highest, number);
      }
    }),
  );
});

/** What happens to packets on their way: which one comes next, twice or not, and who starts anew. */
const fate = fc.array(
  fc.record({
    from: fc.boolean(),
    kind: fc.constantFrom('send', 'send', 'deliver', 'deliver', 'replay', 'restart'),
    place: fc.nat(),
  }),
  { maxLength: 120 },
);

test('whatever is lost, doubled, delayed or recorded, and whoever starts anew, no message comes twice', () => {
  fc.assert(
    fc.property(fate, (fates) => {
      const hosts = [one, two];
      const couriers = hosts.map((host) => courierOf(host));
      const flying: { to: number; bytes: Uint8Array }[] = [];
      const all: { to: number; bytes: Uint8Array }[] = [];
      const got: unknown[] = [];
      const put = (to: number, bytes: Uint8Array | undefined) => {
        if (bytes) for (const list of [flying, all]) list.push({ to, bytes });
      };
      for (const [n, { from, kind, place }] of fates.entries()) {
        const side = from ? 0 : 1;
        if (kind === 'send') put(1 - side, couriers[side]?.seal(hosts[1 - side]?.id ?? '', n));
        if (kind === 'restart') couriers[side] = courierOf(hosts[side] ?? one);
        const next =
          kind === 'deliver'
            ? flying.splice(place % (flying.length + 1), 1)[0]
            : kind === 'replay'
              ? all[place % (all.length + 1)]
              : undefined;
        const opened = next && couriers[next.to]?.open(next.bytes);
        if (opened?.kind === 'answer') put(1 - (next?.to ?? 0), opened.bytes);
        if (opened?.kind === 'message') got.push(opened.message);
      }
      // A message may be sent again when its first packet found an old session, and only one of the two counts.
      assert.equal(new Set(got).size, got.length);
    }),
    { numRuns: 300 },
  );
});

async function datagramsOf(
  t: TestContext,
  host: RealHost,
  places: Map<string, { address: string; port: number }>,
  address = '127.0.0.1',
) {
  const received: unknown[] = [];
  const datagrams = await openDatagrams({
    ...{ courier: courierOf(host), address, port: 0, log: silent },
    addressOf: (id) => places.get(id),
    received: (from, message) => received.push([from, message]),
  });
  places.set(host.id, { address: '127.0.0.1', port: datagrams.port });
  t.after(() => datagrams.close());
  return { datagrams, received };
}

test('datagrams pass between two hosts, and between both families’ socket and one', async (t) => {
  const places = new Map<string, { address: string; port: number }>();
  const [a, b] = [await datagramsOf(t, one, places), await datagramsOf(t, two, places, '::')];
  a.datagrams.send(two.id, { ping: 1 });
  await until(() => b.received.length === 1);
  b.datagrams.send(one.id, { ack: 1 });
  await until(() => a.received.length === 1);
  assert.deepEqual([b.received, a.received], [[[one.id, { ping: 1 }]], [[two.id, { ack: 1 }]]]);
  a.datagrams.send(stranger.id, 'to nobody');
  a.datagrams.close();
  a.datagrams.send(two.id, 'after the end');
  a.datagrams.close();
});

test('a port that is taken is named', async (t) => {
  const { datagrams } = await datagramsOf(t, one, new Map());
  const options = { courier: courierOf(two), address: '127.0.0.1', port: datagrams.port, log: silent };
  await assert.rejects(
    openDatagrams({ ...options, addressOf: () => undefined, received: () => undefined }),
    /take datagrams on 127\.0\.0\.1 port \d+: .*EADDRINUSE/,
  );
});

test('a packet begins with its head, which is read as it was written', () => {
  const head = {
    kind: 'session',
    from: '0123456789abcdef'.repeat(2),
    session: '1'.repeat(16),
    toSession: '2'.repeat(16),
  } as const;
  const bytes = Buffer.concat([
    packet.encodeHead({ ...head, number: 2 ** 47 + 1 }),
    Buffer.from('ab'),
    Buffer.alloc(16),
  ]);
  const golden = `0102${'0123456789abcdef'.repeat(2)}${'1'.repeat(16)}${'2'.repeat(16)}800000000001`;
  assert.equal(bytes.toString('hex', 0, 40), golden);
  const { sealed: payload, tag, head: _, ...read } = packet.decode(bytes);
  assert.deepEqual(read, { ...head, number: 2 ** 47 + 1 });
  assert.deepEqual([Buffer.from(payload).toString(), tag.length], ['ab', 16]);
});
