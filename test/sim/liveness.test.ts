import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './figures.ts';
import type { SimulatedHost, World } from './world.ts';

function states(world: World, of: SimulatedHost): (string | undefined)[] {
  const others = world.running.filter((host) => host !== of);
  return others.map((host) => host.mesh?.members.list().find(({ id }) => id === of.id)?.state);
}

function apart(world: World, one: SimulatedHost, other: SimulatedHost): void {
  world.network.block(one.id, other.id);
  world.network.block(other.id, one.id);
}

/** Whoever any host judged lost from now on. */
function judged(world: World): Set<string> {
  const lost = new Set<string>();
  for (const host of world.hosts)
    host.mesh?.members.watch(() => {
      for (const { id, state } of host.mesh?.members.list() ?? [])
        if (state === 'lost') lost.add(`${host.name} ${world.nameOf(id)}`);
    });
  return lost;
}

test('hosts that reach each other through another only live for each other, and hear each other', () => {
  const world = together(31, 3);
  const [between, one, other] = world.hosts;
  assert.ok(between && one && other);
  one.sheets.follow(['1']);
  other.sheets.follow(['1']);
  world.run(1_000);
  const lost = judged(world);
  apart(world, one, other);
  world.run(120_000);
  assert.deepEqual([...lost], []);
  void one.sheets.change('network:1', (draft) => draft.put('endpoint', 'there'));
  const heard = () => other.sheets.read(one.id, 'network:1')?.entries.get('endpoint') === 'there';
  assert.notEqual(world.until(heard, 300, 5), undefined, 'not heard through the host between within 300 ms');
  assert.equal(between.sheets.read(one.id, 'network:1'), undefined, 'who is not on the network keeps nothing of it');
});

test('where datagrams do not come through at all, links say who lives and who does not', () => {
  const world = together(32, 5);
  world.network.weather = { ...world.network.weather, datagrams: false };
  const lost = judged(world);
  world.run(120_000);
  assert.deepEqual([...lost], []);
  const dead = world.hosts[3];
  assert.ok(dead);
  dead.crash('machine');
  assert.notEqual(
    world.until(() => states(world, dead).every((state) => state === 'lost'), 30_000),
    undefined,
  );
});

test('a host that stands still is lost, judges nobody when it goes on, and is back at once', () => {
  const world = together(33, 5);
  const slow = world.hosts[2];
  assert.ok(slow);
  const lost = judged(world);
  slow.pause(20_000);
  world.run(19_000);
  assert.deepEqual(new Set(states(world, slow)), new Set(['lost']));
  lost.clear();
  world.run(1_000);
  const back = world.until(() => states(world, slow).every((state) => state === 'alive'), 5_000);
  assert.notEqual(back, undefined);
  assert.deepEqual(
    [...lost].filter((line) => line.startsWith(slow.name)),
    [],
  );
});

test('a host that is cut off judges the others after 15 s, and is judged as fast as others', () => {
  const world = together(34, 5);
  const alone = world.hosts[4];
  assert.ok(alone);
  const lost = judged(world);
  for (const other of world.hosts) if (other !== alone) apart(world, alone, other);
  world.run(12_000);
  assert.deepEqual(new Set(states(world, alone)), new Set(['lost']));
  assert.deepEqual(
    [...lost].filter((line) => line.startsWith(alone.name)),
    [],
  );
  world.run(10_000);
  assert.equal([...lost].filter((line) => line.startsWith(alone.name)).length, 4);
});

test('of two hosts one is lost after 15 s', () => {
  const world = together(35, 2);
  const [, other] = world.hosts;
  assert.ok(other);
  other.crash('machine');
  world.run(13_000);
  assert.deepEqual(states(world, other), ['suspect']);
  world.run(5_000);
  assert.deepEqual(states(world, other), ['lost']);
});

test('one packet in three lost, and two hosts that hear one way only, make nobody lost for long', () => {
  const world = together(36, 7);
  world.network.weather = { ...world.network.weather, loss: 0.33 };
  const [one, other] = world.hosts;
  assert.ok(one && other);
  world.network.block(one.id, other.id);
  world.run(300_000);
  world.network.weather = { ...world.network.weather, loss: 0 };
  const allAlive = () => world.hosts.every((host) => states(world, host).every((state) => state === 'alive'));
  assert.notEqual(world.until(allAlive, 5_000), undefined);
});

test('a life that the host does not remember is outlived', () => {
  const world = together(37, 3);
  const host = world.hosts[1];
  assert.ok(host);
  const goBack = host.disk.save();
  for (let n = 0; n < 3; n += 1) {
    host.crash();
    world.run(5_000);
    host.start();
    world.run(2_000);
  }
  host.crash();
  world.run(5_000);
  goBack();
  host.start();
  assert.notEqual(
    world.until(() => states(world, host).every((state) => state === 'alive'), 5_000),
    undefined,
  );
});
