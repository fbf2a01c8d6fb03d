import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mostWaiting, times } from '../beginning.ts';
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

  test('hosts that heard of each other from one that is gone find each other', async () => {
    const world = new Hall(2);
    const first = world.add();
    const rest = [world.add([first]), world.add([first])];
    for (const host of world.hosts) host.start();
    await world.run(700);
    first.die();
    await world.run(6_000);
    const clusters = new Set(rest.map(({ cluster }) => cluster));
    assert.ok(clusters.size === 1 && !clusters.has(undefined));
  });

  test('the founder of a cluster that began when it died goes back to it, while anybody may be in it', async () => {
    const world = new Hall(4);
    for (let i = 0; i < 4; i++) world.add([...world.hosts]);
    const [founder, other, ...rest] = world.hosts.toSorted((one, two) => (one.id < two.id ? -1 : 1));
    assert.ok(founder && other);
    founder.keeping = ({ standing }, isKept) => {
      if (isKept && standing.kind === 'member' && standing.begun)
        for (const host of rest) for (const one of [founder, other]) world.cut(one, host);
    };
    for (const host of world.hosts) host.start();
    await world.run(4_000);
    assert.ok(other.cluster !== undefined && rest.every(({ cluster }) => cluster === undefined));
    // It dies before it has left the room.
    founder.die();
    founder.disk.cluster = undefined;
    await world.run(60_000);
    const second = new Set(rest.map(({ cluster }) => cluster));
    assert.ok(second.size === 1 && !second.has(undefined) && !second.has(other.cluster));
    world.heal();
    world.cut(founder, other);
    founder.keeping = undefined;
    founder.start();
    await world.run(10_000);
    assert.equal(founder.cluster, undefined);
    assert.match(founder.room?.problem() ?? '', /goes on when it reaches most of the 4 hosts/);
    world.heal();
    await world.run(10_000);
    assert.equal(founder.cluster, other.cluster);
  });

  test('a promise that was kept on disk is kept after a start, as long as ever', async () => {
    const world = new Hall(6);
    const host = world.add();
    const founder = fakeHost('founder').id;
    const genesis = { id: hex('genesis'), founder, view: [founder, host.id] };
    const promised = { kind: 'waiting', promised: { genesis, until: 1 } } as const;
    host.disk.waiting = { token: cheapToken.signer().key, standing: promised, hosts: {} };
    host.start();
    await world.run(times.promise - 1_000);
    const { standing } = host.disk.waiting;
    assert.ok(standing.kind === 'waiting' && standing.promised?.genesis.id === genesis.id);
    await world.run(2_000);
    assert.deepEqual(host.disk.waiting.standing, { kind: 'waiting' });
  });

  test('joins no cluster by hearsay, and says who it is above what is remembered of an earlier life', async () => {
    const { world, rogue, victim } = await withRogue();
    const { signer, id: from } = fakeHost('rogue');
    const token = cheapToken.signer();
    const said: string[] = [];
    world.spy = (text, by) => by !== rogue && said.push(text);
    const facts = { key: signer.key, name: 'rogue', addresses: [], n: 9, links: [victim.id] };
    rogue.send({ t: 'card', card: cardOf(facts, { signer, token }) });
    const own = { key: victim.seal.key, name: 'once', addresses: [], n: 50, links: [from] };
    rogue.send({ t: 'card', card: cardOf(own, { signer: victim.fake.signer, token }) });
    await world.run(200);
    assert.ok(said.some((text) => text.includes(`"n":51`) && text.includes(victim.seal.key)));
    const genesis = { id: hex('made up'), founder: from, view: [from, victim.id].toSorted() };
    const body = { t: 'beginning', message: { kind: 'founded', genesis } };
    rogue.send({ t: 'letter', from, to: [victim.id], hops: 1, body });
    await world.run(200);
    assert.ok(
      said.some((text) => text.includes('"t":"want"')),
      'it does not ask for what it heard of',
    );
    assert.equal(victim.disk.waiting?.standing.kind, 'waiting');
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
      const { signer } = fakeHost(`made up ${mostWaiting + 49 - i}`);
      const said = { key: signer.key, name: `x${i}`, addresses: [`x${i}:1`], n: 1, links: [] };
      rogue.send({ t: 'card', card: cardOf(said, { signer, token: cheapToken.signer() }) });
    }
    // It says that it reaches some of them; they do not say so.
    const { signer } = fakeHost('rogue');
    const links = Array.from({ length: 20 }, (_, i) => fakeHost(`made up ${i}`).id);
    const facts = { key: signer.key, name: 'rogue', addresses: [], n: 9, links: [victim.id, ...links] };
    rogue.send({ t: 'card', card: cardOf(facts, { signer, token: cheapToken.signer() }) });
    await world.run(200);
    const known = victim.room?.known() ?? [];
    assert.equal(known.length, mostWaiting - 1);
    const reached = known.filter((host) => host.reached).map(({ name }) => name);
    assert.deepEqual(new Set(reached), new Set([world.hosts[0]?.fake.name, 'rogue']));
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
    second.keeping = ({ standing }, isKept) => {
      // From now on the cluster itself is refused.
      if (isKept && standing.kind === 'member' && standing.begun) second.refuses = true;
    };
    await world.run(15_000);
    assert.equal(second.cluster, undefined);
    assert.match(second.room?.problem() ?? '', /cannot be kept on disk: the disk is full/);
    second.keeping = undefined;
    second.refuses = false;
    await world.run(3_000);
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
