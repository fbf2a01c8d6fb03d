import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Refusal } from '../../lib/errors.ts';
import { Exhausted, type Pool, Taken } from '../allocator.ts';
import { numbersOf } from './owned.ts';
import { parseSaid, type Ring, ringOf } from './ring.ts';
import type { Sheet } from './sheets.ts';
import { Spans } from './spans.ts';
import { Dead, hex, hostId, testNetworks, World } from './world.testing.ts';

const network = testNetworks[0] ?? '';
const pool: Pool = { kind: 'addresses', network, range: '10.0.0.0/24', reserved: ['10.0.0.1'] };
const vnis: Pool = { kind: 'vnis', first: 256, last: 2 ** 24 - 1 };
const subnets: Pool = { kind: 'subnets', ranges: [{ range: '10.0.0.0/16', size: 24 }], avoid: [] };
const pools = [pool, vnis, subnets];
const owner = (host: string, id: string) => ({ host, id: hex(id), name: id });
const names = Array.from({ length: 9 }, (_, i) => `${i}${hostId(`host ${i}`).slice(1)}`);

async function worldOf(count: number, seed = 1, lag?: readonly [number, number]) {
  const world = new World(seed, lag);
  world.maker = () => names[0];
  const ids = names.slice(0, count);
  for (const id of ids) await world.add(id);
  const take = (host: string, id: string, wish?: string, from: Pool = pool) =>
    world.host(host).allocator.take(from, owner(host, id), wish);
  return { world, ids, take };
}

/** What the hosts that count say themselves, from their disks. */
function check(world: World, context: string): void {
  const removed = new Set(world.removals.map(({ host }) => host));
  const counting = [...world.hosts.keys()].filter((id) => !removed.has(id));
  const rings = new Set<string>();
  const said = counting.map((id) => {
    const sheet = world.fabric.host(id).sheets.read(id, 'ring');
    const own = new Map<string, { first: bigint; last: bigint }[]>();
    for (const [key, json] of sheet?.entries ?? []) {
      if (!key.startsWith('own/')) continue;
      const { ring, first, last, said } = parseSaid(key, json);
      rings.add(ring);
      if (said.owner === id) own.set(ring, [...(own.get(ring) ?? []), { first, last }]);
    }
    return { id, own };
  });
  for (const ring of rings) {
    const taken = new Spans<string>((a, b) => a === b);
    for (const { id, own } of said) {
      for (const { first, last } of own.get(ring) ?? []) {
        const [other] = taken.within(first, last);
        assert.equal(other, undefined, `${context}: ${ring} ${first}-${last} is ${id}'s and ${other?.value}'s`);
        taken.set(first, last, id);
      }
    }
  }
  checkHeld(world, counting, context);
}

function checkHeld(world: World, counting: readonly string[], context: string): void {
  const holders = new Map<string, { by: string; owner: unknown; first: bigint; last: bigint; ring: string }[]>();
  for (const id of counting) {
    for (const scope of ['ring', `network:${network}`] as const) {
      for (const [key, json] of world.fabric.host(id).sheets.read(id, scope)?.entries ?? []) {
        const [, name = '', item = ''] = /^held\/([^/]+)\/(.+)$/.exec(key) ?? [];
        if (name === '' || typeof json !== 'object' || json === null || 'released' in json) continue;
        const ring: Ring = name === 'vnis' ? ringOf(vnis) : name.startsWith('subnets') ? ringOf(subnets) : ringOf(pool);
        const [first, last] = numbersOf(ring, item);
        const list = holders.get(name) ?? [];
        const other = list.find((one) => one.first <= last && one.last >= first);
        assert.equal(other, undefined, `${context}: ${item} is held by ${id} and by ${other?.by}`);
        holders.set(name, [...list, { by: id, owner: json, first, last, ring: name }]);
      }
    }
  }
}

