import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { Beginning, type Genesis as Begun, type Message, mostWaiting, type Standing, times } from '../beginning.ts';
import { Buckets } from '../bucket.ts';
import type { Clock, Seal } from '../environment.ts';
import { clusterIdOf, found, type Genesis } from '../trust/genesis.ts';
import type { Token } from '../trust/token.ts';
import { Calls } from './calls.ts';
import type { Cluster } from './charter.ts';
import { Charters, type Known } from './charters.ts';
import { Company, type MetChannel } from './company.ts';
import type { Body } from './messages.ts';
import { grouped, Outbox, type State } from './outbox.ts';
import type { RoomRecord } from './record.ts';

/**
 * Where hosts wait that have a token and no cluster: they meet here, found a cluster together, and leave as its members.
 *
 *     openRoom({ …, stored })           with the last record that `save` was given, if there is one
 *     a greeting ended with `met`       room.met(channel), whoever dialled
 *     a greeting learnt a cluster       room.learn({ genesis, sheets }): a host that runs let this one in by its claim
 *     done(cluster)                     commit it, close the room, and go on as a member
 *
 * The daemon dials what people told it to. The room dials whom it hears of, by `dial`; the daemon greets on such channels as
 * on all others: as a waiting host with the room's token. It closes links that a greeting opened; `done` says when to go on.
 *
 * A cluster leaves the room begun: its founder when most of the hosts with which it was founded have joined, the others when
 * they hear that. Who does not hear it finds the founder or another member as hosts that run, and is let in by its claim, as
 * the token goes on to work. So clusters that have not begun meet in rooms only. A token that a cluster made founds no other:
 * then the room only spreads addresses, until a member answers at one.
 */
export interface Room {
  /** Takes on a channel whose greeting ended with `met`: it is the room's. */
  met(channel: MetChannel): void;
  /** A cluster that runs has let this host in. Answers whether this host goes with it; then `done` follows. */
  learn(cluster: Cluster): boolean;
  /** The others that wait, as far as they are heard of, in the order of their ids. */
  known(): readonly WaitingHost[];
  /** What stands in the way now, for people. */
  problem(): string | undefined;
  /** Ends the channels, and says nothing more. May be called twice. */
  close(): void;
}

export interface WaitingHost {
  readonly id: string;
  readonly name: string;
  readonly addresses: readonly string[];
  /** Whether there is a way to it, directly or through others. */
  readonly reached: boolean;
  /** Whether there is a channel to it: it need not be dialled. */
  readonly linked: boolean;
}

export interface FirstCluster extends Cluster {
  /** Where the others were when this host left, by id: not all may know yet how it ended. */
  readonly hosts: ReadonlyMap<string, readonly string[]>;
}

export interface RoomOptions {
  readonly seal: Seal;
  readonly token: Token;
  readonly name: string;
  /** Where this host takes links. */
  readonly addresses: readonly string[];
  readonly stored?: RoomRecord | undefined;
  /** Of a cluster that this host founds. Asked for each time, so that each one has a nonce of its own. */
  readonly facts: () => Pick<Genesis, 'created' | 'nonce' | 'dataPort' | 'underlay'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Resolves when the attempt to reach this host there has ended, in whatever way. */
  readonly dial: (address: string, host: string) => Promise<void>;
  /** Resolves when it is on disk. One is asked for at a time. */
  readonly save: (record: RoomRecord) => Promise<void>;
  /** Resolves when the cluster is on disk; asked for again after a while when it rejects. */
  readonly done: (cluster: FirstCluster) => Promise<void>;
}

/** Milliseconds between two looks at how things stand, more where there are many to tell; and until the disk is tried again. */
const pace = { least: 200, perHost: 4, again: 1_000 } as const;
/** Until a charter is asked for again, in milliseconds. */
const patience = 1_000;
/** Charters that are read and sent for one host: that takes long. */
const charterRate = { burst: 4, perSecond: 2 } as const;

export function openRoom(options: RoomOptions): Room {
  return new Waiting(options);
}

/** Carries what `Beginning` says, and shows what it speaks of. */
class Waiting implements Room {
  readonly #options: RoomOptions;
  /** Public key of the token. */
  readonly #token: string;
  readonly #company: Company;
  readonly #calls: Calls;
  readonly #charters: Charters;
  readonly #beginning: Beginning;
  readonly #bothers = new Buckets(charterRate, mostWaiting);
  readonly #asked = new Map<string, number>();
  /** Where hosts are, also those that this host knew in an earlier life. */
  readonly #hosts: Map<string, readonly string[]>;
  #changes = 0;
  /** What this host proposed last. */
  #draft: Genesis | undefined;
  readonly #outbox: Outbox;
  #unkept: string | undefined;
  /** The cluster that this host had founded and begun when it died: others may run in it, or may have given it up. */
  readonly #vowed: string | undefined;
  #isDone = false;
  #closed = false;

