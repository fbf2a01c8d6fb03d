import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './figures.ts';
import { differences } from './properties.ts';
import type { SimulatedHost, World } from './world.ts';

/**
 * How a gossiping control plane of others came to tell hosts different things for ever: five causes, each as a cluster
 * of ours lives through it.
 */

const network = 'network:1' as const;

function say(host: SimulatedHost, key: string, value: string): void {
  void host.sheets.change(network, (draft) => draft.put(key, value));
}

function entry(at: SimulatedHost, of: SimulatedHost, key: string): unknown {
  return at.sheets.read(of.id, network)?.entries.get(key);
}

function stateOf(at: SimulatedHost, of: SimulatedHost): string | undefined {
  return at.mesh?.members.list().find(({ id }) => id === of.id)?.state;
}

function cutOff(world: World, one: SimulatedHost): void {
  for (const other of world.hosts) {
    world.network.block(one.id, other.id);
    world.network.block(other.id, one.id);
  }
}

function oneView(world: World, within = 5_000): void {
  assert.notEqual(
    world.until(() => differences(world).length === 0, within),
    undefined,
    differences(world).join('\n'),
  );
}

test('what a host said as it left does not outlive its return, for who missed the return either', () => {
  const world = together(11, 5);
  const [, leaver, absent] = world.hosts;
  assert.ok(leaver && absent);
  for (const host of world.hosts) host.sheets.follow(['1']);
  say(leaver, 'a', 'before');
  world.run(500);
  void leaver.sheets.change(network, (draft) => draft.delete('a'));
  leaver.leave();
  world.run(1_000);
  assert.deepEqual(
    world.running.map((host) => [stateOf(host, leaver), entry(host, leaver, 'a')]),
    world.running.map(() => ['left', undefined]),
  );
  cutOff(world, absent);
  leaver.start();
  leaver.sheets.follow(['1']);
  say(leaver, 'a', 'after');
  world.run(10_000);
  world.network.unblockAll();
  oneView(world);
  for (const host of world.running)
    assert.deepEqual([stateOf(host, leaver), entry(host, leaver, 'a')], ['alive', 'after']);
});

test('passing on what others say does not hold up what a host says itself', () => {
  const world = together(12, 25);
  for (const host of world.hosts) host.sheets.follow(['1']);
  const quiet = world.hosts[7];
  assert.ok(quiet);
  const noise = (n: number) => {
    for (const host of world.hosts) if (host !== quiet) say(host, `k${n % 10}`, `noise ${n}`);
    if (n < 40) world.time.at(world.time.now + 20, () => noise(n + 1));
  };
  noise(0);
  world.run(300);
  say(quiet, 'mine', 'heard');
  const heard = () => world.running.every((host) => entry(host, quiet, 'mine') === 'heard');
  assert.notEqual(world.until(heard, 300, 5), undefined, 'not heard by all within 300 ms of noise');
});

test('who missed that a host was admitted, joined and went onto a network hears all of it, and what it said before', () => {
  const world = together(13, 5);
  for (const host of world.hosts) host.sheets.follow(['1']);
  world.run(1_000);
  const absent = world.hosts[3];
  assert.ok(absent);
  cutOff(world, absent);
  const late = world.add(world.founder);
  world.founder.admit(late);
  late.start();
  world.run(2_000);
  late.sheets.follow(['1']);
  say(late, 'endpoint', 'there');
  // Long enough for every message about it to be forgotten everywhere.
  world.run(120_000);
  assert.equal(absent.sheets.read(late.id, 'host'), undefined);
  world.network.unblockAll();
  oneView(world);
  assert.equal(entry(absent, late, 'endpoint'), 'there');
  assert.equal(stateOf(absent, late), 'alive');
});

test('what a lost host said stays, for who comes later too, and counts when the host is back', () => {
  const world = together(14, 5);
  for (const host of world.hosts) host.sheets.follow(['1']);
  const lost = world.hosts[2];
  assert.ok(lost);
  say(lost, 'endpoint', 'kept');
  world.run(1_000);
  lost.crash('machine');
  world.run(600_000);
  const late = world.add(world.founder);
  world.founder.admit(late);
  world.run(1_000);
  late.onStart(({ sheets }) => sheets.follow(['1']));
  late.start();
  oneView(world);
  for (const host of world.running)
    assert.deepEqual([stateOf(host, lost), entry(host, lost, 'endpoint')], ['lost', 'kept']);
  lost.start();
  lost.sheets.follow(['1']);
  oneView(world);
  for (const host of world.running)
    assert.deepEqual([stateOf(host, lost), entry(host, lost, 'endpoint')], ['alive', 'kept']);
});

test('a comparison whose answers never come does not stand in the way of the next, with many peers at a time', () => {
  const world = together(15, 25);
  for (const host of world.hosts) {
    host.sheets.follow(['1']);
    say(host, 'endpoint', host.id);
  }
  world.run(5_000);
  const late = world.add(world.founder);
  world.founder.admit(late);
  world.run(1_000);
  late.onStart(({ sheets }) => sheets.follow(['1']));
  late.start();
  // What peers answer is lost with the links, again and again, after they were asked.
  for (let n = 0; n < 10; n += 1) {
    world.run(40);
    for (const other of world.hosts) world.network.block(other.id, late.id);
    world.run(6_000);
    world.network.unblockAll();
  }
  oneView(world);
  for (const host of world.hosts) if (host !== late) assert.equal(entry(late, host, 'endpoint'), host.id);
  assert.ok((late.mesh?.members.compared().size ?? 0) > 0, 'it has compared with somebody');
});
