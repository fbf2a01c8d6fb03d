import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Beginning, type Genesis, parseMessage, refusalOf, type Standing, times } from './beginning.ts';
import { hex, hostId, randomFrom } from './world.testing.ts';

interface Node {
  readonly id: string;
  beginning: Beginning;
  disk: Standing;
  up: boolean;
  /** It wants to give numbers away as soon as it may, when it is the founder. */
  eager: boolean;
}

/** Hosts that wait, with links that come and go; who is linked through others is known a little later. */
class Waiting {
  readonly nodes = new Map<string, Node>();
  readonly chance: () => number;
  readonly begun = new Map<string, number>();
  readonly #links = new Set<string>();
  readonly #events: { at: number; run: () => void }[] = [];
  loss = 0;
  now = 0;
  #made = 0;

  constructor(seed: number, count: number) {
    this.chance = randomFrom(seed);
    for (let i = 0; i < count; i++) {
      const id = hostId(`waiting ${seed} ${i}`);
      this.nodes.set(id, {
        id,
        disk: { kind: 'waiting' },
        up: true,
        eager: this.chance() < 0.7,
        beginning: this.open(id),
      });
    }
  }

  open(id: string, standing?: Standing): Beginning {
    const found = (view: readonly string[]): Genesis => ({ id: hex(`${id} ${this.#made++}`), founder: id, view });
    return new Beginning({ self: id, found, mayJoin: () => true, ...(standing && { standing }) });
  }

  at(ms: number, run: () => void): void {
    this.#events.push({ at: this.now + ms, run });
  }

  link(a: string, b: string, is = true): void {
    for (const one of [`${a} ${b}`, `${b} ${a}`]) {
      if (is) this.#links.add(one);
      else this.#links.delete(one);
    }
  }

  component(id: string): ReadonlySet<string> {
    const found = new Set([id]);
    for (const at of found) {
      for (const [other, { up }] of this.nodes) if (up && this.#links.has(`${at} ${other}`)) found.add(other);
    }
    return found;
  }

  run(ms: number): void {
    for (const end = this.now + Math.ceil(ms / 20) * 20; this.now < end; this.now += 20) {
      const due = this.#events.filter(({ at }) => at <= this.now).toSorted((a, b) => a.at - b.at);
      for (const event of due) this.#events.splice(this.#events.indexOf(event), 1);
      for (const { run } of due) run();
      for (const node of this.nodes.values()) if (node.up) this.#step(node);
    }
  }

  #step(node: Node): void {
    if (this.now % 100 === 0) {
      this.at(this.chance() * 80, () => {
        if (node.up) node.beginning.see(this.component(node.id), this.now);
      });
    }
    if (this.now % 200 === 0) node.beginning.tick(this.now);
    if (node.eager && node.beginning.begin(this.now)) {
      const { standing } = node.beginning;
      if (standing.kind === 'member')
        this.begun.set(standing.genesis.id, this.begun.get(standing.genesis.id) ?? this.now);
    }
    this.post(node);
  }

  post(node: Node): void {
    node.disk = node.beginning.standing;
    for (const { to, message } of node.beginning.take()) {
      if (this.chance() < this.loss) continue;
      this.at(5 + this.chance() * 80, () => {
        const target = this.nodes.get(to);
        if (!target?.up || !this.component(node.id).has(to)) return;
        target.beginning.hear(node.id, parseMessage(JSON.parse(JSON.stringify(message))), this.now);
        this.post(target);
      });
    }
  }

  crash(id: string): void {
    const node = this.nodes.get(id);
    if (node) node.up = false;
  }

  restart(id: string): void {
    const node = this.nodes.get(id);
    if (!node) return;
    node.up = true;
    node.beginning = this.open(id, node.disk);
  }

  clusters(): ReadonlySet<string> {
    return new Set(
      [...this.nodes.values()].map(({ beginning: { standing } }) =>
        standing.kind === 'member' ? standing.genesis.id : 'waiting',
      ),
    );
  }
}

const seeds = Number(process.env['SEEDS'] ?? 12);

