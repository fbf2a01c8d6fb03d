import { ParseError } from '../../lib/errors.ts';
import { Asks } from './asks.ts';
import { Bulletin } from './bulletin.ts';
import { type Connection, Connections } from './connections.ts';
import type { Clock, Environment, Link, MeshEvents, StoredSheet } from './environment.ts';
import { Followers } from './followers.ts';
import { networkOf } from './head.ts';
import { hostKeys, listIn } from './host-sheet.ts';
import { Interest } from './interest.ts';
import { Liveness } from './liveness.ts';
import { type LinkMessage, most, parseDatagram, parseLinkMessage, type RoutedMessage, type Want } from './messages.ts';
import { Own } from './own.ts';
import type { Way } from './probes.ts';
import type { Questions } from './questions.ts';
import { Repair } from './repair.ts';
import { Routes } from './routes.ts';
import type { Json, Members, Scope, Sheet, SheetChange, Sheets } from './sheets.ts';
import { Shelf } from './shelf.ts';
import { Spread } from './spread.ts';
import { Topology } from './topology.ts';

export interface MeshOptions {
  /** This host's id. */
  readonly self: string;
  /**
   * Of this life: higher than in any before, also in those that a rolled-back disk does not know of; the seconds of the
   * wall clock, where they are more than the last one plus one, are so but for an unlikely accident.
   */
  readonly epoch: number;
  /** Where this host takes links. */
  readonly addresses: readonly string[];
  /** Addresses given by hand. */
  readonly targets: readonly string[];
  /** Whether to have links with hosts that others name. */
  readonly discovery: boolean;
  readonly stored: readonly StoredSheet[];
  /** Whether this host has said nothing in this cluster before: then there is nobody to ask what it had said. */
  readonly fresh?: boolean;
  /** Answers what others ask the parts above. @throws ParseError, Refusal */
  readonly answer: (from: string, question: Json) => Promise<Json>;
}

/** Milliseconds. */
const pace = {
  /** For which a host that knows of others waits for one of them before it says something. */
  recovery: 5_000,
  /** In which changes of links are gathered before they are told. */
  neighbours: 1_000,
} as const;

/** One host of the mesh. It does nothing but in answer to calls and timers, and nothing that waits. */
export class Mesh implements MeshEvents {
  readonly sheets: Sheets;
  readonly members: Members;
  readonly questions: Questions;
  readonly #asks: Asks;
  readonly #environment: Environment;
  readonly #self: string;
  readonly #shelf: Shelf;
  readonly #own: Own;
  readonly #interest: Interest;
  readonly #spread: Spread;
  readonly #repair: Repair;
  readonly #liveness: Liveness;
  readonly #connections: Connections;
  readonly #topology: Topology;
  readonly #followers: Followers;
  readonly #routes: Routes;
  readonly #compared = new Set<string>();
  readonly #met = new Set<string>();
  /** Those with a link who were known to belong to the cluster. */
  readonly #admitted = new Set<string>();
  readonly #memberListeners = new Set<(changed: string | undefined) => void>();
  #targets: readonly string[];
  readonly #fresh: boolean;
  #telling = false;
  #closed = false;

