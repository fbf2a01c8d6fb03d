import assert from 'node:assert/strict';
import { silent } from '../../../lib/log.ts';
import type { Seal } from '../environment.ts';
import type { ChannelEvents } from '../link/channel.ts';
import type { Signer } from '../signing.ts';
import { clusterIdOf } from '../trust/genesis.ts';
import { Token } from '../trust/token.ts';
import { type FakeHost, fakeHost, fakeVerify } from '../trust/trust.testing.ts';
import { hex, randomFrom } from '../world.testing.ts';
import { type Cluster, charterOf, parseCharter } from './charter.ts';
import type { MetChannel } from './company.ts';
import { parseRoomRecord, type RoomRecord } from './record.ts';
import { type FirstCluster, openRoom, type Room } from './room.ts';

/** A token whose signatures cost nothing. */
export class CheapToken extends Token {
  override signer(): Signer {
    return fakeHost('the token').signer;
  }
}

export const cheapToken = new CheapToken(new Uint8Array(16));

/** What a test host has on its disk. */
interface TestDisk {
  waiting: RoomRecord | undefined;
  cluster: Cluster | undefined;
}

/** One end of a channel: frames come whole and in order, late, until it ends. */
export class TestChannel implements MetChannel {
  readonly peerKey: string;
  readonly dialled: boolean;
  readonly address: string;
  readonly #owner: TestHost;
  readonly #world: Hall;
  readonly #arrived: unknown[] = [];
  #events: ChannelEvents | undefined;
  #other: TestChannel | undefined;
  #last = 0;
  #closed: string | undefined;

  constructor(world: Hall, [owner, peer]: readonly [TestHost, TestHost], dialled: boolean) {
    this.#world = world;
    this.#owner = owner;
    this.peerKey = peer.fake.signer.key;
    this.address = peer.address;
    this.dialled = dialled;
  }

  static pair(world: Hall, from: TestHost, to: TestHost): readonly [TestChannel, TestChannel] {
    const [near, far] = [new TestChannel(world, [from, to], true), new TestChannel(world, [to, from], false)];
    near.#other = far;
    far.#other = near;
    return [near, far];
  }

  get closed(): string | undefined {
    return this.#closed;
  }

  allow(): void {}

