import type { Clock, Seal, Trust } from './environment.ts';
import { Gossip } from './gossip.ts';
import { type DatagramMessage, type Message, most, type News, type RoutedMessage } from './messages.ts';
import { Probes, type Way } from './probes.ts';
import { answerStatement, isNews, lifeStatement, type Opinion, Roll } from './roll.ts';
import type { Member, MemberState, Version } from './sheets.ts';
import { suspicionRange } from './suspicion.ts';
import { Suspicions } from './suspicions.ts';
import { compareVersions } from './version.ts';

/** Who hears from nobody at all is cut off itself, or left alone: only after so many milliseconds it judges the others. */
const alone = 15_000;
/** How many hosts ask one themselves of which they hear that it is suspected, about. */
const witnesses = 5;
/** How often in a period lost hosts are tried, by all together, for each of them. */
const retries = 3;

export interface LivenessNeeds {
  readonly self: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly seal: Seal;
  readonly trust: Trust;
  readonly datagram: (to: string, message: DatagramMessage) => void;
  /** Over links, through others if need be. */
  readonly route: (to: string, message: RoutedMessage) => void;
  /** To all neighbours but one. */
  readonly tell: (news: readonly News[], except: string | undefined) => void;
  /** Of this host, or of which there are. */
  readonly changed: (id: string | undefined) => void;
}

/** What this host says of itself. */
interface Said {
  readonly state: 'alive' | 'left';
  readonly life: Version;
  readonly signature: string;
}

/**
 * Who lives (Das, Gupta, Motivala: SWIM, 2002; Dadgar, Phillips, Currey: Lifeguard, 2017): who does not answer is
 * suspected, and lost when nobody contradicts in time, which only the suspect itself can: it signs what it says of its
 * life. News go over links at once and ride on datagrams, and what two hosts know is compared with their sheets. A host
 * that is slow, stood still or is cut off doubts itself first.
 */
export class Liveness {
  readonly #needs: LivenessNeeds;
  readonly #roll = new Roll();
  readonly #gossip = new Gossip();
  readonly #probes: Probes;
  readonly #suspicions: Suspicions;
  /** When something came from a host itself. */
  readonly #heard = new Map<string, number>();
  #heardAny: number;
  #own: Said;

