import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Refusal } from '../../lib/errors.ts';
import { Claimed, type Holder, type Space } from '../claims.ts';
import { networkRecord } from '../records.contract.ts';
import { Dead, hex, hostId, testNetworks, World } from './world.testing.ts';

const names = Array.from({ length: 7 }, (_, i) => `${i}${hostId(`host ${i}`).slice(1)}`);
const space: Space = { kind: 'endpoints', network: testNetworks[0] ?? '' };
const seeds = Number(process.env['SEEDS'] ?? 15);

async function worldOf(count: number, seed = 1) {
  const world = new World(seed);
  const ids = names.slice(0, count);
  for (const id of ids) await world.add(id);
  return { world, ids, state: (id: string) => world.host(id).state };
}

function passOver(error: unknown): undefined {
  if (error instanceof Dead || error instanceof Refusal || error instanceof Claimed) return undefined;
  throw error;
}

/** Faults of all kinds, while `act` does something on a host that is up. */
async function storm(world: World, ids: readonly string[], act: (host: string, step: number) => void): Promise<void> {
  for (let step = 0; step < 50; step++) {
    const [host, dice] = [world.pick(ids), world.chance()];
    const { up } = world.host(host);
    if (dice < 0.6) {
      if (up) act(host, step);
    } else if (dice < 0.7) {
      if (up) world.host(host).crash();
      else await world.host(host).restart();
    } else if (dice < 0.8) {
      const cut = 1 + Math.floor(world.chance() * (ids.length - 1));
      world.split(ids.slice(0, cut), ids.slice(cut));
    } else if (dice < 0.85) world.cut(host, world.pick(ids));
    else world.heal();
    await world.run(world.chance() * 60);
  }
  world.heal();
  for (const id of ids) if (!world.host(id).up) await world.host(id).restart();
  await world.run(5_000);
  for (let round = 0; round < 4; round++) await world.settle();
}

