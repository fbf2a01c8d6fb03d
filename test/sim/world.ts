import type { Log } from '../../src/lib/log.ts';
import { hostIdOf } from '../../src/model/host-key.ts';
import type { Environment, Link } from '../../src/state/mesh/environment.ts';
import { Mesh } from '../../src/state/mesh/mesh.ts';
import type { Json, Scope, Sheet, Sheets } from '../../src/state/mesh/sheets.ts';
import type { Verify } from '../../src/state/mesh/signing.ts';
import { clusterIdOf, found, type Genesis } from '../../src/state/mesh/trust/genesis.ts';
import { judgeOf, type Trust } from '../../src/state/mesh/trust/trust.ts';
import { compareVersions } from '../../src/state/mesh/version.ts';
import { Above } from './above.ts';
import { Belonging } from './belonging.ts';
import { Chance } from './chance.ts';
import { SimulatedDisk } from './disk.ts';
import { Network, type Station } from './network.ts';
import { type MakeSeal, quickSeal } from './seals.ts';
import { Time } from './time.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly seal?: MakeSeal;
  /** What a host's processor needs, in milliseconds: hosts do one thing after the other then. */
  readonly costs?: { readonly byte: number; readonly update: number };
  /** Every frame goes through JSON, as on a wire. */
  readonly json?: boolean;
  readonly trace?: (line: string) => void;
  /** Of the hosts, in order, which are all admitted then; otherwise they follow from their keys. */
  readonly ids?: readonly string[];
  /** Whether numbers, names and records are run on top of sheets. */
  readonly above?: boolean;
  /** Kinds of messages that never arrive: for seeing that their lack is noticed. */
  readonly loses?: readonly string[];
}

/** What a host sent and received, in bytes of JSON with what encryption and packets add. */
export interface Traffic {
  links: number;
  datagrams: number;
}