  constructor(needs: LivenessNeeds, epoch: number) {
    const { clock, random, datagram, route } = needs;
    this.#needs = needs;
    this.#own = this.#sign('alive', [epoch, 0]);
    this.#heardAny = clock.now();
    this.#probes = new Probes({
      ...{ clock, random, datagram, route },
      asked: () => [...this.#roll.ids()].filter((id) => id !== needs.self && this.#counts(id)),
      opinion: (id) => this.#opinion(id),
      riders: () => this.#riders(),
      unanswered: (id) => {
        if (this.#counts(id)) this.#accuse(id, needs.self);
      },
      stalled: () => {
        this.#heardAny = clock.now();
      },
    });
    this.#suspicions = new Suspicions({
      clock,
      hosts: () => this.#size(),
      postponed: (late) => this.#postponed(late),
      judged: (id) => {
        this.#judge(id);
        needs.tell([{ id, state: 'lost', life: this.#roll.get(id).life, by: needs.self }], undefined);
      },
    });
  }

  start(): void {
    this.#probes.start(() => this.#retryLost());
  }

  /** Who there is, this host included. */
  members(): readonly Member[] {
    const members = [...this.#roll.ids()].map((id): Member => ({ id, state: this.state(id) }));
    return members.toSorted((one, other) => (one.id < other.id ? -1 : 1));
  }

  knows(id: string): boolean {
    return this.#roll.has(id);
  }

  state(id: string): MemberState {
    return id === this.#needs.self ? this.#own.state : this.#roll.get(id).state;
  }

  /** Exactly these hosts count. */
  keep(ids: ReadonlySet<string>): void {
    const { self } = this.#needs;
    if (!this.#roll.keep(new Set([...ids, self]))) return;
    this.#roll.set(self, this.#own);
    for (const id of this.#suspicions.ids()) if (!this.#roll.has(id)) this.#suspicions.acquit(id);
    for (const id of [...this.#heard.keys()]) if (!this.#roll.has(id)) this.#heard.delete(id);
    this.#needs.changed(undefined);
  }

  way(host: string): Way | undefined {
    return this.#probes.way(host);
  }

  hash(): string {
    return this.#roll.hash(this.#needs.seal);
  }

  /** All that is known, for who thinks otherwise. */
  all(): News[][] {
    const news = [...this.#roll.ids()].flatMap((id) => this.#news(id) ?? []);
    return Array.from({ length: Math.ceil(news.length / most.news) }, (_, at) =>
      news.slice(at * most.news, (at + 1) * most.news),
    );
  }

  /** What this host says of itself. */
  own(): News {
    return { id: this.#needs.self, ...this.#own };
  }

  /** This host goes: it is not to be missed. */
  leave(): void {
    this.#probes.stop();
    this.#say('left', this.#own.life);
  }

  /** Something came from this host, which had proven who it is. */
  hears(from: string): void {
    this.#heardAny = this.#needs.clock.now();
    if (this.#roll.has(from)) this.#heard.set(from, this.#heardAny);
  }

  /** It may be gone: it is asked at once. */
  doubt(id: string): void {
    if (this.#counts(id)) this.#probes.probe(id);
  }

  /** This host lives in a later epoch than it had thought. */
  raise(epoch: number): void {
    if (epoch > this.#own.life[0] && this.#own.state === 'alive') this.#say('alive', [epoch, 0]);
  }

  /** @returns news of which the sender of these seems not to know */
  hear(news: readonly News[], from: string): News[] {
    const fresh = news.filter((one) => this.#learn(one, from));
    if (fresh.length > 0) this.#needs.tell(fresh, from);
    const behind = news.filter((one) => this.#roll.has(one.id) && isNews(this.#roll.get(one.id), one));
    return behind.flatMap(({ id }) => this.#news(id) ?? []);
  }

  datagram(from: string, message: DatagramMessage): void {
    if (this.state(from) === 'lost' && !this.#heardLately(from)) this.#probes.ping(from);
    this.hears(from);
    switch (message.t) {
      case 'ping': {
        this.#contradict(message.state, message.life);
        const { life, signature } = this.#own;
        const proof = compareVersions(life, message.life) > 0 ? { signature } : {};
        this.#needs.datagram(from, { t: 'pong', n: message.n, life, ...proof, news: this.#riders() });
        break;
      }
      case 'pong':
        if (message.signature !== undefined) this.#learnAndTell(from, message.life, message.signature);
        this.#probes.pong(from, message.n);
        break;
      case 'probe':
        this.#probes.runErrand(from, message);
        return;
      case 'reached':
      case 'unreached':
        this.#probes.helped(from, message);
        return;
    }
    if (message.news !== undefined) this.hear(message.news, from);
  }

  called(from: string, { n, life, ...message }: Message<'call' | 'answer'>): void {
    const { seal, trust, self, route } = this.#needs;
    if (message.t === 'call') {
      this.#contradict(message.state, life);
      const { signature } = this.#own;
      const proof = seal.sign(answerStatement(trust.cluster, self, from, n));
      route(from, { t: 'answer', n, life: this.#own.life, signature, proof });
      return;
    }
    const key = trust.keyFor(from, 'host', life);
    if (!this.#probes.waitsFor(from, n) || key === undefined) return;
    if (!seal.verify(key, answerStatement(trust.cluster, from, self, n), message.proof)) return;
    this.hears(from);
    this.#learnAndTell(from, life, message.signature);
    this.#probes.answered(n);
  }

  // What this host thinks of others.

  /** @returns whether it was news, for others too */
  #learn(news: News, from: string): boolean {
    const { id, state, life, signature, by = from } = news;
    if (id === this.#needs.self) {
      this.#contradict(state, life);
      this.#outlive(life, signature);
      return false;
    }
    const known = this.#roll.get(id);
    if (!this.#roll.has(id)) return false;
    switch (state) {
      case 'alive':
      case 'left':
        return this.#learnLife(id, state, life, signature ?? '');
      case 'suspect':
        return compareVersions(known.life, life) <= 0 && this.#hearsay(id, by);
      case 'lost':
        if (!isNews(news, known)) return false;
        if (this.#heardLately(id)) {
          // It is to hear of it, and to contradict.
          this.#probes.ping(id, { state: 'lost', life: known.life });
          return false;
        }
        this.#judge(id);
        return true;
    }
  }

  #learnAndTell(id: string, life: Version, signature: string): void {
    if (this.#learnLife(id, 'alive', life, signature)) this.#needs.tell([{ id, state: 'alive', life, signature }], id);
  }

  #learnLife(id: string, state: 'alive' | 'left', life: Version, signature: string): boolean {
    const { seal, trust } = this.#needs;
    if (!this.#roll.has(id) || !isNews({ state, life }, this.#roll.get(id))) return false;
    const key = trust.keyFor(id, 'host', life);
    if (key === undefined || !seal.verify(key, lifeStatement(trust.cluster, id, state, life), signature)) return false;
    this.#suspicions.acquit(id);
    this.#note(id, { state, life, signature });
    return true;
  }

  /** Another host did not reach it. Some of those who hear that look themselves. */
  #hearsay(id: string, by: string): boolean {
    if (!this.#counts(id)) return false;
    const first = this.state(id) === 'alive';
    if (first && this.#needs.random() * this.#size() < witnesses) this.#probes.probe(id);
    return this.#accuse(id, by);
  }

  #accuse(id: string, by: string): boolean {
    const { self, tell } = this.#needs;
    if (!this.#suspicions.accuse(id, by)) return false;
    if (this.state(id) === 'alive') this.#note(id, { ...this.#roll.get(id), state: 'suspect' });
    if (by === self) tell([{ id, state: 'suspect', life: this.#roll.get(id).life, by }], undefined);
    return true;
  }

  /** Who stood still, or hears from nobody, has to wait before it judges. */
  #postponed(late: number): number {
    const { period } = this.#probes;
    if (this.#probes.isLate(late)) return suspicionRange(this.#size()).least;
    const silence = this.#needs.clock.now() - this.#heardAny;
    const cutOff = this.#size() === 2 || silence > 2 * period;
    return cutOff && silence < alone ? period : 0;
  }

  #judge(id: string): void {
    this.#suspicions.acquit(id);
    this.#note(id, { ...this.#roll.get(id), state: 'lost' });
  }

  /** Lost hosts are asked now and then, each about as often however many hosts there are. */
  #retryLost(): void {
    const lost = [...this.#roll.ids()].filter((id) => this.state(id) === 'lost');
    const target = lost[Math.floor(this.#needs.random() * lost.length)];
    const chance = (lost.length * retries) / Math.max(1, this.#roll.count('alive'));
    if (target !== undefined && this.#needs.random() < chance) this.#probes.ping(target);
  }

  // What this host says of itself.

  /** Only what it has said itself: who claims more of it cannot make it run out of numbers. */
  #contradict(state: MemberState, life: Version): void {
    if (state === 'alive' || this.#own.state === 'left' || compareVersions(life, this.#own.life) !== 0) return;
    this.#probes.doubtMore();
    this.#say('alive', [life[0], life[1] + 1]);
  }

  /** What this host signed in a life that it does not remember is above what it says in this one: it goes above that. */
  #outlive(life: Version, signature: string | undefined): void {
    const { seal, trust, self } = this.#needs;
    if (compareVersions(life, this.#own.life) <= 0 || signature === undefined || this.#own.state === 'left') return;
    const states = ['alive', 'left'] as const;
    const isOwn = (state: 'alive' | 'left') =>
      seal.verify(seal.key, lifeStatement(trust.cluster, self, state, life), signature);
    if (states.some(isOwn)) this.#say('alive', [life[0] + 1, 0]);
  }

  #say(state: 'alive' | 'left', life: Version): void {
    this.#own = this.#sign(state, life);
    this.#note(this.#needs.self, this.#own);
    this.#needs.tell([this.own()], undefined);
  }

  #sign(state: 'alive' | 'left', life: Version): Said {
    const { seal, trust, self } = this.#needs;
    return { state, life, signature: seal.sign(lifeStatement(trust.cluster, self, state, life)) };
  }

  #note(id: string, entry: ReturnType<Roll['get']>): void {
    const first = this.#roll.get(id).signature === undefined;
    this.#roll.set(id, entry);
    // That somebody lives, who was taken to live, is no news that anybody waits for.
    if (!first || entry.state !== 'alive') this.#gossip.add(id, this.#size());
    this.#needs.changed(id);
  }

  #news(id: string): News | undefined {
    const { state, life, signature } = this.#roll.get(id);
    const signed = signature === undefined ? {} : { signature };
    if (state === 'suspect' || state === 'lost') return { id, state, life, by: this.#needs.self, ...signed };
    return signature === undefined ? undefined : { id, state, life, signature };
  }

  #riders(): News[] {
    return this.#gossip.take(most.riders).flatMap((id) => this.#news(id) ?? []);
  }

  #opinion(id: string): Opinion {
    const { state, life } = this.#roll.get(id);
    return { state, life };
  }

  #heardLately(id: string): boolean {
    return this.#needs.clock.now() - (this.#heard.get(id) ?? Number.NEGATIVE_INFINITY) <= this.#probes.period;
  }

  #counts(id: string): boolean {
    return this.#roll.has(id) && ['alive', 'suspect'].includes(this.state(id));
  }

  #size(): number {
    return this.#roll.count('alive') + this.#roll.count('suspect');
  }
}
