import { createHash } from 'node:crypto';
import { Refusal } from '../../lib/errors.ts';
import { Editing } from './draft.ts';
import { Fabric } from './fabric.testing.ts';
import { type MeshState, openMeshState } from './open.ts';
import type { Questions } from './questions.ts';
import type { Removal } from './removal.ts';
import type { Ring } from './ring.ts';
import type { Draft, Json, MemberState, Members, Scope, Sheet, Sheets } from './sheets.ts';

/**
 * Hosts of one cluster in one process, with time and chance from a seed: what they say is copied late, out of order or not
 * at all; ways between them are cut in one or both directions; they die, with and without what they had on disk.
 */
export class World {
  readonly fabric = new Fabric();
  readonly hosts = new Map<string, TestHost>();
  readonly removals: Removal[] = [];
  readonly admitted = new Set<string>();
  readonly #cut = new Set<string>();
  readonly #events: { at: number; order: number; run: () => void }[] = [];
  readonly chance: () => number;
  readonly #lag: readonly [number, number];
  loss = 0;
  networks: readonly string[] = testNetworks;
  maker: ((ring: Ring) => string | undefined) | undefined;
  now = 0;
  #order = 0;

  constructor(seed: number, lag: readonly [number, number] = [1, 30]) {
    this.chance = randomFrom(seed);
    this.#lag = lag;
  }

  async add(id: string): Promise<TestHost> {
    this.admitted.add(id);
    const host = new TestHost(this, id);
    this.hosts.set(id, host);
    await host.start();
    for (const other of this.hosts.keys()) {
      if (other === id) continue;
      this.fabric.deliver(other, id);
      this.fabric.deliver(id, other);
    }
    return host;
  }

  /** A host that `by` admits: known to whom its trust sheet comes. */
  async admit(by: string, id: string): Promise<TestHost> {
    await this.fabric.host(by).sheets.change('trust', (draft) => draft.put(id, true));
    const host = new TestHost(this, id);
    this.hosts.set(id, host);
    await host.start();
    this.fabric.deliver(by, id);
    return host;
  }

  host(id: string): TestHost {
    const host = this.hosts.get(id);
    if (!host) throw new Error(`no host ${id}`);
    return host;
  }

  /** Nothing passes from one to the other. */
  cut(from: string, to: string): void {
    this.#cut.add(`${from} ${to}`);
  }

  split(...sides: readonly (readonly string[])[]): void {
    for (const one of sides)
      for (const other of sides) if (one !== other) for (const a of one) for (const b of other) this.cut(a, b);
  }

  heal(): void {
    this.#cut.clear();
    for (const [id, { up }] of this.hosts) if (up) this.spread(id);
  }

  passes(from: string, to: string): boolean {
    return !this.#cut.has(`${from} ${to}`) && this.hosts.get(to)?.up === true && this.hosts.get(from)?.up === true;
  }

  reaches(from: string, to: string): boolean {
    return this.passes(from, to) && this.passes(to, from);
  }

  after(ms: number, run: () => void): void {
    this.#events.push({ at: this.now + ms, order: this.#order++, run });
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  delay(): number {
    const [least, most] = this.#lag;
    return least + this.chance() * (most - least);
  }

  pick<T>(list: readonly T[]): T {
    const one = list[Math.floor(this.chance() * list.length)];
    if (one === undefined) throw new Error('nothing to pick from');
    return one;
  }

  /** Copies what `from` holds to everyone it reaches, each copy late by itself or lost. */
  spread(from: string): void {
    const sheets = this.fabric.host(from).held();
    for (const to of this.hosts.keys()) if (to !== from) this.#send(from, to, sheets);
  }

  /** A host that starts compares with all that it reaches. */
  greet(id: string): void {
    for (const [other, { up }] of this.hosts)
      if (up && other !== id) this.#send(other, id, this.fabric.host(other).held());
    this.spread(id);
  }

  #send(from: string, to: string, sheets: readonly Sheet[]): void {
    if (this.chance() < this.loss) return;
    this.after(this.delay(), () => {
      if (!this.passes(from, to) || this.isOut(from, to)) return;
      this.fabric.host(to).take(from, sheets);
      this.host(to).heard();
    });
  }

  /** Whether `to` has heard that `from` is removed, and takes nothing from it directly. */
  isOut(from: string, to: string): boolean {
    return this.host(to)
      .standing.removals()
      .some(({ host }) => host === from);
  }