/** The ring is whole: after everything came, each number is one's that counts. */
function checkWhole(world: World, context: string): void {
  const removed = new Set(world.removals.map(({ host }) => host));
  for (const from of pools) {
    const ring = ringOf(from);
    const all = new Spans<string>((a, b) => a === b);
    for (const id of world.hosts.keys()) {
      if (removed.has(id)) continue;
      for (const [key, json] of world.fabric.host(id).sheets.read(id, 'ring')?.entries ?? []) {
        if (!key.startsWith(`own/${ring.id}/`)) continue;
        const { first, last, said } = parseSaid(key, json);
        if (said.owner === id) all.set(first, last, id);
      }
    }
    if (all.size > 0)
      assert.ok(
        all.covered(0n, ring.last, () => true),
        `${context}: ${ring.id} has a hole`,
      );
  }
}

/** A host loses what it wrote since; the others, who are all there, tell it. */
async function rollBack(world: World, { host, disk }: { host: string; disk: readonly Sheet[] }): Promise<void> {
  world.heal();
  for (const id of world.hosts.keys()) if (!world.host(id).up) await world.host(id).restart();
  world.host(host).crash();
  await world.run(100);
  await world.host(host).restart(disk);
}

function passOver(error: unknown): undefined {
  if (error instanceof Dead || error instanceof Refusal || error instanceof Taken || error instanceof Exhausted)
    return undefined;
  throw error;
}