  constructor(options: RoomOptions) {
    this.#options = options;
    const { seal, clock, log, name, addresses, random, dial } = options;
    const token = options.token.signer();
    this.#token = token.key;
    const stored = options.stored?.token === token.key ? options.stored : undefined;
    this.#hosts = new Map(Object.entries(stored?.hosts ?? {}));
    this.#company = new Company({
      ...{ seal, clock, log, token, name, addresses },
      changed: () => this.#changed(),
      received: (from, body) => this.#received(from, body),
    });
    const { self } = this.#company;
    this.#charters = new Charters({ self, seal, token });
    if (stored?.charter !== undefined) this.#charters.keep(stored.charter);
    const standing = again(stored?.standing, { self, now: clock.now() });
    if (standing !== stored?.standing && standing.kind === 'member') this.#vowed = standing.genesis.id;
    this.#beginning = new Beginning({
      ...{ self, standing },
      found: (view) => this.#found(view),
      mayJoin: (id) => this.#mayJoin(id),
    });
    this.#outbox = new Outbox({
      save: (state) => this.#save(state),
      send: (to, body) => this.#company.send(to, body),
      kept: (state) => this.#kept(state),
      refused: (error) => this.#refused(error),
    });
    this.#calls = new Calls({
      ...{ self, clock, seal, random, dial },
      addresses: () => this.#hosts,
      has: (host) => this.#company.has(host),
    });
    this.#calls.start();
    this.#tick();
  }

  met(channel: MetChannel): void {
    this.#company.met(channel);
  }

  learn({ genesis, sheets }: Cluster): boolean {
    const { admits, begun } = this.#charters.keep({ genesis, sheets });
    if (!admits || !this.#mayJoin(begun.id) || !this.#beginning.enter(begun)) return false;
    this.#flush();
    return true;
  }

  known(): readonly WaitingHost[] {
    const cards = [...this.#company.cards()].toSorted(([one], [other]) => (one < other ? -1 : 1));
    return cards.map(([id, { name, addresses }]) => {
      return { id, name, addresses, reached: this.#company.reaches(id), linked: this.#company.has(id) };
    });
  }

  problem(): string | undefined {
    if (this.#unkept !== undefined) return `what this host agrees to cannot be kept on disk: ${this.#unkept}`;
    const { standing } = this.#beginning;
    if (standing.kind === 'waiting' || standing.begun) return undefined;
    const { id, founder } = standing.genesis;
    if (id === this.#vowed)
      return `this host founded a cluster and stopped before it knew who is in it: it goes on when it reaches most of the ${standing.genesis.view.length} hosts; skein reset makes it a new one`;
    if (founder === this.#company.self || this.#company.reaches(founder)) return undefined;
    const who = this.#company.cards().get(founder)?.name ?? founder;
    return `${who} founded a cluster with this host and does not answer: after ${times.founder / 1000} s another is founded without it`;
  }

  close(): void {
    this.#closed = true;
    this.#outbox.close();
    this.#calls.close();
    this.#company.close();
  }

  get #founds(): boolean {
    return this.#options.token.fingerprint === undefined;
  }

  #tick(): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    if (this.#founds) {
      this.#beginning.tick(clock.now());
      this.#beginning.begin(clock.now());
    }
    this.#flush();
    clock.after(Math.max(pace.least, pace.perHost * this.#company.cards().size), () => this.#tick());
  }

  #changed(): void {
    const cards = this.#company.cards();
    for (const [id, { addresses }] of cards) {
      if (this.#hosts.get(id)?.join() === addresses.join()) continue;
      const gone = [...this.#hosts.keys()].find((host) => !cards.has(host));
      if (this.#hosts.size >= mostWaiting && gone !== undefined) this.#hosts.delete(gone);
      this.#hosts.set(id, addresses);
      this.#changes += 1;
    }
    if (this.#founds) this.#beginning.see(this.#company.reached(), this.#options.clock.now());
    this.#flush();
  }

  #received(from: string, body: Body): void {
    if (!this.#founds) return;
    if (body.t === 'beginning') this.#hear(from, body.message);
    else if (body.t === 'want') this.#answer(from, body.cluster);
    else if (this.#mayBother(from)) this.#charters.keep(body.charter);
    this.#flush();
  }

  #hear(from: string, message: Message): void {
    const { genesis } = message;
    const known = genesis && this.#charters.get(genesis.id);
    if (genesis !== undefined && known?.admits !== true && this.#wants(message.kind, genesis)) {
      const to = this.#company.reaches(genesis.founder) ? genesis.founder : from;
      this.#outbox.push({ to: [to], body: { t: 'want', cluster: genesis.id } });
    }
    // Of a cluster that was shown counts what its founder signed.
    this.#beginning.hear(from, known ? { ...message, genesis: known.begun } : message, this.#options.clock.now());
  }

  /** Who founded a cluster leaves it for another only when it knows that nobody is left in it. */
  #mayJoin(id: string): boolean {
    const known = this.#charters.get(id);
    const vowed = this.#vowed === undefined || this.#vowed === id ? undefined : this.#charters.get(this.#vowed);
    return known?.admits === true && (vowed?.begun.view.every((host) => known.hosts.has(host)) ?? true);
  }

  /** Whether this host would join the cluster if it were shown it, and has not just asked for that. */
  #wants(kind: Message['kind'], { id }: Begun): boolean {
    if (kind !== 'here' && kind !== 'founded' && kind !== 'met' && kind !== 'moved') return false;
    const { standing } = this.#beginning;
    if (standing.kind === 'member' && (standing.begun || standing.genesis.id === id)) return false;
    const now = this.#options.clock.now();
    if (now - (this.#asked.get(id) ?? Number.NEGATIVE_INFINITY) < patience) return false;
    if (this.#asked.size >= mostWaiting) this.#asked.clear();
    this.#asked.set(id, now);
    return true;
  }

  /** Shows a cluster to a host that would join it. Whom its founder has not let in yet it lets in now. */
  #answer(from: string, id: string): void {
    const known = this.#charters.get(id);
    if (known === undefined || !this.#mayBother(from)) return;
    const { standing } = this.#beginning;
    const isOpen = standing.kind === 'member' && standing.genesis.id === id && !standing.begun;
    const isOwn = known.begun.founder === this.#company.self;
    const newest = isOwn && isOpen && !known.hosts.has(from) ? this.#write(known.cluster.genesis, [from]) : known;
    this.#show(newest, [from]);
  }

  /** Whether there was not too much of it lately. */
  #mayBother(from: string): boolean {
    const [bucket, now] = [this.#bothers.of(from), this.#options.clock.now()];
    const may = bucket.left(now) >= 1;
    if (may) bucket.take(1, now);
    return may;
  }

  #show({ cluster: { genesis, sheets } }: Known, to: readonly string[]): void {
    this.#outbox.push({ to, body: { t: 'charter', charter: { genesis, sheets } } });
  }

  #found(view: readonly string[]): Begun {
    const { facts, seal } = this.#options;
    this.#draft = found({ ...facts(), view: [...view] }, seal);
    return { id: clusterIdOf(this.#draft), founder: this.#company.self, view };
  }

  #write(genesis: Genesis, hosts: readonly string[]): Known {
    const cards = this.#company.cards();
    const admitted = hosts.flatMap((id) => {
      const card = cards.get(id);
      return card === undefined ? [] : ([[id, { key: card.key, name: card.name }]] as const);
    });
    return this.#charters.write(genesis, new Map(admitted));
  }

  /** What this host belongs to; the first look at its own cluster makes the charter, and shows it to those it names. */
  #charter(standing: Standing): Cluster | undefined {
    if (standing.kind === 'waiting') return undefined;
    const { id, founder, view } = standing.genesis;
    const known = this.#charters.get(id);
    if (known !== undefined || founder !== this.#company.self || this.#draft === undefined) return known?.cluster;
    const first = this.#write(this.#draft, view);
    const others = view.filter((host) => host !== founder);
    this.#show(first, others);
    return first.cluster;
  }

  #flush(): void {
    const { standing } = this.#beginning;
    const charter = this.#charter(standing);
    this.#outbox.push(...grouped(this.#beginning.take()));
    this.#outbox.flush({ standing, charter, changes: this.#changes });
  }

  async #save({ standing, charter }: State): Promise<void> {
    // Who leaves keeps the cluster itself, and of this room nothing.
    if (this.#isDone) return;
    const hosts = Object.fromEntries([...this.#hosts].map(([id, addresses]) => [id, [...addresses]]));
    const isVowed = standing.kind === 'member' && standing.genesis.id === this.#vowed;
    const record = { token: this.#token, standing: isVowed ? { ...standing, begun: true } : standing, hosts };
    await this.#options.save({ ...record, ...(charter && { charter }) });
  }

  /** Leaves, once it is on disk that the cluster has begun. */
  #kept({ standing, charter }: State): void {
    const isIn = standing.kind === 'member' && standing.begun && this.#charters.get(standing.genesis.id)?.admits;
    if (isIn !== true || charter === undefined) this.#unkept = undefined;
    else if (!this.#isDone) this.#leave(charter);
  }

  #leave(charter: Cluster): void {
    this.#isDone = true;
    this.#options.done({ ...charter, hosts: new Map(this.#hosts) }).catch((error: unknown) => {
      this.#refused(error);
      this.#options.clock.after(pace.again, () => {
        this.#isDone = false;
      });
    });
  }

  #refused(error: unknown): void {
    if (this.#unkept === undefined) this.#options.log.warn('what a waiting host agrees to was not kept', { error });
    this.#unkept = messageOf(error);
  }
}

/**
 * How things stand after a start. A promise is kept as long as ever: nobody knows how long it was kept before. The founder
 * of a cluster that had begun does not know who heard it, and begins again.
 */
function again(standing: Standing = { kind: 'waiting' }, { self, now }: { self: string; now: number }): Standing {
  if (standing.kind === 'member') {
    return standing.begun && standing.genesis.founder === self ? { ...standing, begun: false } : standing;
  }
  if (standing.promised === undefined) return standing;
  return { kind: 'waiting', promised: { ...standing.promised, until: now + times.promise } };
}
