import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mostWaiting } from '../beginning.ts';
import { fakeHost } from '../trust/trust.testing.ts';
import { hex } from '../world.testing.ts';
import { cardOf } from './card.ts';
import { CheapToken, cheapToken, Hall, TestChannel, TestHost } from './room.testing.ts';

const seeds = Number(process.env['SEEDS'] ?? 20);

/** Hosts that connect to some that are there before them, so that all hang together. */
function hall(seed: number, count: number): Hall {
  const world = new Hall(seed);
  for (let i = 0; i < count; i++) {
    const others = world.hosts.filter(() => world.chance() < 0.3);
    world.add(i > 0 && others.length === 0 ? [world.pick()] : others);
  }
  return world;
}

function start(world: Hall, within: number): void {
  for (const host of world.hosts) world.after(world.chance() * within, () => host.start());
}

function assertOne(world: Hall, place: string): void {
  const clusters = [...world.clusters()].map((id) => id.slice(0, 8));
  assert.equal(clusters.length, 1, `${place}: ${clusters.join()}`);
  assert.notEqual(clusters[0], 'waiting', place);
  for (const { cluster } of world.left) assert.equal(cluster, world.left[0]?.cluster, place);
}

/** Whoever left for a cluster left for the same one, but for clusters that had both begun while nobody could tell. */
function assertSettled(world: Hall, place: string): void {
  assert.ok(!world.clusters().has('waiting'), `${place}: some wait still`);
  for (const { disk, seal, cluster } of world.hosts) {
    const { genesis } = disk.cluster ?? {};
    const founder = world.hosts.find((host) => host.seal.key === genesis?.founder);
    assert.equal(founder?.cluster, cluster, `${place}: the founder of the cluster of ${seal.key} is in another`);
  }
}