describe('the ring', () => {
  test('several hosts take addresses in order, side by side, each with a reserve of its own for when it is cut off', async () => {
    const { world, ids, take } = await worldOf(3);
    const got: string[] = [];
    for (let i = 0; i < 9; i++) got.push(await world.until(take(ids[i % 3] ?? '', `e${i}`)));
    // Not quite without gaps: who takes more than once is given some ahead.
    assert.equal(new Set(got).size, 9);
    assert.ok(
      got.every((item) => Number(item.split('.')[3]) <= 13),
      got.join(),
    );
    const [a = '', b = '', c = ''] = ids;
    world.split([a], [b], [c]);
    const alone = await world.until(Promise.all(Array.from({ length: 20 }, (_, i) => take(b, `alone ${i}`))));
    assert.equal(new Set([...got, ...alone]).size, 29);
    check(world, 'cut off');
  });

  test('who has nothing left takes one number out of the reserve of another, not all of them', async () => {
    const { world, ids, take } = await worldOf(3);
    const [a = '', b = '', c = ''] = ids;
    await world.until(Promise.all([take(a, 'a'), take(b, 'b'), take(c, 'c')]));
    world.host(a).crash();
    const saidBy = (host: string) => world.fabric.host(host).sheets.read(host, 'ring')?.version[1] ?? 0;
    const said = saidBy(c);
    for (let n = 0; saidBy(c) === said; n += 1) await world.until(take(b, `b ${n}`));
    assert.ok(saidBy(c) - said <= 2, `${saidBy(c) - said} changes to give one number`);
  });

  test('a wish is asked of who owns the address, and names who holds it', async () => {
    const { world, ids, take } = await worldOf(2);
    const [a = '', b = ''] = ids;
    assert.equal(await world.until(take(b, 'wish', '10.0.0.77')), '10.0.0.77');
    await assert.rejects(world.until(take(a, 'other', '10.0.0.77')), {
      name: 'Taken',
      by: { item: '10.0.0.77', owner: owner(b, 'wish') },
    });
    world.split([a], [b]);
    await assert.rejects(world.until(take(b, 'far', '10.0.0.78')), {
      kind: 'unavailable',
      message: /cannot be reached/,
    });
    check(world, 'wishes');
  });

  test('IPAM failure 1, seeds that disagree: a network has one maker, whoever asks first and whom it can reach', async () => {
    const { world, ids, take } = await worldOf(5);
    world.split(ids.slice(0, 2), ids.slice(2));
    const asked = ids.map((id) => take(id, `first ${id}`));
    const results = await world.until(Promise.allSettled(asked));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'rejected', 'rejected'],
    );
    for (const result of results) {
      if (result.status === 'rejected')
        assert.match(result.reason.message, new RegExp(`host ${names[0]?.slice(0, 12)}, which cannot be reached`));
    }
    world.heal();
    await world.settle();
    const late = await world.until(Promise.all(ids.slice(2).map((id) => take(id, `late ${id}`))));
    const early = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    assert.equal(new Set([...early, ...late]).size, 5);
    check(world, 'seeds');
  });

  test('IPAM failure 2, all ranges owned by unreachable hosts: the others go on with their reserve, then say whose it is, and take it over once', async () => {
    const { world, ids, take } = await worldOf(4);
    const [a = '', b = '', c = '', d = ''] = ids;
    await world.until(Promise.all([take(a, 'a'), take(b, 'b'), take(c, 'c'), take(d, 'd')]));
    world.host(a).crash();
    const more = await world.until(Promise.all(Array.from({ length: 32 }, (_, i) => take(b, `b ${i}`))));
    assert.equal(new Set(more).size, 32);
    let refused: unknown;
    for (let i = 0; refused === undefined; i++) {
      await world.until(take(c, `c ${i}`)).catch((error: unknown) => {
        refused = error;
      });
    }
    assert.match(
      refused instanceof Refusal ? refused.message : '',
      /belongs to host 0[0-9a-f]{11}, which cannot be reached; try again when it is back, or skein host rm it/,
    );
    for (const [i, by] of [b, c].entries()) {
      const removal = { host: a, by, heir: by, at: 5 - i, force: false };
      world.removals.push(removal);
      world.host(by).learn(removal);
    }
    await world.run(2_000);
    await world.settle();
    const takers = ids.filter((id) => world.fabric.host(id).sheets.read(id, 'ring')?.entries.has(`taken/${a}`));
    assert.equal(takers.length, 1);
    await world.until(take(d, 'after'));
    check(world, 'taken over');
    checkWhole(world, 'taken over');
  });

  test('IPAM failure 3, ranges that two own: nobody is cut off, the free ones find one owner, and who holds the same address is told', async () => {
    const { world, ids, take } = await worldOf(3);
    const [a = '', b = '', c = ''] = ids;
    await world.until(take(a, 'early'));
    await world.settle();
    const disk = world.host(a).disk();
    assert.equal(await world.until(take(b, 'held', '10.0.0.9')), '10.0.0.9');
    await world.until(take(b, 'of its own', '10.0.0.20'));
    await world.settle();
    // Its disk is of yesterday, and nobody is there who could tell it.
    world.host(a).crash();
    world.split([a], [b, c]);
    await world.host(a).restart(disk);
    await assert.rejects(world.until(take(a, 'again', '10.0.0.9')), {
      kind: 'unavailable',
      message:
        /has just started, and no other could be asked what it had given out before; it goes on without after 60 s/,
    });
    await world.run(60_000);
    assert.equal(await world.until(take(a, 'again', '10.0.0.9')), '10.0.0.9');
    world.heal();
    await world.run(2_000);
    await world.settle();
    await world.settle();
    for (const id of [a, b, c]) {
      const told = world.host(id).allocator.conflicts();
      assert.deepEqual(
        told.map(({ item, hosts }) => ({ item, hosts })),
        [{ item: '10.0.0.9', hosts: [a, b].toSorted() }],
      );
    }
    const held = await world.host(c).allocator.held(pool);
    assert.ok(held.some(({ item, owner: { name } }) => item === '10.0.0.20' && name === 'of its own'));
    await world.until(world.host(a).allocator.give(pool, owner(a, 'again'), '10.0.0.9', { unused: true }));
    await world.run(2_000);
    await world.settle();
    await world.settle();
    check(world, 'conceded');
    await world.until(Promise.all([take(a, 'on'), take(b, 'on too'), take(c, 'and on')]));
    check(world, 'on');
  });

  test('a host that dies anywhere in giving numbers away loses none and gives none twice', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { world, ids, take } = await worldOf(3, seed);
      const [a = '', b = '', c = ''] = ids;
      await world.until(take(a, 'first'));
      const taken = Promise.allSettled([take(b, 'one'), take(b, 'two'), take(c, 'three')]);
      await world.run(seed * 1.7);
      world.host(a).crash();
      await world.run(300);
      await world.host(a).restart();
      await world.until(taken);
      await world.until(Promise.allSettled([take(a, 'four'), take(b, 'five'), take(c, 'six')]));
      await world.settle();
      check(world, `seed ${seed}`);
      checkWhole(world, `seed ${seed}`);
    }
  });

  test('the numbers of a removed host wait for who may have been given some by it, unless an admin says otherwise', async () => {
    for (const force of [false, true]) {
      const { world, ids, take } = await worldOf(5);
      const [a = '', b = '', c = '', d = '', e = ''] = ids;
      await world.until(take(a, 'a'));
      await world.settle();
      world.split([a, e], [b, c, d]);
      assert.equal(await world.until(take(e, 'given meanwhile')), '10.0.0.3');
      const removal = { host: a, by: b, heir: b, at: 1, force };
      world.removals.push(removal);
      world.host(b).learn(removal);
      await world.run(2_000);
      const isTaken = () => world.fabric.host(b).sheets.read(b, 'ring')?.entries.has(`taken/${a}`) === true;
      assert.equal(isTaken(), force);
      if (force) continue;
      world.heal();
      await world.run(2_000);
      await world.settle();
      assert.ok(isTaken());
      await world.until(Promise.all([take(b, 'b'), take(c, 'c'), take(d, 'd')]));
      const held = await world.host(c).allocator.held(pool);
      assert.ok(held.some(({ item, owner: { name } }) => item === '10.0.0.3' && name === 'given meanwhile'));
      check(world, 'waited');
      checkWhole(world, 'waited');
    }
  });

  test('two admins remove one host on two sides of a partition: its numbers come to one of them', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { world, ids, take } = await worldOf(5, seed);
      const [a = '', b = '', c = '', d = '', e = ''] = ids;
      await world.until(Promise.all(ids.map((id) => take(id, id))));
      await world.settle();
      world.host(a).crash();
      world.split([b, c], [d, e]);
      for (const [by, at] of [
        [b, 7],
        [e, 7 + (seed % 2) * 3 - 1],
      ] as const) {
        const removal = { host: a, by, heir: by, at, force: false };
        world.removals.push(removal);
        world.host(by).learn(removal);
      }
      await world.run(1_000);
      world.heal();
      for (let round = 0; round < 3; round++) await world.settle();
      const takers = ids.filter((id) => world.fabric.host(id).sheets.read(id, 'ring')?.entries.has(`taken/${a}`));
      assert.equal(takers.length, 1, `seed ${seed}: ${takers.length} took it over`);
      check(world, `seed ${seed}`);
      checkWhole(world, `seed ${seed}`);
    }
  });

  test('what a removed host gives to one that has acknowledged its removal is not taken, and comes to the heir', async () => {
    const { world, ids, take } = await worldOf(5);
    const [a = '', b = '', c = '', d = '', e = ''] = ids;
    await world.until(take(a, 'a'));
    await world.settle();
    world.split([a, e], [b, c, d]);
    const removal = { host: a, by: b, heir: b, at: 1, force: false };
    world.removals.push(removal);
    world.host(b).learn(removal);
    await world.run(1_000);
    // The removed host gives something to c, and e, who has not heard of the removal, passes it on.
    const given = { last: '167772159', owner: c, version: [0, 2] };
    await world.fabric.host(a).sheets.change('ring', (draft) => draft.put(`own/${ringOf(pool).id}/167772152`, given));
    world.fabric.deliver(a, e);
    world.fabric.deliver(e, c);
    world.host(c).heard();
    await world.run(1_000);
    assert.equal(
      world.fabric
        .host(c)
        .sheets.read(c, 'ring')
        ?.entries.get(`own/${ringOf(pool).id}/167772152`),
      undefined,
    );
    world.heal();
    for (let round = 0; round < 3; round++) await world.settle();
    check(world, 'given in vain');
    checkWhole(world, 'given in vain');
  });

  test('of what a host said twice of a number, before and after its disk was rolled back, the gift counts', async () => {
    const { world, ids, take } = await worldOf(2);
    const [a = '', b = ''] = ids;
    await world.until(take(a, 'a'));
    const ring = ringOf(pool).id;
    await world.fabric.host(a).sheets.change('ring', (draft) => {
      draft.put(`own/${ring}/167772169`, { last: '167772169', owner: b, version: [0, 2] });
    });
    // It does not take it, though the entry for all numbers is there as well.
    world.split([a], [b]);
    await assert.rejects(world.until(take(a, 'again', '10.0.0.9')), { kind: 'unavailable' });
    world.heal();
    await world.settle();
    assert.equal(await world.until(take(b, 'b', '10.0.0.9')), '10.0.0.9');
    await world.until(take(b, 'more'));
    await world.settle();
    check(world, 'merged');
  });

  test('a host that leaves gives all of its numbers to another, and none is lost', async () => {
    const { world, ids, take } = await worldOf(3);
    const [a = '', b = '', c = ''] = ids;
    await world.until(Promise.all([take(a, 'a'), take(b, 'b'), take(c, 'c', undefined, vnis)]));
    await world.settle();
    assert.equal(await world.until(world.host(a).allocator.leave()), b);
    await assert.rejects(world.until(take(a, 'too late')), {
      kind: 'unavailable',
      message: /given all of its own away/,
    });
    await world.settle();
    world.host(a).crash();
    const own = [...(world.fabric.host(a).sheets.read(a, 'ring')?.entries.values() ?? [])];
    assert.ok(own.length > 0 && !JSON.stringify(own).includes(a));
    await world.until(Promise.all(Array.from({ length: 40 }, (_, i) => take(c, `c ${i}`))));
    checkWhole(world, 'left');
  });

  test('a host that was admitted apart from the others is waited for too', async () => {
    const { world, ids, take } = await worldOf(5);
    const [a = '', b = '', c = '', d = '', e = ''] = ids;
    await world.until(take(a, 'a'));
    await world.settle();
    world.split([a, e], [b, c, d]);
    const [, , , , , late = ''] = names;
    await world.admit(e, late);
    world.split([a, e, late], [b, c, d]);
    world.spread(e);
    await world.run(100);
    assert.equal(await world.until(take(late, 'given meanwhile')), '10.0.0.3');
    const removal = { host: a, by: b, heir: b, at: 1, force: false };
    world.removals.push(removal);
    world.host(b).learn(removal);
    await world.run(1_000);
    // Who admitted it is back; it is not.
    world.heal();
    world.split([late], [a, b, c, d, e]);
    for (let round = 0; round < 3; round++) await world.settle();
    const isTaken = () => world.fabric.host(b).sheets.read(b, 'ring')?.entries.has(`taken/${a}`) === true;
    assert.ok(world.host(b).standing.admitted().has(late));
    assert.equal(isTaken(), false);
    world.heal();
    for (let round = 0; round < 3; round++) await world.settle();
    assert.equal(isTaken(), true);
    check(world, 'admitted apart');
    checkWhole(world, 'admitted apart');
  });

  test('the lesser side of a partition that removes all others takes nothing over', async () => {
    const { world, ids, take } = await worldOf(5);
    const [a = '', b = ''] = ids;
    await world.until(Promise.all(ids.map((id) => take(id, id))));
    await world.settle();
    world.split([a, b], ids.slice(2));
    for (const [i, host] of ids.slice(2).entries())
      world.removals.push({ host, by: b, heir: b, at: 10 + i, force: false });
    for (const removal of world.removals) world.host(b).learn(removal);
    await world.run(3_000);
    const own = [...(world.fabric.host(b).sheets.read(b, 'ring')?.entries.keys() ?? [])];
    assert.ok(!own.some((key) => key.startsWith('taken/')), own.join());
    check(world, 'lesser side');
  });

  test('hosts take, give, wish, die, are cut off and come back, and no number is ever two hosts’ nor lost', async () => {
    for (let seed = first; seed <= seeds; seed++) await storm(seed, {});
  });

  test('disks are rolled back, and what was given since is not given again', async () => {
    for (let seed = first; seed <= seeds; seed++) await storm(seed, { rollBack: true });
  });

  test('hosts are removed on both sides of a partition, and each one’s numbers come to one heir', async () => {
    for (let seed = first; seed <= seeds; seed++) await storm(seed, { remove: true });
  });
});

