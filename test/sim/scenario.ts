import { Chance } from './chance.ts';
import { Ledger } from './ledger.ts';
import { fair, type Weather } from './network.ts';
import { preload } from './preload.ts';
import { differences, unsigned } from './properties.ts';
import { believingSeal, quickSeal, realSeal } from './seals.ts';
import { doubled, unsettled } from './settled.ts';
import { Users } from './users.ts';
import { type SimulatedHost, World } from './world.ts';

export interface Run {
  readonly seed: number;
  readonly hosts?: number;
  readonly trace?: (line: string) => void;
  /** What is broken on purpose: messages of these kinds never arrive; signatures are not checked. */
  readonly loses?: readonly string[];
  readonly believesAll?: boolean;
}

export interface Outcome {
  readonly hosts: number;
  readonly violations: readonly string[];
  /** Milliseconds from the end of the faults to one view. */
  readonly healed: number | undefined;
  /** Why hosts refused what people wanted, and how often. */
  readonly refused: ReadonlyMap<string, number>;
}

/** Milliseconds: how long things go wrong, and how soon all is well again. */
const phases = {
  small: { start: 1_500, faults: 8_000, settle: 8_000, rest: 1_000 },
  large: { start: 7_000, faults: 3_000, settle: 8_000, rest: 1_000 },
} as const;
/** From so many hosts on they start as a cluster that was there before, and shorter is enough. */
const large = 100;
/** Messages that a host gets in a second. */
const mostAtRest = 120;
/** Behaviour F4. */
const healedWithin = 5_000;
/** In which who asks for a place on a network gets it when all is well, though it may have to ask again. */
const servedWithin = 3_000;

/** One cluster that lives through faults which the seed chooses, and what it did wrong. */
export async function runSeed({ seed, trace, hosts: asked, loses = [], believesAll = false }: Run): Promise<Outcome> {
  const chance = new Chance(seed * 7919 + 1);
  const hosts = asked ?? (chance.happens(0.01) ? chance.whole(8, 20) : chance.whole(3, 7));
  const world = new World({
    seed,
    seal: believesAll ? believingSeal : seed % 50 === 0 && hosts < 30 ? realSeal : quickSeal,
    loses,
    json: seed % 5 === 0,
    above: true,
    ...(trace ? { trace } : {}),
  });
  const scenario = new Scenario(world, chance, hosts);
  await scenario.begin(hosts, believesAll);
  await scenario.trouble();
  const before = scenario.unsigned();
  const healed = await scenario.heal();
  return {
    hosts,
    healed,
    violations: [...before, ...(await scenario.violations(healed))],
    refused: scenario.users.refused,
  };
}

class Scenario {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #ledger: Ledger;
  readonly users: Users;
  readonly #followed = new Map<SimulatedHost, readonly string[]>();
  /** Which kinds of trouble this run has. */
  readonly #rollsBack: boolean;
  readonly #removes: boolean;
  #rolledBack = false;
  readonly #isLarge: boolean;
  readonly #phase: (typeof phases)['small' | 'large'];

  constructor(world: World, chance: Chance, hosts: number) {
    this.#isLarge = hosts >= large;
    this.#phase = phases[this.#isLarge ? 'large' : 'small'];
    this.#world = world;
    this.#chance = chance;
    this.users = new Users(world, 2);
    this.#ledger = new Ledger(world, this.users.networks);
    this.#rollsBack = chance.happens(0.3);
    this.#removes = chance.happens(0.3);
  }