describe('the catalog of a mesh', () => {
  test('comes to one view on all hosts, with one entry a record and no trace of what was removed', async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { world, ids, state } = await worldOf(3 + (seed % 4), seed);
      world.loss = seed % 2 ? 0.2 : 0;
      const records = Array.from({ length: 4 }, (_, i) => networkRecord(`n${seed}-${i}`));
      await storm(world, ids, (host, step) => {
        const record = world.pick(records);
        const dice = world.chance();
        const { catalog } = state(host);
        if (dice < 0.4) catalog.add(record).catch(passOver);
        else if (dice < 0.8)
          catalog.update(record.id, (now) => ({ ...now, labels: { by: host, step: `${step}` } })).catch(passOver);
        else catalog.update(record.id, () => undefined).catch(passOver);
      });
      const views = await Promise.all(
        ids.map(async (id) => (await state(id).catalog.list()).toSorted((a, b) => (a.id < b.id ? -1 : 1))),
      );
      for (const view of views) assert.deepEqual(view, views[0], `seed ${seed}`);
      const there = new Set((views[0] ?? []).map(({ id }) => id));
      const keys = ids.flatMap((id) => [...(world.fabric.host(id).sheets.read(id, 'catalog')?.entries.keys() ?? [])]);
      assert.deepEqual(keys.toSorted(), [...there].map((id) => `network/${id}`).toSorted(), `seed ${seed}`);
    }
  });

  test('who updates a record at a time as others it can reach loses nothing of theirs', async () => {
    const { world, ids, state } = await worldOf(4);
    const record = networkRecord('busy');
    await world.until(state(ids[0] ?? '').catalog.add(record));
    await world.settle();
    const updates = Array.from({ length: 24 }, (_, i) =>
      state(ids[i % 4] ?? '').catalog.update(record.id, (now) => ({
        ...now,
        labels: { ...now.labels, [`l${i}`]: 'x' },
      })),
    );
    await world.until(Promise.all(updates));
    await world.settle();
    for (const id of ids) assert.equal(Object.keys((await state(id).catalog.list())[0]?.labels ?? {}).length, 24);
  });

  test('of two updates made apart one counts everywhere', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { world, ids, state } = await worldOf(4, seed);
      const [a = '', b = '', c = '', d = ''] = ids;
      const record = networkRecord('apart');
      await world.until(state(a).catalog.add(record));
      await world.settle();
      world.split([a, b], [c, d]);
      for (const id of [c, b])
        await world.until(state(id).catalog.update(record.id, (now) => ({ ...now, labels: { by: id } })));
      world.heal();
      for (const id of world.chance() < 0.5 ? [b, c] : [c, b]) world.spread(id);
      for (let round = 0; round < 3; round++) await world.settle();
      for (const id of ids) assert.deepEqual((await state(id).catalog.list())[0]?.labels, { by: c });
    }
  });

  test('what was removed does not come back with a host that was away, however long', async () => {
    const { world, ids, state } = await worldOf(4);
    const [a = '', b = '', c = ''] = ids;
    const record = networkRecord('removed');
    await world.until(state(a).catalog.add(record));
    await world.settle();
    await world.until(state(c).catalog.update(record.id, (now) => ({ ...now, labels: { by: 'c' } })));
    await world.settle();
    world.host(c).crash();
    await world.until(state(b).catalog.update(record.id, () => undefined));
    for (let round = 0; round < 3; round++) await world.settle();
    await world.host(c).restart();
    for (let round = 0; round < 3; round++) await world.settle();
    for (const id of ids) assert.deepEqual(await state(id).catalog.list(), []);
    const left = ids.flatMap((id) => [...(world.fabric.host(id).sheets.read(id, 'catalog')?.entries.keys() ?? [])]);
    assert.deepEqual(left, []);
  });

  test('a network that one side removed is there again when the other had made an endpoint on it', async () => {
    const { world, ids, state } = await worldOf(4);
    const [a = '', b = '', c = ''] = ids;
    const record = networkRecord('used');
    await world.until(state(a).catalog.add(record));
    await world.settle();
    world.split([a, b], ids.slice(2));
    world.host(c).inUse.add(record.id);
    await world.until(
      state(b).catalog.update(record.id, (now) => ({ ...now, removing: { host: b, since: now.created, mark: 'm' } })),
    );
    await world.until(state(b).catalog.update(record.id, () => undefined));
    assert.deepEqual(await state(b).catalog.list(), []);
    world.heal();
    for (let round = 0; round < 3; round++) await world.settle();
    for (const id of ids) assert.deepEqual(await state(id).catalog.list(), [record]);
  });

  test('what a removed host had written is carried on by its heir', async () => {
    const { world, ids, state } = await worldOf(4);
    const [a = '', b = ''] = ids;
    const record = networkRecord('left-behind');
    await world.until(state(a).catalog.add(record));
    await world.until(state(a).claims.claim({ kind: 'networks' }, 'left-behind', { id: record.id }));
    await world.settle();
    assert.equal(state(b).spent(a), false);
    const removal = { host: a, by: b, heir: b, at: 1, force: false };
    world.removals.push(removal);
    world.host(b).learn(removal);
    assert.equal(state(b).spent(a), false, 'its heir needs what it had said');
    await world.run(1_000);
    for (let round = 0; round < 3; round++) await world.settle();
    assert.deepEqual(
      ids.map((id) => state(id).spent(a)),
      ids.map(() => true),
    );
    const keys = [...(world.fabric.host(b).sheets.read(b, 'catalog')?.entries.keys() ?? [])];
    assert.deepEqual(keys.toSorted(), ['name/left-behind', `network/${record.id}`]);
  });
});