  /** Lets time pass. Everyone compares with somebody now and then. */
  async run(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#events.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#events[0];
      if (next === undefined || next.at > end) break;
      this.#events.shift();
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }

  /** Lets time pass until the work is done. */
  async until<T>(work: Promise<T>, most = 60_000): Promise<T> {
    let over = false;
    const done = work.finally(() => {
      over = true;
    });
    done.catch(() => undefined);
    const end = this.now + most;
    while (!over && this.now < end) await this.run(5);
    if (!over) throw new Error(`not done after ${most} ms`);
    return await done;
  }

  /** Everyone compares with everyone, until nothing is left to say. */
  async settle(): Promise<void> {
    for (let round = 0; round < 6; round++) {
      for (const from of this.hosts.keys()) {
        for (const to of this.hosts.keys()) {
          if (from === to || !this.passes(from, to) || this.isOut(from, to)) continue;
          this.fabric.deliver(from, to);
          this.host(to).heard();
        }
      }
      await this.run(50);
    }
  }
}

export class TestHost {
  readonly id: string;
  readonly #world: World;
  up = false;
  state: MeshState;
  #tending: Promise<void> | undefined;
  #again = false;
  /** Removals that have reached this host. */
  readonly #heardOf = new Set<Removal>();
  #life = 0;
  inUse = new Set<string>();
  /** Whether it may judge others lost yet. */
  judges = true;
  readonly #membersChanged = new Set<(changed: string | undefined) => void>();

  constructor(world: World, id: string) {
    this.#world = world;
    this.id = id;
    this.state = this.#open();
  }