  take(events: ChannelEvents | undefined): void {
    this.#events = events;
    this.#world.after(0, () => this.#read());
    if (this.#closed !== undefined) this.#tell();
  }

  send(frame: unknown): boolean {
    const world = this.#world;
    const text = JSON.stringify(frame);
    const isFull = world.chance() < (text.startsWith('{"t":"card"') ? world.full / 20 : world.full);
    if (this.#closed !== undefined || isFull) return false;
    this.#owner.judge(text);
    world.spy?.(text, this);
    world.carried += text.length;
    this.#last = Math.max(this.#last, world.now + world.delay());
    world.after(this.#last - world.now, () => this.#other?.receive(JSON.parse(text)));
    return true;
  }

  receive(frame: unknown): void {
    if (this.#closed !== undefined) return;
    this.#arrived.push(frame);
    this.#read();
  }

  close(why: string): void {
    if (this.#closed !== undefined) return;
    this.end(why);
    this.#world.after(this.#world.delay(), () => this.#other?.end(`the other side says: ${why}`));
  }

  /** Nothing that is under way arrives. */
  cut(): void {
    this.end('the connection failed');
    this.#other?.end('the connection failed');
  }

  end(why: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = why;
    this.#tell();
  }

  #read(): void {
    while (this.#events !== undefined && this.#closed === undefined && this.#arrived.length > 0)
      this.#events.received(this.#arrived.shift());
  }

  #tell(): void {
    const events = this.#events;
    this.#events = undefined;
    if (events) this.#world.after(0, () => events.closed(this.#closed ?? ''));
  }
}

/** A host that waits, and then runs as a member whose admin lets in whoever has the token, as long as that one is up. */
export class TestHost {
  readonly fake: FakeHost;
  readonly seal: Seal;
  readonly address: string;
  readonly disk: TestDisk = { waiting: undefined, cluster: undefined };
  readonly #world: Hall;
  readonly #targets: readonly TestHost[];
  /** Standings that were ever on its disk. */
  readonly #kept = new Set<string>();
  channels: TestChannel[] = [];
  room: Room | undefined;
  /** Which life it is; nothing of an earlier one does anything. */
  life = 0;
  up = false;
  token: Token = cheapToken;
  /** Whether its disk takes nothing. */
  refuses = false;
  /** Told before and after something is kept. */
  keeping: ((record: RoomRecord, isKept: boolean) => void) | undefined;

  constructor(world: Hall, name: string, targets: readonly TestHost[]) {
    this.fake = fakeHost(name);
    this.seal = { ...this.fake.signer, hash: hex, verify: fakeVerify };
    this.address = `${name}:1`;
    this.#world = world;
    this.#targets = targets;
  }

  get id(): string {
    return this.fake.id;
  }

  get cluster(): string | undefined {
    return this.disk.cluster && clusterIdOf(this.disk.cluster.genesis);
  }

  start(): void {
    if (this.up) return;
    this.up = true;
    this.life += 1;
    if (this.disk.cluster === undefined) this.#wait(this.life);
    this.#connect(this.life);
  }

  #wait(life: number): void {
    const world = this.#world;
    const isNow = () => this.up && this.life === life;
    const text = JSON.stringify(this.disk.waiting);
    let isDone = false;
    this.room = openRoom({
      ...{ seal: this.seal, token: this.token, name: this.fake.name, addresses: [this.address], log: silent },
      stored: text === undefined ? undefined : parseRoomRecord(JSON.parse(text)),
      facts: () => ({ ...facts, nonce: hex(`nonce ${world.chance()}`).slice(0, 32) }),
      clock: { now: () => world.now, after: (ms, task) => world.after(ms, () => isNow() && task()) },
      random: world.chance,
      dial: async (address, host) => await world.dial(this, world.at(address), host),
      save: (record) => this.#save(record, isNow),
      done: async (cluster) => {
        assert.ok(!isDone, 'it is done twice');
        if (this.refuses) throw new Error('the disk is full');
        isDone = true;
        world.after(world.delay(), () => isNow() && this.#leave(cluster));
      },
    });
  }

  #save(record: RoomRecord, isNow: () => boolean): Promise<void> {
    const world = this.#world;
    this.keeping?.(record, false);
    return new Promise((resolve, reject) => {
      world.after(world.delay(), () => {
        if (!isNow()) return;
        if (this.refuses || world.chance() < world.full) {
          reject(new Error('the disk is full'));
          return;
        }
        this.disk.waiting = JSON.parse(JSON.stringify(record));
        const { standing } = record;
        this.#kept.add(
          standing.kind === 'member' ? `joined ${standing.genesis.id}` : `promise ${standing.promised?.genesis.id}`,
        );
        this.keeping?.(record, true);
        world.after(world.delay(), () => isNow() && resolve());
      });
    });
  }

  /** What it says it does must have been on its disk. */
  judge(said: string): void {
    const [, from, kind, id] = /"from":"(\w+)".*"kind":"(promise|joined)","genesis":\{"id":"(\w+)"/.exec(said) ?? [];
    if (from === this.id)
      assert.ok(this.#kept.has(`${kind} ${id}`), `${this.fake.name} says ${kind} and did not keep it`);
  }

  #leave({ genesis, sheets }: FirstCluster | Cluster): void {
    const { trust } = parseCharter({ genesis, sheets }, this.seal);
    assert.equal(trust.hosts.get(this.id)?.key, this.seal.key, 'it leaves for a cluster that does not let it in');
    assert.equal(trust.token?.key, cheapToken.signer().key, 'the token works no more');
    this.disk.cluster = { genesis, sheets };
    this.#world.left.push({ host: this, cluster: trust.cluster });
    this.room?.close();
    this.room = undefined;
  }

  #connect(life: number): void {
    const world = this.#world;
    if (!this.up || this.life !== life) return;
    const linked = new Set(this.room?.known().flatMap((host) => (host.linked ? [host.id] : [])));
    for (const target of this.#targets) if (!linked.has(target.id)) void world.dial(this, target, target.id);
    world.after(250 + 250 * world.chance(), () => this.#connect(life));
  }

  die(): void {
    this.up = false;
    this.room = undefined;
    for (const channel of this.channels) channel.cut();
    this.channels = [];
  }
}

const facts = { created: '2026-11-20T18:00:00.000Z', dataPort: 4789, underlay: 4 } as const;

/** Hosts that wait, in one process, with time and chance from a seed. */
export class Hall {
  readonly hosts: TestHost[] = [];
  readonly chance: () => number;
  /** Who left for which cluster, in order. */
  readonly left: { readonly host: TestHost; readonly cluster: string }[] = [];
  /** How often nothing more is taken: by a channel, or by a disk. */
  full = 0;
  lag: readonly [number, number] = [1, 30];
  now = 0;
  /** Told of each frame as it is sent. */
  spy: ((text: string, by: TestChannel) => void) | undefined;
  /** Characters that went over channels. */
  carried = 0;
  readonly #cuts = new Set<string>();
  readonly #blocked = new Set<string>();
  #events: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  #order = 0;

  constructor(seed: number) {
    this.chance = randomFrom(seed);
  }

  add(targets: readonly TestHost[] = []): TestHost {
    const host = new TestHost(this, `h${this.hosts.length + 1}-${hex(String(this.chance())).slice(0, 6)}`, targets);
    this.hosts.push(host);
    return host;
  }

  at(address: string): TestHost | undefined {
    return this.hosts.find((host) => host.address === address);
  }

  pick(): TestHost {
    const host = this.hosts[Math.floor(this.chance() * this.hosts.length)];
    assert.ok(host);
    return host;
  }

  delay(): number {
    const [least, most] = this.lag;
    return least + this.chance() * (most - least);
  }

  after(ms: number, run: () => void): () => void {
    const event = { at: this.now + ms, order: this.#order++, run };
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#events[middle];
      if (other && (other.at > event.at || (other.at === event.at && other.order > event.order))) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
    return () => {
      this.#events = this.#events.filter((one) => one !== event);
    };
  }

  async run(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const next = this.#events.at(-1);
      if (next === undefined || next.at > end) break;
      this.#events.pop();
      this.now = Math.max(this.now, next.at);
      next.run();
      // What follows of promises that were kept.
      for (let turn = 0; turn < 4; turn += 1) await Promise.resolve();
    }
    this.now = end;
  }

  /** Neither reaches the other any more. */
  cut(one: TestHost, other: TestHost): void {
    this.#cuts.add(pairOf(one, other));
    for (const channel of one.channels) if (channel.peerKey === other.seal.key) channel.cut();
  }

  /** `from` cannot open a channel to `to`, as between the two is a firewall. */
  block(from: TestHost, to: TestHost): void {
    this.#blocked.add(`${from.id} ${to.id}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** Never throws. */
  async dial(from: TestHost, to: TestHost | undefined, host: string): Promise<void> {
    const life = from.life;
    await new Promise<void>((resolve) => this.after(3 * this.delay(), resolve));
    if (to === undefined || to.id !== host || !to.up || !from.up || from.life !== life) return;
    if (from === to || this.#blocked.has(`${from.id} ${to.id}`) || this.#cuts.has(pairOf(from, to))) return;
    if (from.room !== undefined && to.room !== undefined) {
      const [near, far] = TestChannel.pair(this, from, to);
      from.channels.push(near);
      to.channels.push(far);
      from.room.met(near);
      to.room.met(far);
    } else if (from.room !== undefined) this.#join(from, to);
    else if (to.room !== undefined) this.#join(to, from);
  }

  /** A member shows what it holds to a host that was let in already; another its admin lets in. */
  #join(joiner: TestHost, member: TestHost): void {
    const { cluster } = member.disk;
    const admin = this.hosts.find(({ up, seal }) => up && seal.key === cluster?.genesis.founder);
    if (cluster === undefined) return;
    let text = JSON.stringify(cluster);
    if (!text.includes(joiner.seal.key)) {
      if (admin === undefined || admin.cluster !== member.cluster) return;
      const inIt = [...this.hosts.filter((host) => host.cluster === member.cluster), joiner];
      const hosts = inIt.map(({ fake, seal }) => ({ key: seal.key, name: fake.name }));
      const needs = { hosts, token: cheapToken.signer(), seal: admin.seal, n: 1000 };
      text = JSON.stringify(charterOf(cluster.genesis, needs));
    }
    joiner.room?.learn(JSON.parse(text));
  }

  clusters(): ReadonlySet<string> {
    return new Set(this.hosts.map(({ cluster }) => cluster ?? 'waiting'));
  }
}

function pairOf(one: TestHost, other: TestHost): string {
  return [one.id, other.id].toSorted().join(' ');
}