const first = Number(process.env['SEED'] ?? 1);
const seeds = Number(process.env['SEEDS'] ?? 12);

async function storm(seed: number, may: { readonly rollBack?: true; readonly remove?: true }): Promise<void> {
  const { world, ids, take } = await worldOf((may.remove ? 5 : 3) + (seed % 3), seed);
  let disk: { host: string; disk: readonly Sheet[] } | undefined;
  world.loss = seed % 2 ? 0.2 : 0;
  const mine = new Map<string, { from: Pool; host: string; id: string; item: string }>();
  let count = 0;
  for (let step = 0; step < 60; step++) {
    const host = world.pick(ids);
    const dice = world.chance();
    const { up } = world.host(host);
    if (dice < 0.5 && up) {
      const from = world.chance() < 0.7 ? pool : world.pick([vnis, subnets]);
      const id = `${seed} ${count++}`;
      const wish = from === pool && world.chance() < 0.2 ? `10.0.0.${2 + Math.floor(world.chance() * 250)}` : undefined;
      take(host, id, wish, from).then(
        (item) => mine.set(id, { from, host, id, item }),
        (error) => passOver(error),
      );
    } else if (dice < 0.65 && up) {
      const [one] = [...mine.values()].filter((held) => held.host === host);
      if (one) {
        mine.delete(one.id);
        world.host(host).allocator.give(one.from, owner(host, one.id), one.item).catch(passOver);
      }
    } else if (dice < 0.72) {
      if (up) world.host(host).crash();
      else await world.host(host).restart();
    } else if (dice < 0.8) {
      const cut = 1 + Math.floor(world.chance() * (ids.length - 1));
      world.split(ids.slice(0, cut), ids.slice(cut));
    } else if (dice < 0.85) {
      world.cut(host, world.pick(ids));
    } else if (dice < 0.93) world.heal();
    else if (may.rollBack && up && disk === undefined) disk = { host, disk: world.host(host).disk() };
    else if (may.rollBack && disk !== undefined) {
      await rollBack(world, disk);
      for (const [id, one] of mine) if (one.host === disk.host) mine.delete(id);
      disk = undefined;
    } else if (may.remove && up) {
      const victim = world.pick(ids.filter((id) => id !== host));
      const removal = { host: victim, by: host, heir: host, at: step, force: false };
      const victims = new Set([...world.removals.map((one) => one.host), victim]);
      const isNew = !world.removals.some((one) => one.by === host && one.host === victim);
      if (isNew && victims.size < ids.length / 2) {
        world.removals.push(removal);
        world.host(host).learn(removal);
      }
    }
    await world.run(world.chance() * 60);
    check(world, `seed ${seed} step ${step}`);
  }
  world.heal();
  for (const id of ids) if (!world.host(id).up) await world.host(id).restart();
  await world.run(5_000);
  await world.settle();
  check(world, `seed ${seed} at the end`);
  checkWhole(world, `seed ${seed}`);
  const removed = new Set(world.removals.map((one) => one.host));
  for (const { from, host, id, item } of mine.values()) {
    if (removed.has(host)) continue;
    const held = await world.host(host).allocator.held(from);
    assert.ok(
      held.some((one) => one.item === item && one.owner.id === owner(host, id).id),
      `seed ${seed}: ${id} lost ${item}`,
    );
  }
}