/** Some hosts of one cluster, the network between them, and time. The same seed gives the same run. */
export class World {
  readonly time = new Time();
  readonly chance: Chance;
  readonly network: Network;
  readonly hosts: SimulatedHost[] = [];
  /** Who changes what it passes on. */
  readonly liars = new Set<string>();
  /** Of whom an admin said so. */
  readonly removed = new Set<string>();
  /** Everything that any host signed, by its id. */
  readonly signed = new Map<string, Set<string>>();
  /** Counted while it is set. */
  traffic: Map<string, Traffic> | undefined;
  readonly #options: WorldOptions;
  /** Messages that arrived. */
  carried = 0;
  /** Somebody who waited may have something to go on with. */
  stirred = false;
  readonly genesis: Genesis;
  /** Names the cluster. */
  readonly genesisId: string;
  readonly verify: Verify;
  readonly judge: ReturnType<typeof judgeOf>;
  readonly #byId = new Map<string, SimulatedHost>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.chance = new Chance(options.seed);
    const { time, chance } = this;
    const founder = this.#seal(0, () => undefined);
    const facts = { created: '2026-01-01T00:00:00.000Z', nonce: '0'.repeat(32), dataPort: 4789, underlay: 4 } as const;
    this.genesis = found(facts, founder);
    this.genesisId = clusterIdOf(this.genesis);
    this.verify = (...signed) => founder.verify(...signed);
    this.judge = judgeOf(this.genesis, this.verify);
    this.network = new Network({
      ...{ time, chance },
      station: (id) => this.#byId.get(id),
      admits: (station, peer) => this.host(station.id).mesh !== undefined && this.host(station.id).admitted(peer),
      carry: (from, to, frame, by) => this.#carry(from, to, frame, by),
    });
  }

  /** A new host that knows nobody but the target. The first one founds the cluster. */
  add(target?: SimulatedHost): SimulatedHost {
    const signed = new Set<string>();
    const seal = this.#seal(this.hosts.length, (text) => signed.add(text));
    const id = this.#options.ids?.[this.hosts.length] ?? hostIdOf(seal.key);
    this.signed.set(id, signed);
    const host = new SimulatedHost(this, id, `h${this.hosts.length}`, seal, target);
    this.hosts.push(host);
    this.#byId.set(id, host);
    return host;
  }

  host(id: string): SimulatedHost {
    const host = this.#byId.get(id);
    if (host === undefined) throw new RangeError(`no host ${id}`);
    return host;
  }

  /** Who belongs to the cluster, by all that those say who run and were not removed. */
  truth(): Trust {
    const sheets = new Map<string, Sheet>();
    for (const host of this.hosts) {
      if (host.mesh === undefined || this.removed.has(host.id)) continue;
      for (const sheet of host.mesh.sheets.list('trust')) {
        const before = sheets.get(sheet.owner);
        if (before === undefined || compareVersions(sheet.version, before.version) > 0) sheets.set(sheet.owner, sheet);
      }
    }
    return this.judge(sheets.values());
  }

  get hasAbove(): boolean {
    return this.#options.above === true;
  }

  get isOpenToAll(): boolean {
    return this.#options.ids !== undefined;
  }

  get founder(): SimulatedHost {
    const [founder] = this.hosts;
    if (founder === undefined) throw new RangeError('no host yet');
    return founder;
  }

  get running(): SimulatedHost[] {
    return this.hosts.filter((host) => host.running);
  }

  /** Lets time pass, in milliseconds. */
  run(ms: number): void {
    this.time.run(this.time.now + ms);
  }

  /** Lets time pass, and those go on who wait for something. */
  async pass(ms: number): Promise<void> {
    const end = this.time.now + ms;
    await turn();
    while (this.time.step(end)) {
      if (!this.stirred) continue;
      this.stirred = false;
      await turn();
    }
  }

  /** Lets time pass until something holds. @returns how long that took, or undefined when it did not come true */
  until(holds: () => boolean, most: number, step = 50): number | undefined {
    const start = this.time.now;
    while (!holds()) {
      if (this.time.now - start >= most) return undefined;
      this.run(step);
    }
    return this.time.now - start;
  }

  /** Of reading a frame, checking and keeping what it brings. */
  costOf(frame: unknown): number {
    const { costs } = this.#options;
    if (costs === undefined) return 0;
    const updates = isUpdates(frame) ? frame.updates.length : 0;
    return costs.byte * JSON.stringify(frame).length + costs.update * updates;
  }

  trace(line: () => string): void {
    this.#options.trace?.(`${this.time.now.toFixed(1).padStart(9)} ${line()}`);
  }

  nameOf(id: string): string {
    return this.hosts.find((host) => host.id === id)?.name ?? id;
  }

  #seal(n: number, signed: (text: string) => void): Environment['seal'] {
    return (this.#options.seal ?? quickSeal)(`host ${n}`, signed);
  }

  #carry(from: string, to: string, frame: unknown, by: 'link' | 'datagram'): unknown {
    this.carried += 1;
    if (this.traffic !== undefined) this.#count(from, to, frame, by);
    this.trace(() => `${this.nameOf(from)} -> ${this.nameOf(to)} ${by} ${this.#short(frame)}`);
    if (this.#options.loses?.some((kind) => isKind(frame, kind))) return { t: 'prune', owners: [] };
    if (by === 'link' && this.liars.has(from)) return this.#forge(frame);
    return this.#options.json ? JSON.parse(JSON.stringify(frame)) : frame;
  }

  /**
   * A frame of a link: 22 bytes of TLS, 4 of length, 52 of TCP and IP with time stamps, half of that again for its
   * acknowledgement. A datagram: 28 of UDP and IP, 40 to seal it.
   */
  #count(from: string, to: string, frame: unknown, by: 'link' | 'datagram'): void {
    const bytes = Buffer.byteLength(JSON.stringify(frame)) + (by === 'link' ? 104 : 68);
    for (const id of [from, to]) {
      const traffic = this.traffic?.get(id) ?? { links: 0, datagrams: 0 };
      traffic[by === 'link' ? 'links' : 'datagrams'] += bytes;
      this.traffic?.set(id, traffic);
    }
  }

  #short(frame: unknown): string {
    const text = JSON.stringify(frame, (_, value) => {
      if (typeof value !== 'string') return value;
      const host = this.hosts.find(({ id }) => id === value);
      return host?.name ?? (value.length > 40 ? `${value.slice(0, 8)}…` : value);
    });
    return text.length > 400 ? `${text.slice(0, 400)}…` : text;
  }

  /** What a member could do to what others said. */
  #forge(frame: unknown): unknown {
    if (this.chance.happens(0.5)) return frame;
    const text = JSON.stringify(frame);
    const change = this.chance.of([
      (all: string) => all.replace(/"seq-\d+"/, '"forged"'),
      (all: string) =>
        all.replace(/"version":\[(\d+),(\d+)\]/, (_, epoch, seq) => `"version":[${Number(epoch) + 3},${seq}]`),
      (all: string) => all.replace(/"signature":"./, '"signature":"!'),
      (all: string) => all.replace(/"put":\[\[/, '"put":[["forged",1],['),
    ]);
    return JSON.parse(change(text));
  }
}

/** All that can go on without time passing does. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isKind(frame: unknown, kind: string): boolean {
  return typeof frame === 'object' && frame !== null && 't' in frame && frame.t === kind;
}

function isUpdates(frame: unknown): frame is { updates: readonly unknown[] } {
  return typeof frame === 'object' && frame !== null && 'updates' in frame && Array.isArray(frame.updates);
}

export class SimulatedHost implements Station {
  readonly world: World;
  readonly id: string;
  readonly name: string;
  readonly disk = new SimulatedDisk();
  readonly seal: Environment['seal'];
  readonly #target: SimulatedHost | undefined;
  /** Runs with each new life. */
  readonly #onStart: ((mesh: Mesh) => void)[] = [];
  mesh: Mesh | undefined;
  above: Above | undefined;
  /** Who belongs to the cluster, as far as it knows. */
  belonging: Belonging;
  up = true;
  life = 0;
  /** What the host's clock adds; an hour more or less must not matter. */
  skew = 0;
  #paused = false;
  #busyUntil = 0;
  #postponed: (() => void)[] = [];

  constructor(world: World, id: string, name: string, seal: Environment['seal'], target: SimulatedHost | undefined) {
    this.world = world;
    this.id = id;
    this.name = name;
    this.seal = seal;
    this.#target = target;
    this.belonging = new Belonging(this);
  }

  get running(): boolean {
    return this.mesh !== undefined;
  }

  get sheets(): Sheets {
    return this.#running.sheets;
  }

  get address(): string {
    return `at ${this.id}`;
  }

  get #running(): Mesh {
    if (this.mesh === undefined) throw new Error(`${this.name} does not run`);
    return this.mesh;
  }

  onStart(run: (mesh: Mesh) => void): void {
    this.#onStart.push(run);
    if (this.mesh !== undefined) run(this.mesh);
  }

  start(): void {
    if (this.mesh !== undefined) return;
    this.up = true;
    this.life += 1;
    this.#paused = false;
    this.#busyUntil = 0;
    this.#postponed = [];
    this.disk.epoch = Math.max(this.disk.epoch + 1, Math.floor(this.world.time.now / 10));
    this.world.trace(() => `${this.name} starts`);
    const targets = this.#target === undefined ? [] : [this.#target.address];
    // Its kernel knows nothing of links of a former life, and says so.
    this.world.network.ended(this.id);
    this.belonging = new Belonging(this);
    this.mesh = new Mesh(this.#environment(), {
      ...{ self: this.id, epoch: this.disk.epoch, addresses: [this.address], targets, discovery: true },
      stored: this.disk.load(),
      answer: (from, question) => this.answer(from, question),
    });
    this.belonging.follow(this.mesh);
    if (this.world.hasAbove) this.above = new Above(this, this.mesh);
    for (const run of this.#onStart) run(this.mesh);
    this.mesh.start();
    if (this === this.world.founder)
      for (const host of this.world.hosts) if (!this.belonging.knows(host.id)) this.admit(host);
  }

  /** Of questions to the parts above. */
  answer = async (from: string, question: Json): Promise<Json> =>
    (await this.above?.state.answer(from, question)) ?? null;

  /** What its disk holds of what it said itself. */
  own(): { readonly owner: string; readonly scope: Scope; readonly entries: ReadonlyMap<string, Json> }[] {
    const own = this.disk.load().filter(({ head }) => head.owner === this.id);
    return own.map(({ head, entries }) => ({ owner: head.owner, scope: head.scope, entries: new Map(entries) }));
  }

  /** As an admin. */
  admit(host: SimulatedHost): void {
    this.belonging.admit(host);
  }

  /** The daemon ends, as it is; or the machine does. */
  crash(what: 'daemon' | 'machine' = 'daemon'): void {
    if (this.mesh === undefined) return;
    this.world.trace(() => `${this.name} crashes (${what})`);
    this.above?.close();
    this.above = undefined;
    this.mesh = undefined;
    this.life += 1;
    this.disk.ended((most) => this.world.chance.whole(0, most));
    if (what === 'daemon') this.world.network.ended(this.id);
    else {
      this.up = false;
      this.world.network.vanished(this.id);
    }
  }

  /** Says that it goes, and ends a moment later. */
  leave(): void {
    const { life } = this;
    this.#running.leave();
    this.world.time.at(this.world.time.now + 100, () => {
      if (this.life !== life) return;
      this.mesh?.close();
      this.crash();
    });
  }

  /** Stands still for a time. */
  pause(ms: number): void {
    this.world.trace(() => `${this.name} stands still for ${ms.toFixed(0)} ms`);
    const { life } = this;
    this.#paused = true;
    this.world.time.at(this.world.time.now + ms, () => this.life === life && this.wake());
  }

  /** Stands still no more. */
  wake(): void {
    if (!this.#paused) return;
    this.#paused = false;
    for (const task of this.#postponed.splice(0)) task();
  }

  act(task: () => void): void {
    const { time } = this.world;
    const { life } = this;
    if (this.#paused) this.#postponed.push(task);
    else if (this.#busyUntil > time.now) time.at(this.#busyUntil, () => this.life === life && this.act(task));
    else if (this.mesh !== undefined) task();
  }

  /** Nothing else is done for so long. */
  works(ms: number): void {
    this.#busyUntil = Math.max(this.#busyUntil, this.world.time.now) + ms;
  }

  admitted(peer: string): boolean {
    return this.belonging.admits(peer);
  }

  accepted(link: Link): void {
    this.mesh?.accepted(link);
  }

  received(link: Link, frame: unknown): void {
    this.works(this.world.costOf(frame));
    this.world.stirred = true;
    this.mesh?.received(link, frame);
  }

  drained(link: Link): void {
    this.mesh?.drained(link);
  }

  closed(link: Link, why: string): void {
    this.mesh?.closed(link, why);
  }

  datagram(from: string, message: unknown): void {
    if (this.admitted(from)) this.mesh?.datagram(from, message);
  }

  #environment(): Environment {
    const { world, life } = this;
    const { time, chance, network } = world;
    let written = 0;
    const alive = (task: () => void) => () => {
      if (this.life === life) this.act(task);
    };
    const { belonging: trust } = this;
    const stirring = (task: () => void) =>
      alive(() => {
        world.stirred = true;
        task();
      });
    const log =
      (level: string): Log['warn'] =>
      (message, fields) =>
        world.trace(() => `${this.name} ${level}: ${message} ${JSON.stringify(fields)}`);
    return {
      clock: {
        now: () => time.now + this.skew,
        after: (ms, task) => {
          let canceled = false;
          time.at(
            time.now + ms,
            stirring(() => canceled || task()),
          );
          return () => {
            canceled = true;
          };
        },
      },
      random: chance.next,
      seal: this.seal,
      trust,
      disk: this.disk.open((task) => {
        written = Math.max(written, time.now + chance.between(0.2, 2));
        time.at(written, stirring(task));
      }),
      links: {
        dial: (address, host, outcome) => {
          const to = address.slice('at '.length);
          if (host === undefined || host === to) network.dial(this, to, outcome);
          else
            time.at(
              time.now,
              alive(() => outcome.failed('another host')),
            );
        },
      },
      datagrams: { send: (to, message) => network.datagram(this.id, to, message) },
      log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    };
  }
}
