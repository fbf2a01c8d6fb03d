import { Chance } from './chance.ts';
import { Ledger } from './ledger.ts';
import { fair, type Weather } from './network.ts';
import { differences, networks, unsigned } from './properties.ts';
import { believingSeal, quickSeal, realSeal } from './seals.ts';
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
}

/** Milliseconds: how long things go wrong, and how soon all is well again. */
const phase = { start: 4_000, faults: 20_000, settle: 8_000, rest: 4_000 } as const;
/** Messages that a host gets in a second. */
const mostAtRest = 60;
/** Behaviour F4. */
const healedWithin = 5_000;

/** One cluster that lives through faults which the seed chooses, and what it did wrong. */
export function runSeed({ seed, trace, hosts: asked, loses = [], believesAll = false }: Run): Outcome {
  const chance = new Chance(seed * 7919 + 1);
  const hosts = asked ?? (chance.happens(0.05) ? chance.whole(13, 24) : chance.whole(3, 7));
  const world = new World({
    seed,
    seal: believesAll ? believingSeal : seed % 50 === 0 && hosts < 30 ? realSeal : quickSeal,
    loses,
    json: seed % 5 === 0,
    ...(trace ? { trace } : {}),
  });
  const scenario = new Scenario(world, chance);
  scenario.begin(hosts, believesAll);
  scenario.trouble();
  const healed = scenario.heal();
  return { hosts, healed, violations: scenario.violations(healed) };
}

class Scenario {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #ledger: Ledger;
  /** Which kinds of trouble this run has. */
  readonly #rollsBack: boolean;
  #rolledBack = false;

  constructor(world: World, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
    this.#ledger = new Ledger(world);
    this.#rollsBack = chance.happens(0.3);
  }

  begin(hosts: number, lies: boolean): void {
    const world = this.#world;
    for (let n = 0; n < hosts; n += 1) this.#add();
    if ((this.#chance.happens(0.15) || lies) && hosts >= 4) world.liars.add(world.hosts.at(-1)?.id ?? '');
    for (const host of world.hosts) host.start();
    world.run(phase.start);
  }

  /** Things go wrong, one after the other and several at a time. */
  trouble(): void {
    const world = this.#world;
    const chance = this.#chance;
    const end = world.time.now + phase.faults;
    const bad: Weather = {
      delay: [0.2, chance.of([1, 10, 60])],
      loss: chance.of([0, 0, 0.01, 0.05, 0.2]),
      doubled: chance.of([0, 0.05]),
      late: chance.of([0, 0.05]),
    };
    world.network.weather = bad;
    while (world.time.now < end) {
      world.run(chance.between(20, 800));
      const host = chance.of(world.hosts);
      if (host.running && chance.happens(0.7)) this.#change(host);
      else if (chance.happens(0.6)) this.#fault(host);
    }
  }

  /** All faults end and everybody comes back; then there must be one view soon. */
  heal(): number | undefined {
    const world = this.#world;
    world.network.weather = fair;
    for (const host of world.hosts) {
      host.disk.broken = false;
      if (!host.running && this.#chance.happens(0.7)) host.start();
    }
    if (!world.founder.running) world.founder.start();
    // What the founder's disk refused, or what it could not say before it crashed, it says now.
    for (const host of world.hosts) world.founder.admit(host);
    world.network.unblockAll();
    return world.until(() => differences(world).length === 0, phase.settle);
  }

  violations(healed: number | undefined): string[] {
    const world = this.#world;
    const late = healed === undefined ? differences(world) : [];
    if (healed !== undefined && healed > healedWithin) late.push(`one view only after ${healed} ms`);
    return [...late, ...unsigned(world), ...this.#ledger.violations(), ...this.#unrest()];
  }

  /** When nothing is said and nothing goes wrong, hosts ask each other whether they live, and little more. */
  #unrest(): string[] {
    const world = this.#world;
    world.run(phase.rest);
    const before = world.carried;
    world.run(1_000);
    const each = (world.carried - before) / world.running.length;
    return each <= mostAtRest ? [] : [`${each} messages a second a host when all is well`];
  }

  #add(): SimulatedHost {
    const world = this.#world;
    const first = world.hosts[0];
    const host = world.add(first);
    host.skew = this.#chance.of([0, 3_600_000, -7_200_000]);
    const followed = networks.filter(() => this.#chance.happens(0.6));
    host.onStart(({ sheets }) => sheets.follow(followed));
    this.#ledger.follow(host);
    return host;
  }

  #change(host: SimulatedHost): void {
    for (let n = this.#chance.whole(1, 3); n > 0; n -= 1)
      this.#ledger.change(host, this.#chance.of(['catalog', 'ring', 'network:1', 'network:2']));
  }

  #fault(host: SimulatedHost): void {
    const world = this.#world;
    const chance = this.#chance;
    const other = chance.of(world.hosts);
    chance.of([
      () => (host.running ? this.#stop(host) : host.start()),
      () => host.start(),
      () => host.pause(chance.between(100, 4_000)),
      () => world.network.block(host.id, other.id),
      () => this.#partition(),
      () => world.network.unblockAll(),
      () => this.#rollBack(host),
      () => this.#breakDisk(host),
      () => this.#newcomer(),
    ])();
  }

  /** Once a disk went back, its copies elsewhere are all there is: they stay. */
  #stop(host: SimulatedHost): void {
    if (this.#rolledBack || this.#world.running.length < 2) return;
    if (this.#chance.happens(0.2)) host.leave();
    else host.crash(this.#chance.of(['daemon', 'machine']));
  }

  #partition(): void {
    const world = this.#world;
    const side = new Set(world.hosts.filter(() => this.#chance.happens(0.5)));
    for (const one of side)
      for (const other of world.hosts)
        if (!side.has(other)) {
          world.network.block(one.id, other.id);
          if (this.#chance.happens(0.9)) world.network.block(other.id, one.id);
        }
  }

  #rollBack(host: SimulatedHost): void {
    const world = this.#world;
    if (!this.#rollsBack || this.#rolledBack || !host.running) return;
    const goBack = host.disk.save();
    world.run(this.#chance.between(100, 3_000));
    for (let n = 0; n < 3; n += 1) if (host.running) this.#change(host);
    world.run(this.#chance.between(0, 500));
    this.#rolledBack = true;
    host.crash();
    goBack();
    this.#ledger.rolledBack(host);
    world.trace(() => `the disk of ${host.name} was rolled back`);
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
    if (world.hosts.length >= 30 || !world.founder.running || !this.#chance.happens(0.3)) return;
    const host = this.#add();
    world.founder.admit(host);
    host.start();
  }
}
