import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Refusal } from '../../lib/errors.ts';
import { Asks, type AsksNeeds } from './asks.ts';
import type { RoutedMessage } from './messages.ts';
import type { Json } from './sheets.ts';
import { privateKeyOf, sealOf, signerOf } from './signing.ts';
import { hostId } from './world.testing.ts';

const [a, b] = [hostId('a'), hostId('b')];

/** Two hosts and what lies between them. */
function pair(answer: AsksNeeds['answer'], { linked = true } = {}) {
  const timers = new Set<() => void>();
  const after = (_: number, task: () => void) => {
    timers.add(task);
    return () => void timers.delete(task);
  };
  const late = () => {
    for (const task of timers) task();
  };
  const between: { way: (to: string, message: RoutedMessage) => RoutedMessage | undefined } = {
    way: (_, said) => said,
  };
  const sent: RoutedMessage[] = [];
  const seals = new Map([a, b].map((id) => [id, sealOf(signerOf(privateKeyOf(Buffer.from(id))))]));
  const make = (self: string): Asks =>
    new Asks(
      {
        ...{ self, answer, isLinked: () => linked },
        clock: { now: () => 0, after },
        seal: seals.get(self) ?? assert.fail(),
        trust: { cluster: 'c'.repeat(64), keyFor: (owner) => seals.get(owner)?.key },
        send: (to, message) => {
          sent.push(message);
          const came = between.way(to, JSON.parse(JSON.stringify(message)));
          if (came?.t === 'ask' || came?.t === 'said') hosts.get(to)?.receive(self, came, !linked);
          return hosts.has(to);
        },
      },
      7,
    );
  const hosts = new Map<string, Asks>();
  for (const id of [a, b]) hosts.set(id, make(id));
  const ask = (question: Json, to = b) => hosts.get(a)?.ask(to, question) ?? assert.fail();
  return { ask, between, sent, late, hosts };
}

const unavailable = (error: unknown) => error instanceof Refusal && error.kind === 'unavailable';

describe('questions between hosts', () => {
  test('are answered, and what the other refuses is told with its reason', async () => {
    for (const linked of [true, false]) {
      const { ask, sent } = pair(
        async (from, question) => {
          if (question === 'no') throw new Refusal('conflict', 'it is taken');
          return { from, question };
        },
        { linked },
      );
      assert.deepEqual(await ask([1, { two: null }]), { from: a, question: [1, { two: null }] });
      await assert.rejects(ask('no'), (error) => error instanceof Refusal && error.kind === 'conflict');
      assert.ok(sent.every((message) => 'signature' in message === !linked));
    }
  });

  test('are not waited for when there is no way, and not for long when nobody answers', async () => {
    const { ask, late } = pair(() => new Promise(() => undefined));
    await assert.rejects(ask(1, hostId('nobody')), unavailable);
    const asked = ask(1);
    late();
    await assert.rejects(asked, /did not answer within 2 s/);
  });

  test('that others pass on count as they were said, and once', async () => {
    const heard: Json[] = [];
    const { ask, between, hosts, late } = pair(
      async (_, question) => {
        heard.push(question);
        return 'yes';
      },
      { linked: false },
    );
    let seen: RoutedMessage | undefined;
    between.way = (_, message) => {
      if (message.t === 'ask') seen ??= message;
      return message;
    };
    assert.equal(await ask('first'), 'yes');
    assert.ok(seen?.t === 'ask');
    hosts.get(b)?.receive(a, seen, true);
    assert.deepEqual(heard, ['first']);
    for (const change of [{ question: 'forged' }, { answer: 'forged' }, { signature: undefined }]) {
      between.way = (_, message) => Object.assign(message, change);
      const asked = ask('second');
      late();
      await assert.rejects(asked, unavailable);
    }
    assert.ok(!heard.includes('forged'));
  });

  test('do not pile up at who answers slowly', async () => {
    const { ask } = pair(() => new Promise(() => undefined));
    const open = Array.from({ length: 257 }, () => ask(1));
    await assert.rejects(Promise.race(open), /too many questions at a time/);
  });
});