describe('names of a mesh', () => {
  test('of many hosts that claim a name at once, and can reach each other, one gets it', async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { world, ids, state } = await worldOf(5, seed);
      const asked: Promise<void>[] = ids.map((id) => state(id).claims.claim(space, 'rush', { id: hex(id), host: id }));
      const results = await world.until(Promise.allSettled(asked));
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1, `seed ${seed}`);
      for (const result of results) if (result.status === 'rejected') assert.ok(result.reason instanceof Claimed);
    }
  });

  test('given on both sides of a partition, a name stays with the earlier one everywhere, and the other is told', async () => {
    const { world, ids, state } = await worldOf(4);
    const [a = '', b = '', c = '', d = ''] = ids;
    world.split([a, b], [c, d]);
    for (const other of ['x', 'y']) await world.until(state(a).claims.claim(space, other, { id: hex(other), host: a }));
    await world.settle();
    const [late, early] = [
      { id: hex('late'), host: b },
      { id: hex('early'), host: c },
    ];
    await world.until(state(b).claims.claim(space, 'twice', late));
    await world.until(state(c).claims.claim(space, 'twice', early));
    world.heal();
    for (let round = 0; round < 2; round++) await world.settle();
    for (const id of ids) {
      assert.deepEqual(await world.until(state(id).claims.holder(space, 'twice')), early);
      assert.deepEqual(state(id).claims.outdone(), id === b ? [{ name: 'twice', holder: late, by: early }] : []);
    }
    await world.until(state(b).claims.release(space, 'twice', late));
    await world.settle();
    assert.deepEqual(state(b).claims.outdone(), []);
    assert.deepEqual(await world.until(state(d).claims.holder(space, 'twice')), early);
  });

  test('a host that comes back is told that its name was taken over, and gets it back when it is free', async () => {
    const { world, ids, state } = await worldOf(3);
    const [a = '', b = '', c = ''] = ids;
    const [theirs, mine] = [
      { id: hex('theirs'), host: c },
      { id: hex('mine'), host: a },
    ];
    await world.until(state(c).claims.claim(space, 'web', theirs));
    await world.settle();
    world.host(c).crash();
    await world.until(state(a).claims.claim(space, 'web', mine));
    await world.host(c).restart();
    for (let round = 0; round < 2; round++) await world.settle();
    assert.deepEqual(await world.until(state(b).claims.holder(space, 'web')), mine);
    assert.deepEqual(state(c).claims.outdone(), [{ name: 'web', holder: theirs, by: mine }]);
    await world.until(state(a).claims.release(space, 'web', mine));
    await world.settle();
    assert.deepEqual(await world.until(state(b).claims.holder(space, 'web')), theirs);
    assert.deepEqual(state(c).claims.outdone(), []);
  });

  test('come to one view on all hosts, whatever happens', async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { world, ids, state } = await worldOf(3 + (seed % 4), seed);
      world.loss = seed % 2 ? 0.2 : 0;
      const wanted = ['web', 'db', 'cache'];
      await storm(world, ids, (host) => {
        const name = world.pick(wanted);
        const holder = { id: hex(`${host} ${Math.floor(world.chance() * 2)}`), host };
        const { claims } = state(host);
        (world.chance() < 0.7 ? claims.claim(space, name, holder) : claims.release(space, name, holder)).catch(
          passOver,
        );
      });
      for (const name of wanted) {
        const asked: Promise<Holder | undefined>[] = ids.map((id) => state(id).claims.holder(space, name));
        const holders = await world.until(Promise.all(asked));
        for (const holder of holders) assert.deepEqual(holder, holders[0], `seed ${seed}: ${name}`);
      }
      for (const id of ids) {
        for (const { name, holder } of state(id).claims.outdone())
          await world.until(state(id).claims.release(space, name, holder));
      }
      for (let round = 0; round < 2; round++) await world.settle();
      const notes = ids.flatMap((id) => [
        ...(world.fabric
          .host(id)
          .sheets.read(id, `network:${testNetworks[0] ?? ''}`)
          ?.entries.keys() ?? []),
      ]);
      assert.deepEqual(
        notes.filter((key) => key.startsWith('unnamed/')),
        [],
        `seed ${seed}`,
      );
    }
  });
});
