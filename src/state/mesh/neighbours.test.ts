import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { fullMesh, Neighbours } from './neighbours.ts';
import { Routes } from './routes.ts';

const seal = { hash: (text: string) => createHash('sha256').update(text).digest('hex') };
const named = (count: number) => Array.from({ length: count }, (_, n) => `host${n}`);

function graphOf(hosts: readonly string[]): Map<string, ReadonlySet<string>> {
  const neighbours = new Neighbours(seal);
  return new Map(hosts.map((host) => [host, neighbours.of(host, hosts)]));
}

test('few hosts all have links with each other', () => {
  for (const count of [1, 2, 5, fullMesh])
    for (const others of graphOf(named(count)).values()) assert.equal(others.size, count - 1);
});

for (const count of [fullMesh + 1, 25, 100, 1_000])
  test(`${count} hosts choose each other, at most eight, and all are a few steps away`, () => {
    const graph = graphOf(named(count));
    for (const [host, others] of graph) {
      assert.ok(others.size <= 8 && others.size >= 2, `${host} has ${others.size}`);
      for (const other of others) assert.ok(graph.get(other)?.has(host), `${other} did not choose ${host}`);
    }
    const steps = stepsFrom('host0', graph);
    assert.equal(steps.size, count);
    assert.ok(Math.max(...steps.values()) <= 6, `${Math.max(...steps.values())} steps`);
  });

test('one host more changes the neighbours of few', () => {
  const before = graphOf(named(100));
  const after = graphOf(named(101));
  const changed = [...before].filter(
    ([host, others]) => [...others].sort().join() !== [...(after.get(host) ?? [])].sort().join(),
  );
  assert.ok(changed.length <= 16, `${changed.length} hosts have other neighbours`);
});

test('a way leads over those who say they have links, and none over those who lost them', () => {
  const links = new Map([
    ['a', ['b']],
    ['b', ['a', 'c']],
    ['c', ['b', 'd']],
    ['d', ['c']],
  ]);
  const routes = new Routes('a', (host) => links.get(host) ?? []);
  assert.deepEqual([routes.next('b'), routes.next('d'), routes.next('nobody')], ['b', 'b', undefined]);
  links.set('b', ['a']);
  assert.equal(routes.next('d'), 'b', 'it does not look again before it is told');
  routes.changed();
  assert.equal(routes.next('d'), undefined);
});

function stepsFrom(start: string, graph: ReadonlyMap<string, ReadonlySet<string>>): Map<string, number> {
  const steps = new Map([[start, 0]]);
  for (const [host, at] of steps)
    for (const other of graph.get(host) ?? []) if (!steps.has(other)) steps.set(other, at + 1);
  return steps;
}