  constructor(environment: Environment, options: MeshOptions) {
    const { self, epoch, stored, fresh = false } = options;
    this.#fresh = fresh;
    const { random, seal, trust, disk, links, datagrams } = environment;
    const clock: Clock = {
      now: () => environment.clock.now(),
      after: (ms, task) => environment.clock.after(ms, () => this.#closed || task()),
    };
    this.#environment = { ...environment, clock };
    this.#self = self;
    this.#targets = options.targets;
    const lives = (host: string) => ['alive', 'suspect'].includes(this.#liveness.state(host));
    const peers = () => this.#connections.peers();
    const shelf = new Shelf({ seal, trust, disk, clock, lives }, stored);
    this.#shelf = shelf;
    this.#routes = new Routes(self, (host) =>
      host === self ? [...this.#connections.peers()] : this.#list(host, 'neighbours'),
    );
    const send = (peer: string, message: LinkMessage) => this.#connections.send(peer, message);
    const route = (peer: string, message: RoutedMessage) => void this.#send(peer, message);
    this.#asks = new Asks(
      {
        ...{ self, clock, seal, trust, answer: options.answer },
        send: (to, message) => this.#send(to, message),
        isLinked: (host) => this.#connections.has(host),
      },
      epoch,
    );
    this.questions = this.#asks;
    const holds = (scope: Scope) => this.#interest.holds(scope);
    const liar = (peer: string, why: string) => this.#shun(peer, why);
    this.#interest = new Interest({ self, clock, shelf }, (held, before) => this.#interestChanged(held, before));
    this.#followers = new Followers({
      ...{ self, random, shelf, lives, peers },
      followed: () => this.#interest.networks,
    });
    this.#topology = new Topology({
      ...{ self, clock, seal },
      members: () => this.#liveness.members(),
      unreachable: () => this.#connections.unreachable(),
    });
    this.#own = new Own(
      {
        ...{ self, cluster: trust.cluster, seal, disk, shelf },
        said: (sheet) => this.#spread.said(sheet),
        recalled: (sheet) => this.#recalled(sheet),
      },
      epoch,
    );
    this.#spread = new Spread({
      ...{ self, clock, shelf, own: this.#own, peers, send, holds, liar },
      heldBy: (peer, scope) => this.#followers.holds(peer, scope),
      askFar: (want) => this.#askFar(want),
      remind: (owner, update) => this.#send(owner, { t: 'gave', updates: [update], done: false }),
    });
    this.#repair = new Repair({
      ...{ clock, random, shelf, spread: this.#spread, holds, liar, send: route },
      followers: this.#followers,
      settled: () => this.#own.begun,
      compared: (peer, settled) => this.#hasCompared(peer, settled),
      lifeHash: () => this.#liveness.hash(),
      lifeDiffers: (peer) => {
        for (const news of this.#liveness.all()) send(peer, { t: 'news', news });
      },
    });
    const bulletin = new Bulletin({ clock, peers, send });
    this.#liveness = new Liveness(
      {
        ...{ self, clock, random, seal, trust, route },
        datagram: (to, message) => datagrams.send(to, message),
        tell: (news, except) => bulletin.tell(news, except),
        changed: (id) => this.#membersChanged(id),
      },
      this.#own.epoch,
    );
    this.#connections = new Connections({
      ...{ self, clock, random, links },
      targets: () => this.#targets,
      wanted: () => (options.discovery ? this.#topology.wanted() : new Set()),
      isMember: (host) => options.discovery && shelf.read(host, 'host') !== undefined,
      addressesOf: (host) => this.#list(host, 'addresses'),
      opened: (link) => this.#opened(link),
      closed: (peer) => this.#linkClosed(peer),
    });
    this.sheets = {
      self,
      read: (owner, scope) => shelf.read(owner, scope),
      list: (scope) => [...shelf.within(scope).values()].sort((one, other) => (one.owner < other.owner ? -1 : 1)),
      change: (scope, edit) => this.#own.change(scope, edit),
      watch: (listener) => shelf.watch(listener),
      follow: (networks) => this.#interest.follow(networks),
    };
    this.members = {
      list: () => this.#liveness.members(),
      state: (id) => (this.#liveness.knows(id) ? this.#liveness.state(id) : undefined),
      watch: (listener) => {
        this.#memberListeners.add(listener);
        return () => this.#memberListeners.delete(listener);
      },
      compared: () => this.#compared,
    };
    shelf.watch((change) => this.#sheetChanged(change));
    this.#liveness.keep(this.#known());
    this.#say('addresses', options.addresses);
    this.#interest.start();
  }

  /** Begins to dial and to ask. */
  start(): void {
    const { clock } = this.#environment;
    this.#liveness.start();
    this.#repair.start();
    this.#connections.start();
    if (this.#fresh || (this.#known().size <= 1 && this.#targets.length === 0)) this.#begin();
    else clock.after(pace.recovery, () => this.#begin());
  }

  /** The addresses that are dialled whoever is there: exactly these. */
  setTargets(targets: readonly string[]): void {
    this.#targets = targets;
  }

  /** The links, and what is done to have more. */
  connections(): readonly Connection[] {
    return this.#connections.list();
  }

  /** Who answered at a target the last time. */
  behind(target: string): string | undefined {
    return this.#connections.behind(target);
  }

  /** How a host answers to datagrams; undefined when it was not asked lately. */
  way(host: string): Way | undefined {
    return this.#liveness.way(host);
  }

  /** Ends all links and does nothing any more. May be called twice. */
  close(): void {
    this.#closed = true;
    for (const peer of [...this.#connections.peers()]) this.#connections.drop(peer, 'the daemon ends');
  }

  /** Tells the others that this host goes. */
  leave(): void {
    this.#liveness.leave();
  }

  /** All of a scope with what proves it: for a host that has no link yet. */
  shown(scope: Scope): readonly StoredSheet[] {
    return [...this.#shelf.within(scope).values()].map(({ head, entries }) => ({ head, entries: [...entries] }));
  }

  /** Who may say what has changed otherwise than by a trust sheet. */
  trustChanged(): void {
    const { trust } = this.#environment;
    this.#shelf.drop(
      ({ owner, scope, version }) => owner !== this.#self && trust.keyFor(owner, scope, version) === undefined,
    );
    for (const peer of [...this.#connections.peers()]) this.#judgePeer(peer);
  }

  /**
   * Ends the link with who does not belong to the cluster any more. Of whom it was never known that it does, that is on
   * its way.
   */
  #judgePeer(peer: string): void {
    if (this.#environment.trust.keyFor(peer, 'host', [0, 0]) !== undefined) this.#admitted.add(peer);
    else if (this.#admitted.delete(peer)) this.#connections.drop(peer, 'was removed from the cluster');
  }

  // What the world tells.

  accepted(link: Link): void {
    if (this.#closed) link.close('the daemon ends');
    else if (this.#topology.shuns(link.peer)) link.close('passed on what was forged');
    else this.#connections.open(link);
  }

  received(link: Link, frame: unknown): void {
    if (!this.#connections.holds(link)) return;
    try {
      this.#liveness.hears(link.peer);
      this.#receive(link.peer, parseLinkMessage(frame));
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#shun(link.peer, error.message);
    }
  }

  drained(link: Link): void {
    if (this.#connections.drained(link)) this.#repair.sync(link.peer);
  }

  closed(link: Link, why: string): void {
    this.#environment.log.debug('a link ended', { peer: link.peer, why });
    this.#connections.close(link);
  }

  datagram(from: string, message: unknown): void {
    if (this.#closed) return;
    try {
      this.#liveness.datagram(from, parseDatagram(message));
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#environment.log.warn('a datagram is not understood', { peer: from, why: error.message });
    }
  }

  // Messages.

  #receive(from: string, message: LinkMessage): void {
    switch (message.t) {
      case 'push':
        this.#spread.push(from, message);
        return;
      case 'have':
        this.#spread.have(from, message);
        return;
      case 'graft':
        this.#spread.graft(from, message);
        return;
      case 'eager':
        this.#spread.eager(from, message);
        return;
      case 'prune':
        this.#spread.prune(from, message);
        return;
      case 'news': {
        const news = this.#liveness.hear(message.news, from);
        if (news.length > 0) this.#connections.send(from, { t: 'news', news });
        return;
      }
      case 'route':
        this.#route(from, message);
        return;
      case 'call':
      case 'answer':
        this.#liveness.called(from, message);
        return;
      case 'ask':
      case 'said':
        this.#asks.receive(from, message, false);
        return;
      case 'sync':
      case 'synced':
      case 'marks':
      case 'want':
      case 'gave': {
        const wrong = this.#repair.receive(from, message);
        if (wrong !== undefined) this.#shun(from, wrong);
      }
    }
  }

  /** Who forwards may have made it up: what comes so proves itself, and nobody is blamed for it. */
  #route(from: string, { to, from: origin, hops, body }: Extract<LinkMessage, { t: 'route' }>): void {
    if (origin === this.#self) return;
    if (to !== this.#self) {
      const next = this.#routes.next(to);
      if (next === undefined || next === from || hops === 0) return;
      this.#connections.send(next, { t: 'route', to, from: origin, hops: hops - 1, body });
      return;
    }
    if (body.t === 'call' || body.t === 'answer') this.#liveness.called(origin, body);
    else if (body.t === 'ask' || body.t === 'said') this.#asks.receive(origin, body, true);
    else this.#repair.receive(origin, body);
  }

  /** False when there is no way. */
  #send(to: string, body: RoutedMessage): boolean {
    if (this.#connections.has(to)) {
      this.#connections.send(to, body);
      return true;
    }
    const next = this.#routes.next(to);
    if (next === undefined) return false;
    this.#connections.send(next, { t: 'route', to, from: this.#self, hops: most.hops, body });
    return true;
  }

  #shun(peer: string, why: string): void {
    this.#environment.log.warn('a peer is not listened to for a while', { peer, why });
    this.#topology.shun(peer);
    this.#connections.drop(peer, why);
  }

  // Links.

  #opened(link: Link): void {
    const { peer, dialled } = link;
    this.#judgePeer(peer);
    this.#liveness.hears(peer);
    this.#linksChanged();
    // What was asked of it another way may never be answered.
    this.#repair.closed(peer);
    const news = this.#liveness.own();
    this.#connections.send(peer, { t: 'news', news: [news] });
    // One comparison serves both, but for who must know when it is done.
    if (dialled || !this.#own.begun) this.#repair.sync(peer);
  }

  #linkClosed(peer: string): void {
    this.#admitted.delete(peer);
    this.#spread.closed(peer);
    this.#repair.closed(peer);
    this.#linksChanged();
    this.#liveness.doubt(peer);
  }

  #linksChanged(): void {
    this.#routes.changed();
    if (this.#telling) return;
    this.#telling = true;
    this.#environment.clock.after(pace.neighbours, () => {
      this.#telling = false;
      const neighbours = [...this.#connections.peers()].sort();
      this.#say('neighbours', neighbours);
    });
  }

  // Sheets.

  #known(): Set<string> {
    return new Set([this.#self, ...this.#shelf.within('host').keys()]);
  }

  #list(host: string, key: keyof typeof hostKeys): readonly string[] {
    return listIn(this.#shelf.read(host, 'host'), key);
  }

  /** What the disk refuses is said with the next change of it. */
  #say(key: keyof typeof hostKeys, list: readonly string[]): void {
    this.#own
      .change('host', (draft) => draft.put(hostKeys[key], list))
      .catch((error: unknown) => this.#environment.log.warn('the own sheet cannot be changed', { key, error }));
  }

  #sheetChanged({ owner, scope, keys }: SheetChange): void {
    if (owner === this.#self) {
      this.#liveness.raise(this.#own.epoch);
      this.#interest.said(scope);
    }
    if (scope === 'trust') this.trustChanged();
    if (scope !== 'host') return;
    this.#routes.changed();
    this.#liveness.keep(this.#known());
    if (!keys.includes(hostKeys.networks) || !this.#connections.has(owner)) return;
    // What both said there while they were apart neither was asked for.
    const shared = this.#followers.groupsWith(owner).filter((group) => group !== 'all');
    if (shared.length > 0) this.#repair.sync(owner, shared);
  }

  /** What this host said in a life that it forgot, it may have said on networks that it forgot. */
  #recalled(sheet: Sheet): void {
    this.#environment.log.warn('this host had forgotten what it said, and takes it back from others', {
      scope: sheet.scope,
    });
    if (sheet.scope !== 'host') return;
    for (const network of listIn(sheet, 'networks')) this.#interest.said(`network:${network}`);
  }

  #interestChanged(held: ReadonlySet<string>, before: ReadonlySet<string>): void {
    this.#shelf.drop(({ owner, scope }) => owner !== this.#self && !this.#interest.holds(scope));
    this.#say('networks', [...held].sort());
    for (const network of held) if (!before.has(network)) this.#fetch(network);
  }

  /** Compares the sheets of a network with a host that is on it. */
  #fetch(network: string): void {
    const peer = this.#followers.of(network);
    if (peer !== undefined) this.#repair.sync(peer, [`network:${network}`]);
  }

  #askFar(want: Want): void {
    const network = networkOf(want.scope);
    const owner = this.#liveness.state(want.owner) === 'alive' ? want.owner : undefined;
    const peer = owner ?? (network === undefined ? undefined : this.#followers.of(network));
    if (peer !== undefined) this.#repair.ask(peer, want);
  }

  /** Who begins to say something has heard from one who had, or from all: none of them remembers more of it. */
  #hasCompared(peer: string, settled: boolean): void {
    const first = !this.#met.has(peer);
    this.#met.add(peer);
    if (settled) this.#compared.add(peer);
    const others = [...this.#known()].filter((id) => id !== this.#self && this.#liveness.state(id) !== 'left');
    if (others.every((id) => this.#met.has(id))) for (const id of others) this.#compared.add(id);
    if (!first) return;
    if (this.#compared.size > 0) this.#begin();
    for (const network of this.#interest.networks) this.#fetch(network);
    this.#tellMembers(undefined);
  }

  /** Who started at the same time as this host learns that it can be relied on now. */
  #begin(): void {
    if (this.#own.begun) return;
    this.#own.begin();
    for (const peer of [...this.#connections.peers()]) this.#repair.sync(peer);
  }

  #membersChanged(id: string | undefined): void {
    this.#topology.changed();
    if (id !== undefined && this.#liveness.state(id) === 'alive') this.#connections.hurry(id);
    if (id !== undefined && this.#liveness.state(id) === 'lost') this.#connections.drop(id, 'no sign of life');
    this.#tellMembers(id);
  }

  #tellMembers(changed: string | undefined): void {
    for (const listener of [...this.#memberListeners]) listener(changed);
  }
}