  async begin(hosts: number, lies: boolean): Promise<void> {
    const world = this.#world;
    // Who knows all the others needs no target.
    for (let n = 0; n < hosts; n += 1) this.#add(this.#isLarge ? undefined : world.hosts[0]);
    if ((this.#chance.happens(0.15) || lies) && hosts >= 4) world.liars.add(world.hosts.at(-1)?.id ?? '');
    if (this.#isLarge)
      preload(world, (host) => new Map((this.#followed.get(host) ?? []).map((network) => [network, []])));
    for (const host of world.hosts) host.start();
    await world.pass(this.#phase.start);
    for (const host of world.hosts.slice(1, 3)) if (this.#removes) world.founder.belonging.promote(host.id);
    await world.pass(200);
  }

  /** Things go wrong, one after the other and several at a time. */
  async trouble(): Promise<void> {
    const world = this.#world;
    const chance = this.#chance;
    const end = world.time.now + this.#phase.faults;
    const bad: Weather = {
      delay: [0.2, chance.of([1, 10, 60])],
      loss: chance.of([0, 0, 0.01, 0.05, 0.2]),
      doubled: chance.of([0, 0.05]),
      late: chance.of([0, 0.05]),
    };
    world.network.weather = bad;
    while (world.time.now < end) {
      await world.pass(chance.between(20, this.#isLarge ? 150 : 400));
      const host = chance.of(world.hosts);
      if (host.running && chance.happens(0.7)) this.#act(host);
      else if (chance.happens(this.#isLarge ? 0.25 : 0.6)) await this.#fault(host);
    }
  }

  /** Also while things go wrong nobody takes what its owner did not sign. */
  unsigned(): readonly string[] {
    return unsigned(this.#world);
  }

  /** All faults end and most come back; then there must be one view soon. */
  async heal(): Promise<number | undefined> {
    const world = this.#world;
    world.network.weather = fair;
    world.network.unblockAll();
    const truth = world.truth();
    const admins = world.hosts.filter(({ id }) => truth.hosts.get(id)?.role === 'admin');
    const all = this.#chance.happens(0.7);
    for (const host of world.hosts) {
      host.disk.broken = false;
      host.wake();
      if (!host.running && (all || admins.includes(host) || this.#chance.happens(0.5))) host.start();
    }
    // What a disk refused, or what could not be said before a crash, is said now.
    for (const host of world.hosts) admins[0]?.admit(host);
    const start = world.time.now;
    while (world.time.now - start < this.#phase.settle) {
      if (differences(world).length === 0 && (await unsettled(world, this.users)).length === 0)
        return world.time.now - start;
      await world.pass(100);
    }
    return undefined;
  }

  async violations(healed: number | undefined): Promise<string[]> {
    const world = this.#world;
    const late = healed === undefined ? [...differences(world), ...(await unsettled(world, this.users))] : [];
    if (healed !== undefined && healed > healedWithin) late.push(`one view only after ${healed} ms`);
    const found = [...late, ...unsigned(world), ...this.#ledger.violations(), ...this.users.violations];
    return [...found, ...doubled(world), ...(await this.#unserved()), ...(await this.#unrest())];
  }

  /** When all are there again, everybody gets what it asks for. */
  async #unserved(): Promise<string[]> {
    const world = this.#world;
    const truth = world.truth();
    const there = world.hosts.filter(({ id, running }) => running && truth.hosts.has(id));
    if (world.liars.size > 0 || there.length < truth.hosts.size) return [];
    const waiting = new Map<SimulatedHost, string>();
    const ask = (host: SimulatedHost) => {
      const network = this.#followed.get(host)?.[0];
      if (network === undefined || host.above?.state.catalog.has(network) !== true) return;
      waiting.set(host, 'there is no answer');
      this.users.attach(host, host.above.state, network, 'plainly').then(
        () => waiting.delete(host),
        (error: unknown) => waiting.set(host, String(error)),
      );
    };
    for (const host of there) ask(host);
    for (let waited = 0; waiting.size > 0 && waited < servedWithin; waited += 250) {
      for (const [host, why] of waiting) if (why !== 'there is no answer') ask(host);
      await world.pass(250);
    }
    return [...waiting].map(([{ name }, why]) => `${name} cannot attach when all is well: ${why}`);
  }

  /** When nothing is said and nothing goes wrong, hosts ask each other whether they live, and little more. */
  async #unrest(): Promise<string[]> {
    const world = this.#world;
    await world.pass(this.#phase.rest);
    const before = world.carried;
    await world.pass(1_000);
    const each = (world.carried - before) / world.running.length;
    return each <= mostAtRest ? [] : [`${each} messages a second a host when all is well`];
  }

  #add(target: SimulatedHost | undefined): SimulatedHost {
    const host = this.#world.add(target);
    host.skew = this.#chance.of([0, 3_600_000, -7_200_000]);
    const followed = this.users.networks.filter(() => this.#chance.happens(this.#isLarge ? 0.1 : 0.7));
    this.#followed.set(host, followed);
    host.onStart(({ sheets }) => sheets.follow(followed));
    this.#ledger.follow(host);
    return host;
  }

  #act(host: SimulatedHost): void {
    const scopes = this.#ledger.scopes;
    if (this.#chance.happens(0.3)) this.#ledger.change(host, this.#chance.of(scopes));
    for (let n = this.#chance.whole(1, 3); n > 0; n -= 1) this.users.act(host, this.#followed.get(host) ?? []);
  }

  async #fault(host: SimulatedHost): Promise<void> {
    const world = this.#world;
    const chance = this.#chance;
    const other = chance.of(world.hosts);
    const fault = chance.of<() => void | Promise<void>>([
      () => (host.running ? this.#stop(host) : host.start()),
      () => host.start(),
      () => host.pause(chance.between(100, 4_000)),
      () => world.network.block(host.id, other.id),
      () => this.#partition(),
      () => world.network.unblockAll(),
      () => this.#rollBack(host),
      () => this.#breakDisk(host),
      () => this.#newcomer(),
      () => this.#remove(host),
    ]);
    await fault();
  }

  /** Once a disk went back, its copies elsewhere are all there is: they stay. */
  #stop(host: SimulatedHost): void {
    if (this.#rolledBack || this.#world.running.length < 2) return;
    if (this.#chance.happens(0.2)) host.leave();
    else host.crash(this.#chance.of(['daemon', 'machine']));
  }

  #partition(): void {
    const world = this.#world;
    const side = new Set(world.hosts.filter(() => this.#chance.happens(this.#isLarge ? 0.03 : 0.5)));
    for (const one of side)
      for (const other of world.hosts)
        if (!side.has(other)) {
          world.network.block(one.id, other.id);
          if (this.#chance.happens(0.9)) world.network.block(other.id, one.id);
        }
  }

  /** Everybody is there and has heard what it said; then it does not know that itself any more. */
  async #rollBack(host: SimulatedHost): Promise<void> {
    const world = this.#world;
    if (!this.#rollsBack || this.#rolledBack || !host.running || world.removed.size > 0) return;
    const goBack =
      this.#chance.happens(0.3) && host !== world.founder && !this.#isLarge ? () => host.disk.wipe() : host.disk.save();
    await world.pass(this.#chance.between(100, 3_000));
    for (let n = 0; n < 3; n += 1) if (host.running) this.#act(host);
    await world.pass(this.#chance.between(0, 500));
    const { weather } = world.network;
    world.network.weather = fair;
    world.network.unblockAll();
    for (const one of world.hosts) one.start();
    for (let waited = 0; differences(world).length > 0; waited += 100) {
      if (waited > this.#phase.settle) return;
      await world.pass(100);
    }
    if (!host.running) return;
    this.#rolledBack = true;
    host.crash();
    goBack();
    this.#ledger.rolledBack(host);
    this.users.forgot(host);
    world.trace(() => `the disk of ${host.name} was rolled back`);
    world.network.weather = weather;
    host.start();
  }

  #breakDisk(host: SimulatedHost): void {
    host.disk.broken = true;
    this.#world.time.at(this.#world.time.now + 1_000, () => {
      host.disk.broken = false;
    });
  }

  #newcomer(): void {
    const world = this.#world;
    const admin = this.#chance.of(world.hosts);
    if (
      (world.hosts.length >= 30 && !this.#isLarge) ||
      !admin.running ||
      !admin.belonging.isAdmin() ||
      !this.#chance.happens(0.3)
    )
      return;
    const host = this.#add(admin);
    admin.admit(host);
    // Who joins is shown who belongs to the cluster.
    host.disk.fill(admin.mesh?.shown('trust') ?? []);
    host.start();
  }

  /** Fewer than half, so that a majority is left. */
  #remove(host: SimulatedHost): void {
    const world = this.#world;
    const admin = this.#chance.of(world.hosts);
    const most = (world.hosts.length - 1) / 2;
    if (!this.#removes || this.#rolledBack || !admin.running || !admin.belonging.isAdmin() || admin === host) return;
    if (world.removed.has(admin.id) || (!world.removed.has(host.id) && world.removed.size + 1 > most)) return;
    world.removed.add(host.id);
    world.trace(() => `${admin.name} removes ${host.name}`);
    admin.belonging.remove(host.id, false);
  }
}
