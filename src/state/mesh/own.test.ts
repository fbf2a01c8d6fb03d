import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Held, updateSince } from './content.ts';
import type { DiskChange } from './environment.ts';
import { Own } from './own.ts';
import { Shelf } from './shelf.ts';

const self = 'a'.repeat(32);
const seal = {
  key: 'key',
  hash: (text: string) => Buffer.from(text).toString('hex').slice(-64),
  sign: (text: string) => `signed ${text}`,
  verify: (_: string, text: string, signature: string) => signature === `signed ${text}`,
};

/** A host's own sheets, with a disk that answers when it is told to. */
function open(epoch = 1) {
  const waiting: { readonly done: (error?: Error) => void }[] = [];
  const said: Held[] = [];
  const disk = {
    write: (_: readonly DiskChange[], done: (error?: Error) => void) => void waiting.push({ done }),
  };
  const clock = { now: () => 0, after: () => () => undefined };
  const trust = { cluster: 'c', keyFor: () => seal.key };
  const shelf = new Shelf({ seal, trust, disk, clock, lives: () => true }, []);
  const own = new Own(
    { self, cluster: 'c', seal, disk, shelf, said: (sheet) => void said.push(sheet), recalled: () => undefined },
    epoch,
  );
  /** The disk answers what it was asked first. */
  const answer = (error?: Error) => {
    const write = waiting.shift();
    assert.ok(write, 'nothing is to be written');
    write.done(error);
  };
  return { own, shelf, said, waiting, answer, read: () => shelf.read(self, 'ring') };
}

/** An earlier life that has said one thing, and what others remember of it. */
async function openSaid(epoch: number) {
  const earlier = open(epoch);
  earlier.own.begin();
  const change = earlier.own.change('ring', (draft) => draft.put('a', 'old'));
  earlier.answer();
  await change;
  const memory = earlier.read();
  assert.ok(memory);
  return { earlier, memory };
}

test('nothing is read or said before the disk has it', async () => {
  const { own, said, answer, read } = open();
  own.begin();
  const change = own.change('ring', (draft) => draft.put('a', 1));
  assert.deepEqual([read(), said.length], [undefined, 0]);
  answer();
  await change;
  assert.deepEqual([read()?.entries.get('a'), said.length], [1, 1]);
});

test('what is asked for while the disk is busy becomes one version, decided on what is there then', async () => {
  const { own, said, answer } = open();
  own.begin();
  const add = () => own.change('ring', (draft) => draft.put('n', Number(draft.get('n') ?? 0) + 1));
  const all = [add(), add(), add()];
  answer();
  answer();
  await Promise.all(all);
  assert.deepEqual(
    said.map(({ version, entries }) => [version[1], entries.get('n')]),
    [
      [1, 1],
      [2, 3],
    ],
  );
});

test('what the disk refuses was never said, and the next change does not build on it', async () => {
  const { own, said, answer, read } = open();
  own.begin();
  const refused = own.change('ring', (draft) => draft.put('a', 1));
  const next = own.change('ring', (draft) => draft.put('b', draft.get('a') ?? 'alone'));
  answer(new Error('no space left on device'));
  await assert.rejects(refused, /cannot keep what this host says: no space left on device/);
  answer();
  await next;
  assert.deepEqual([...(read()?.entries ?? [])], [['b', 'alone']]);
  assert.equal(said.length, 1);
});

test('what changes nothing makes no version', async () => {
  const { own, waiting, answer } = open();
  own.begin();
  const first = own.change('ring', (draft) => draft.put('a', { x: 1, y: 2 }));
  answer();
  await first;
  await own.change('ring', (draft) => draft.put('a', { y: 2, x: 1 }));
  await own.change('ring', (draft) => draft.delete('never there'));
  assert.equal(waiting.length, 0);
});

test('a host says nothing before it begins', async () => {
  const { own, waiting, answer } = open();
  const change = own.change('ring', (draft) => draft.put('a', 1));
  assert.equal(waiting.length, 0);
  own.begin();
  answer();
  await change;
});

test('what others remember comes back with what was said since on top, above everything said before', async () => {
  const earlier = open(7);
  earlier.own.begin();
  const forgotten = [
    earlier.own.change('ring', (draft) => draft.put('a', 'old')),
    earlier.own.change('ring', (draft) => draft.put('b', 'old')),
  ];
  earlier.answer();
  earlier.answer();
  await Promise.all(forgotten);
  const memory = earlier.read();
  assert.ok(memory);

  // The disk went back to before all of that, to epoch 3.
  const { own, answer, read } = open(3);
  own.begin();
  const since = own.change('ring', (draft) => draft.put('b', 'new'));
  answer();
  await since;
  assert.equal(own.remember(updateSince(memory, undefined)), 'taken');
  answer();
  assert.deepEqual([read()?.version, Object.fromEntries(read()?.entries ?? [])], [[8, 1], { a: 'old', b: 'new' }]);
  assert.equal(own.remember(updateSince(memory, undefined)), 'known');
});

test('a later epoch does not hide what an earlier one had said and this life never heard of', async () => {
  const { earlier, memory } = await openSaid(2);

  const { own, said, answer, read } = open(5);
  own.begin();
  const since = own.change('ring', (draft) => draft.put('b', 'new'));
  answer();
  await since;
  const news = said[0];
  assert.ok(news);
  assert.equal(
    earlier.shelf.take({ ...updateSince(news, undefined) }),
    'forgotten',
    'who remembers does not give up the memory',
  );
  assert.equal(own.remember(updateSince(memory, undefined)), 'taken');
  answer();
  const merged = read();
  assert.ok(merged);
  assert.deepEqual([merged.version, merged.entries.size], [[5, 2], 2]);
  assert.equal(earlier.shelf.take(updateSince(merged, undefined)), 'taken');
});

test('nobody makes a host take back what it did not say', async () => {
  const { memory } = await openSaid(7);
  const { own, waiting } = open(3);
  const update = updateSince(memory, undefined);
  assert.equal(own.remember({ ...update, put: [['a', 'forged']] }), 'altered');
  assert.equal(own.remember({ ...update, head: { ...update.head, version: [9, 1] } }), 'forged');
  assert.equal(waiting.length, 0);
});