describe('hosts that wait with one token', () => {
  test('become one cluster with one founder, in whatever order they are connected within a second', () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const count = 2 + (seed % 6);
      const world = new Waiting(seed, count);
      world.loss = seed % 3 === 0 ? 0.2 : 0;
      const ids = [...world.nodes.keys()];
      for (const [i, id] of ids.entries()) {
        const other = ids[Math.floor(world.chance() * i)];
        if (i > 0 && other !== undefined) world.at(world.chance() * 900, () => world.link(id, other));
      }
      world.run(12_000);
      assert.equal(
        world.clusters().size,
        1,
        `seed ${seed}: ${[...world.clusters()].map((id) => id.slice(0, 8)).join()}`,
      );
      assert.ok(!world.clusters().has('waiting'), `seed ${seed} waits still`);
      assert.ok(world.begun.size <= 1, `seed ${seed}: ${world.begun.size} clusters gave numbers away`);
      for (const id of world.begun.keys()) assert.ok(world.clusters().has(id), `seed ${seed}: who had begun gave way`);
    }
  });

  test('a host alone founds nothing', () => {
    const world = new Waiting(1, 1);
    world.run(5_000);
    assert.deepEqual([...world.clusters()], ['waiting']);
  });

  test('die, are cut off and come back: each is in one cluster, and only clusters that had both begun stay apart, and say so', () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const world = new Waiting(seed, 3 + (seed % 5));
      world.loss = 0.1;
      const ids = [...world.nodes.keys()];
      const pick = () => ids[Math.floor(world.chance() * ids.length)] ?? '';
      for (let step = 0; step < 25; step++) {
        const dice = world.chance();
        const [a, b] = [pick(), pick()];
        if (dice < 0.5) world.link(a, b, a !== b);
        else if (dice < 0.65) world.link(a, b, false);
        else if (dice < 0.8) world.crash(a);
        else world.restart(a);
        world.run(world.chance() * 900);
      }
      for (const id of ids) world.restart(id);
      for (const id of ids) for (const other of ids) if (id !== other) world.link(id, other);
      world.run(20_000);
      if (world.begun.size <= 1) {
        assert.equal(
          world.clusters().size,
          1,
          `seed ${seed}: ${[...world.clusters()].map((id) => id.slice(0, 8)).join()}`,
        );
        assert.ok(!world.clusters().has('waiting'), `seed ${seed}: some wait still`);
      } else {
        assert.deepEqual([...world.clusters()].toSorted(), [...world.begun.keys()].toSorted(), `seed ${seed}`);
        for (const { beginning } of world.nodes.values())
          assert.ok(beginning.refused, `seed ${seed}: a host does not say why`);
      }
    }
  });

  test('whose founder died before it began, and stays away, leave its cluster and become another', () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const world = new Waiting(seed, 3 + (seed % 4));
      for (const node of world.nodes.values()) node.eager = false;
      const ids = [...world.nodes.keys()].toSorted();
      for (const [i, id] of ids.entries()) for (const other of ids.slice(0, i)) world.link(id, other);
      world.run(3_000);
      const [founder = '', ...rest] = ids;
      const [first] = world.clusters();
      world.crash(founder);
      world.run(10_000);
      // Who starts again waits as long as ever, and brings nobody back.
      world.restart(rest[0] ?? '');
      world.run(times.founder + 6_000);
      const now = rest.map((id) => world.nodes.get(id)?.beginning.standing);
      const clusters = new Set(now.map((standing) => (standing?.kind === 'member' ? standing.genesis.id : 'waiting')));
      assert.ok(clusters.size === 1 && !clusters.has('waiting') && !clusters.has(first ?? ''), `seed ${seed}`);
      for (const node of world.nodes.values()) node.eager = true;
      world.run(2_000);
      world.restart(founder);
      world.run(8_000);
      assert.deepEqual(world.clusters(), clusters, `seed ${seed}: it does not join them`);
    }
  });

  test('two clusters: one that has begun is joined by one that has not, and two that have stay apart and say so', () => {
    for (const both of [false, true]) {
      const world = new Waiting(7, 4);
      const [a = '', b = '', c = '', d = ''] = world.nodes.keys();
      for (const [id, node] of world.nodes) node.eager = both || id === a || id === b;
      world.link(a, b);
      world.link(c, d);
      world.run(6_000);
      assert.equal(world.clusters().size, 2);
      assert.equal(world.begun.size, both ? 2 : 1);
      world.link(b, c);
      world.run(6_000);
      assert.deepEqual([...world.clusters()].toSorted(), [...world.begun.keys()].toSorted());
      for (const { beginning } of world.nodes.values()) assert.equal(beginning.refused !== undefined, both);
    }
  });

  test('the refusal holds the command that gets out of it', () => {
    const [mine, other] = ['one', 'two'].map((name) => ({
      id: hex(name),
      founder: hostId(name),
      view: [hostId(name)],
    }));
    assert.ok(mine && other);
    assert.match(
      refusalOf(mine, other),
      /have both given out addresses and cannot become one; run skein reset on the hosts/,
    );
  });
});