describe('a room of hosts that wait', () => {
  test('becomes one cluster with one founder, in whatever order they are connected within a second', async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const world = hall(seed, 2 + (seed % 6));
      world.full = seed % 3 === 0 ? 0.1 : 0;
      start(world, 700);
      await world.run(12_000);
      assertOne(world, `seed ${seed}`);
    }
  });

  test('hosts of which each reaches only the next become one', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const world = new Hall(seed);
      for (let i = 0; i < 6; i++) world.add(world.hosts.slice(-1));
      for (const [i, one] of world.hosts.entries())
        for (const [j, other] of world.hosts.entries()) if (Math.abs(i - j) > 1) world.block(one, other);
      start(world, 500);
      await world.run(10_000);
      assertOne(world, `seed ${seed}`);
    }
  });

  test('with a host killed at any step, that comes back or does not, the others become one, and it joins them', async () => {
    let deaths = 0;
    for (const wait of [300, 3_000, 60_000]) {
      for (const role of [0, 1, 2]) {
        for (let step = 0, steps = 1; step < steps; step++) {
          const world = new Hall(step + 1);
          for (let i = 0; i < 3; i++) world.add([...world.hosts]);
          const victim = world.hosts.toSorted((one, other) => (one.id < other.id ? -1 : 1))[role];
          assert.ok(victim);
          steps = 0;
          victim.keeping = () => {
            if (steps++ === step) victim.die();
          };
          start(world, 300);
          await world.run(5_000);
          const place = `number ${role} dies at step ${step} for ${wait} ms`;
          if (steps <= step) break;
          deaths += 1;
          await world.run(wait);
          const rest = world.hosts.filter(({ up }) => up).map(({ cluster }) => cluster);
          if (wait > 10_000)
            assert.ok(!rest.includes(undefined) && new Set(rest).size === 1, `${place}: the others wait`);
          victim.start();
          await world.run(15_000);
          assertOne(world, place);
          steps += 1;
        }
      }
    }
    assert.ok(deaths > 40, `only ${deaths} deaths`);
  });

  test('hosts that die, are cut off and come back: all leave it, each for a cluster that its founder is in', async () => {
    let several = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const world = hall(seed, 3 + (seed % 4));
      world.full = 0.03;
      start(world, 2_000);
      for (let step = 0; step < 15; step++) {
        const dice = world.chance();
        const [one, other] = [world.pick(), world.pick()];
        if (dice < 0.4) world.cut(one, other);
        else if (dice < 0.55) world.heal();
        else if (dice < 0.75) one.die();
        else one.start();
        await world.run(world.chance() * 600);
      }
      world.heal();
      world.full = 0;
      for (const host of world.hosts) host.start();
      await world.run(60_000);
      assertSettled(world, `seed ${seed}`);
      if (world.clusters().size > 1) several += 1;
    }
    // Groups that were apart for over a second, each with most of those it knew.
    assert.ok(several <= seeds / 4, `${several} of ${seeds} runs end with several clusters`);
  });

  test('drops a peer that talks nonsense or shows a card that is forged, and goes on with the others', async () => {
    const stranger = fakeHost('stranger');
    const facts = { key: stranger.signer.key, name: 'stranger', addresses: [], n: 1, links: [] };
    const token = cheapToken.signer();
    const letter = { t: 'letter', hops: 64, body: { t: 'one of later' } };
    for (const [frame, why] of [
      ['nonsense', /not understood/],
      [{ t: 'card', card: { ...cardOf(facts, { signer: stranger.signer, token }), n: 2 } }, /not signed by it/],
      [{ t: 'card', card: cardOf(facts, { signer: stranger.signer, token: stranger.signer }) }, /not signed by it/],
      [{ ...letter, from: stranger.id, to: [] }, /not understood/],
    ] as const) {
      const { world, rogue, victim, heard } = await withRogue();
      rogue.send(frame);
      await world.run(200);
      assert.match(heard.closed ?? '', why);
      assert.ok(!victim.room?.known().some(({ id }) => id === stranger.id));
      await world.run(5_000);
      assert.equal(world.left.length, 2, 'the others do not become a cluster');
    }
  });

  test('passes on what is for others, as far as it may go, and is not blamed for what it says', async () => {
    const { world, rogue, victim, heard } = await withRogue();
    const [first] = world.hosts;
    assert.ok(first);
    const from = fakeHost('far away').id;
    const passed: string[] = [];
    world.spy = (text, by) => by !== rogue && text.includes(`"from":"${from}"`) && passed.push(text);
    const letter = { t: 'letter', from, body: 'nonsense' };
    rogue.send({ ...letter, to: [victim.id, fakeHost('nobody').id], hops: 3 });
    rogue.send({ ...letter, to: [first.id], hops: 0 });
    rogue.send({ ...letter, to: [first.id, victim.id], hops: 3 });
    await world.run(300);
    assert.deepEqual(
      passed.map((text) => JSON.parse(text)),
      [{ ...letter, to: [first.id], hops: 2 }],
    );
    assert.equal(heard.closed, undefined);
    assert.deepEqual(
      victim.room?.known().map(({ id, linked }) => [id, linked]),
      [[first.id, true]],
    );
  });

  test('knows a bounded number of hosts, whatever it is told, and forgets those first that cannot be reached', async () => {
    const { world, rogue, victim } = await withRogue();
    for (let i = 0; i < mostWaiting + 50; i++) {
      const { signer } = fakeHost(`made up ${i}`);
      const said = { key: signer.key, name: `x${i}`, addresses: [`x${i}:1`], n: 1, links: [] };
      rogue.send({ t: 'card', card: cardOf(said, { signer, token: cheapToken.signer() }) });
    }
    await world.run(200);
    const known = victim.room?.known() ?? [];
    assert.equal(known.length, mostWaiting - 1);
    assert.ok(
      known.some(({ id, reached }) => id === world.hosts[0]?.id && reached),
      'it forgot one that it reaches',
    );
  });

  test('founds nothing with a token that a cluster made, and still tells where the others are', async () => {
    const world = new Hall(1);
    const first = world.add();
    world.add([first]);
    world.add([first]);
    for (const host of world.hosts) {
      host.token = new CheapToken(new Uint8Array(16), hex('a cluster'));
      host.start();
    }
    await world.run(8_000);
    assert.deepEqual([...world.clusters()], ['waiting']);
    for (const { room } of world.hosts) assert.equal(room?.known().filter(({ reached }) => reached).length, 2);
  });

  test('says nothing that a disk refuses to keep, tells why, and goes on when it can', async () => {
    const world = new Hall(3);
    const first = world.add();
    const second = world.add([first]);
    second.refuses = true;
    for (const host of world.hosts) host.start();
    await world.run(8_000);
    assert.equal(world.left.length, 0);
    assert.match(second.room?.problem() ?? '', /cannot be kept on disk: the disk is full/);
    second.refuses = false;
    await world.run(15_000);
    assertOne(world, 'with a disk that works again');
  });

  test('thirty hosts that connect to one become one cluster, with bounded traffic', async () => {
    const many = Number(process.env['MANY'] ?? 30);
    const world = new Hall(5);
    const first = world.add();
    for (let i = 1; i < many; i++) world.add([first]);
    start(world, 800);
    await world.run(20_000);
    assertOne(world, 'of a hundred');
    assert.ok(world.carried < 100 * 4_000_000, `${world.carried} characters`);
  });
});

async function withRogue() {
  const world = new Hall(9);
  const first = world.add();
  const victim = world.add([first]);
  for (const host of world.hosts) host.start();
  await world.run(400);
  const [rogue, far] = TestChannel.pair(world, new TestHost(world, 'rogue', []), victim);
  const heard: { closed: string | undefined } = { closed: undefined };
  rogue.take({
    received: () => undefined,
    drained: () => undefined,
    closed: (why) => {
      heard.closed = why;
    },
  });
  victim.room?.met(far);
  await world.run(100);
  return { world, rogue, victim, heard };
}
