import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Turns } from './turns.ts';

const endless = 2 ** 31 - 1;
const limits = { underWay: 4, perSource: 2, waiting: 100, perAsker: 50 };

interface Work {
  readonly name: string;
  readonly end: () => void;
}

function open(options: Partial<ConstructorParameters<typeof Turns>[0]> = {}) {
  const turns = new Turns({ limits, deadline: endless, patience: endless, makeRoom: () => {}, ...options });
  const begun: Work[] = [];
  const ask = (asker: string, name: string, source = '') =>
    turns.run({ asker, source }, () => {
      const { promise, resolve } = Promise.withResolvers<string>();
      begun.push({ name, end: () => resolve(name) });
      return promise;
    });
  return { begun, ask };
}

test('no more are under way than may be, and all come, of one source in order, of several by who has least', async (t) => {
  const { begun, ask } = open();
  t.after(() => {
    for (const { end } of begun) end();
  });
  const names = ['a0', 'a1', 'a2', 'a3', 'b0', 'b1', 'b2', 'c0', 'c1'];
  const asked = names.map((name) => ask(name.charAt(0), name));
  for (let ended = 0; ended < names.length; ended++) {
    assert.ok(begun.length - ended <= limits.underWay);
    begun[ended]?.end();
    await setImmediate();
  }
  const order = begun.map(({ name }) => name);
  assert.deepEqual(await Promise.all(asked), names);
  assert.deepEqual(order, ['a0', 'a1', 'b0', 'b1', 'c0', 'a2', 'a3', 'b2', 'c1']);
});

test('whose turn does not come in time, and whose work takes too long after it waited, is told so', async () => {
  const { begun, ask } = open({ deadline: 50 });
  const first = [ask('a', 'a0'), ask('a', 'a1')];
  const late = [ask('a', 'a2'), ask('a', 'a3')];
  begun[0]?.end();
  assert.deepEqual(await Promise.all([first[0], ...late]), ['a0', undefined, undefined]);
  assert.deepEqual(
    begun.map(({ name }) => name),
    ['a0', 'a1', 'a2'],
    'the other has not begun',
  );
  const next = ask('a', 'a4');
  assert.equal(begun.length, 3, 'what nobody waits for is still under way');
  begun[2]?.end();
  await setImmediate();
  begun[3]?.end();
  assert.equal(await next, 'a4');
});

test('who waits because all are taken asks for room', async () => {
  const room = Promise.withResolvers<string>();
  const { begun, ask } = open({ patience: 20, makeRoom: room.resolve });
  const all = ['a0', 'a1', 'b0', 'b1', 'c0'].map((name) => ask(name.charAt(0), name));
  assert.equal(await room.promise, 'c');
  for (let n = 0; n < all.length; n++) {
    begun[n]?.end();
    await setImmediate();
  }
  assert.equal(await all[4], 'c0');
});

test('a failure is passed on, and its turn is another one’s', async () => {
  const turns = new Turns({ limits: { ...limits, underWay: 1 }, deadline: endless, patience: endless, makeRoom() {} });
  const whose = { asker: 'a', source: '' };
  const failing = turns.run(whose, () => Promise.reject(new Error('no')));
  const next = turns.run(whose, () => 'fine');
  await assert.rejects(failing, /no/);
  assert.equal(await next, 'fine');
});