  readonly standing = {
    admitted: (): ReadonlySet<string> => {
      const removed = new Set([...this.#heardOf].map(({ host }) => host));
      const later = this.#world.fabric
        .host(this.id)
        .sheets.list('trust')
        .flatMap(({ entries }) => [...entries.keys()]);
      return new Set([...this.#world.admitted, ...later].filter((host) => !removed.has(host)));
    },
    removals: (): readonly Removal[] => [...this.#heardOf],
  };

  learn(removal: Removal): void {
    this.#heardOf.add(removal);
    this.heard();
  }

  get allocator() {
    return this.state.allocator;
  }

  async start(): Promise<void> {
    this.up = true;
    this.state = this.#open();
    this.heard();
    await Promise.resolve();
  }

  /** The daemon is gone at once; what it was about to do does not happen. */
  crash(): void {
    this.up = false;
    this.#life++;
    this.state.close();
  }

  disk(): readonly Sheet[] {
    return this.#world.fabric.host(this.id).held();
  }

  /** Starts again; with a disk of earlier, after it has compared with `peers`. */
  async restart(disk?: readonly Sheet[]): Promise<void> {
    this.#world.fabric.host(this.id).restart(disk);
    this.up = true;
    if (disk) {
      for (const peer of this.#world.hosts.keys()) {
        if (peer !== this.id && this.#world.reaches(peer, this.id)) this.#world.fabric.deliver(peer, this.id);
      }
    }
    await this.start();
    this.#world.greet(this.id);
  }

  /** Who can be reached changed. */
  tellMembers(): void {
    for (const listener of this.#membersChanged) listener(undefined);
  }

  /** Something came: what follows is said, once for all that came meanwhile. */
  heard(): void {
    if (!this.up) return;
    for (const removal of this.#world.removals) {
      const from = [...this.#world.hosts.values()].some(
        (other) => other.#heardOf.has(removal) && (other === this || this.#world.passes(other.id, this.id)),
      );
      if (from) this.#heardOf.add(removal);
    }
    if (this.#tending) {
      this.#again = true;
      return;
    }
    const { state } = this;
    this.#tending = (async () => {
      do {
        this.#again = false;
        await state.tend();
      } while (this.#again && this.up);
    })()
      .catch((error: unknown) => {
        if (!(error instanceof Dead)) throw error;
      })
      .finally(() => {
        this.#tending = undefined;
      });
  }

  #stateOf(id: string): MemberState {
    if (id === this.id || this.#world.reaches(this.id, id)) return 'alive';
    return this.judges ? 'lost' : 'suspect';
  }

  #open(): MeshState {
    const world = this.#world;
    const life = this.#life;
    const raw = world.fabric.host(this.id).sheets;
    const alive = () => {
      if (life !== this.#life) throw new Dead();
    };
    const disk = new Disk(world, raw, alive);
    const sheets: Sheets = {
      self: this.id,
      read: (owner, scope) => raw.read(owner, scope),
      list: (scope) => raw.list(scope),
      change: (scope, edit) => disk.change(scope, edit),
      watch: (listener) => raw.watch(listener),
      follow: (networks) => raw.follow(networks),
    };
    const members: Members = {
      list: () => [...world.hosts.keys()].toSorted().map((id) => ({ id, state: this.#stateOf(id) })),
      state: (id) => (world.hosts.has(id) ? this.#stateOf(id) : undefined),
      watch: (listener) => {
        this.#membersChanged.add(listener);
        return () => this.#membersChanged.delete(listener);
      },
      compared: () => world.fabric.host(this.id).members.compared(),
    };
    const questions: Questions = {
      ask: async (host: string, question: Json) => {
        const away = () => new Refusal('unavailable', `host ${host} cannot be reached`);
        await world.pause(world.delay());
        alive();
        if (!world.passes(this.id, host) || world.isOut(this.id, host) || world.chance() < world.loss) throw away();
        const answer = await world
          .host(host)
          .state.answer(this.id, question)
          .catch(() => undefined);
        await world.pause(world.delay());
        alive();
        if (answer === undefined || !world.passes(host, this.id) || world.chance() < world.loss) throw away();
        return answer;
      },
    };
    raw.follow(world.networks);
    return openMeshState({
      ...{
        sheets,
        members,
        questions,
        standing: this.standing,
        founder: () => [...world.admitted].toSorted()[0],
        underlay: 4,
      },
      ...(world.maker && { maker: world.maker }),
      inUse: () => this.inUse,
      now: () => world.now,
      nonce: () => hex(`${world.chance()}`).slice(0, 32),
      pause: async (ms) => {
        await world.pause(ms);
        alive();
      },
    });
  }
}

/** Changes of sheets as a disk makes them: what is asked for while it is busy becomes one version, seen when it is written. */
class Disk {
  readonly #world: World;
  readonly #sheets: Sheets;
  readonly #alive: () => void;
  readonly #waiting = new Map<Scope, Edit[]>();

  constructor(world: World, sheets: Sheets, alive: () => void) {
    this.#world = world;
    this.#sheets = sheets;
    this.#alive = alive;
  }

  change<T>(scope: Scope, edit: (draft: Draft) => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = (editing: Editing) => {
      try {
        const result = editing.apply(edit);
        return () => resolve(result);
      } catch (error) {
        return () => reject(error);
      }
    };
    const waiting = this.#waiting.get(scope);
    waiting?.push({ run, fail: reject });
    if (waiting === undefined) {
      this.#waiting.set(scope, [{ run, fail: reject }]);
      void this.#write(scope);
    }
    return promise;
  }

  async #write(scope: Scope): Promise<void> {
    for (let batch = this.#waiting.get(scope) ?? []; batch.length > 0; batch = this.#waiting.get(scope) ?? []) {
      this.#waiting.set(scope, []);
      try {
        await this.#writeBatch(scope, batch);
      } catch (error) {
        for (const { fail } of batch) fail(error);
      }
    }
    this.#waiting.delete(scope);
  }

  async #writeBatch(scope: Scope, batch: readonly Edit[]): Promise<void> {
    const { self } = this.#sheets;
    this.#alive();
    const editing = new Editing(scope, this.#sheets.read(self, scope)?.entries ?? new Map(), 0);
    const done = batch.map(({ run }) => run(editing));
    await this.#world.pause(1 + (this.#world.chance() < 0.5 ? this.#world.chance() * 8 : 0));
    this.#alive();
    const { entries, keys } = editing.result();
    await this.#sheets.change(scope, (draft) => {
      for (const key of keys) {
        const json = entries.get(key);
        if (json === undefined) draft.delete(key);
        else draft.put(key, json);
      }
    });
    if (keys.length > 0) this.#world.spread(self);
    for (const tell of done) tell();
  }
}

interface Edit {
  /** @returns what to tell who asked once it is on disk */
  readonly run: (editing: Editing) => () => void;
  readonly fail: (error: unknown) => void;
}

/** A part of a host that died meanwhile wants to go on. */
export class Dead extends Error {}

export const testNetworks = ['one', 'two'].map(hex);

export function hex(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export function hostId(name: string): string {
  return hex(name).slice(0, 32);
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
