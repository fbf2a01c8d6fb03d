import type { Clock, Seal, Trust } from './environment.ts';
import { Gossip } from './gossip.ts';
import { type DatagramMessage, type Message, most, type News, type RoutedMessage } from './messages.ts';
import { type Entry, isNews, lifeStatement, Roll } from './roll.ts';
import type { Member, MemberState, Version } from './sheets.ts';
import { expectedConfirmations, suspicionRange, suspicionTimeout } from './suspicion.ts';

/** Milliseconds. */
const pace = {
  /** From one probe to the next, and from a ping to the help of others; for so many hosts as make traffic a matter, and fewer. */
  few: { hosts: 12, period: 400, direct: 150 },
  many: { period: 1_000, direct: 300 },
  /** A timer that is so late says that this host stood still: it judges nobody by what it did not hear meanwhile. */
  stall: 250,
  /** Who hears from nobody at all is cut off itself, or left alone: it judges the others only then. */
  alone: 15_000,
} as const;

const helpers = 3;
/** How often in a period lost hosts are tried, by all together, for each of them. */
const retries = 3;
const mostUnderWay = 32;
const mostHealth = 8;

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
  readonly changed: () => void;
}

interface Probe {
  readonly target: string;
  /** Helpers that said they live, though they did not reach it. */
  unreached: number;
  readonly asked: number;
}

/** What this host says of itself. */
interface Said {
  readonly state: 'alive' | 'left';
  readonly life: Version;
  readonly signature: string;
}

interface Suspicion {
  readonly since: number;
  readonly by: Set<string>;
  cancel: () => void;
}

/**
 * Who lives (Das, Gupta, Motivala: SWIM, 2002, with Lifeguard's additions): each host pings another one by one; who does not
 * answer is pinged by others and called over links; who does not answer then either is suspected, and lost when nobody
 * contradicts in time, who can only be the suspect itself. A host that is slow or cut off doubts itself first.
 */
export class Liveness {
  readonly #needs: LivenessNeeds;
  readonly #roll = new Roll();
  readonly #gossip = new Gossip();
  readonly #suspicions = new Map<string, Suspicion>();
  readonly #probes = new Map<number, Probe>();
  /** Pings for others: who asked, and under which number. */
  readonly #errands = new Map<number, { readonly asker: string; readonly n: number }>();
  readonly #heard = new Map<string, number>();
  #order: string[] = [];
  #n = 0;
  /** How much this host has reason to doubt itself; all its patience is multiplied by one more. */
  #doubt = 0;
  #heardAny: number;
  #own: Said;
  #stopped = false;

  constructor(needs: LivenessNeeds, epoch: number) {
    this.#needs = needs;
    this.#own = this.#sign('alive', [epoch, 0]);
    this.#heardAny = needs.clock.now();
  }

  start(): void {
    const { clock } = this.#needs;
    if (this.#stopped) return;
    const due = clock.now() + this.#pace().period;
    clock.after(this.#pace().period, () => {
      if (clock.now() - due > pace.stall) this.#stalled();
      this.#probeNext();
      this.#retryLost();
      this.start();
    });
  }

  /** Who there is, this host included. */
  members(): readonly Member[] {
    const members = [...this.#roll.ids()].map((id): Member => ({ id, state: this.state(id) }));
    return members.toSorted((one, other) => (one.id < other.id ? -1 : 1));
  }

  state(id: string): MemberState {
    return id === this.#needs.self ? this.#own.state : this.#roll.get(id).state;
  }

  /** Exactly these hosts count. */
  keep(ids: ReadonlySet<string>): void {
    const { self } = this.#needs;
    if (!this.#roll.keep(new Set([...ids, self]))) return;
    const { state, life, signature } = this.#own;
    this.#roll.set(self, { state, life, signature });
    for (const id of [...this.#suspicions.keys()].filter((id) => !this.#roll.has(id))) this.#acquit(id);
    for (const id of [...this.#heard.keys()].filter((id) => !this.#roll.has(id))) this.#heard.delete(id);
    this.#needs.changed();
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
    this.#stopped = true;
    this.#own = this.#sign('left', this.#own.life);
    this.#saySelf();
  }

  /** Something came from this host, which had proven who it is. */
  hears(from: string): void {
    const now = this.#needs.clock.now();
    this.#heardAny = now;
    if (this.#roll.has(from)) this.#heard.set(from, now);
  }

  /** It may be gone: it is asked at once. */
  doubt(id: string): void {
    if (this.#roll.has(id) && ['alive', 'suspect'].includes(this.state(id))) this.#probe(id);
  }

  /** @returns news of which the sender of these seems not to know */
  hear(news: readonly News[], from: string): News[] {
    const fresh = news.filter((one) => this.#learn(one, from));
    if (fresh.length > 0) this.#needs.tell(fresh, from);
    return news.flatMap((one) =>
      this.#roll.has(one.id) && isNews(this.#roll.get(one.id), asEntry(one)) ? (this.#news(one.id) ?? []) : [],
    );
  }

  datagram(from: string, message: DatagramMessage): void {
    const silent = this.#needs.clock.now() - (this.#heard.get(from) ?? -Infinity) > this.#pace().period;
    if (silent && this.state(from) === 'lost') this.#ping(from);
    this.hears(from);
    switch (message.t) {
      case 'ping': {
        this.#contradict(message.state, message.life);
        const { life, signature } = this.#own;
        const proof = isLater(life, message.life) ? { signature } : {};
        this.#needs.datagram(from, { t: 'pong', n: message.n, life, ...proof, news: this.#riders() });
        break;
      }
      case 'pong': {
        if (message.signature) this.#learnLife(from, 'alive', message.life, message.signature, from);
        const errand = this.#errands.get(message.n);
        this.#errands.delete(message.n);
        if (errand !== undefined) this.#needs.datagram(errand.asker, { t: 'reached', n: errand.n });
        if (this.#probes.get(message.n)?.target === from) this.#answered(message.n);
        break;
      }
      case 'probe':
        this.#runErrand(from, message);
        return;
      case 'reached':
        this.#answered(message.n);
        return;
      case 'unreached': {
        const probe = this.#probes.get(message.n);
        if (probe !== undefined) probe.unreached += 1;
        return;
      }
    }
    if (message.news !== undefined) this.hear(message.news, from);
  }

  called(from: string, message: Message<'call' | 'answer'>): void {
    const { seal, trust, self, route } = this.#needs;
    const proofOf = (id: string, n: number) => ['skein answer', trust.cluster, id, String(n)].join('\n');
    if (message.t === 'call') {
      this.#contradict(message.state, message.life);
      const { life, signature } = this.#own;
      route(from, { t: 'answer', n: message.n, life, signature, proof: seal.sign(proofOf(self, message.n)) });
      return;
    }
    const key = trust.keyFor(from, 'host', message.life);
    if (this.#probes.get(message.n)?.target !== from || key === undefined) return;
    if (!seal.verify(key, proofOf(from, message.n), message.proof)) return;
    this.hears(from);
    this.#learnLife(from, 'alive', message.life, message.signature, undefined);
    this.#answered(message.n);
  }

  /** This host lives in a later epoch than it had thought. */
  raise(epoch: number): void {
    if (epoch > this.#own.life[0]) this.#renew([epoch, 0]);
  }

  // What this host asks.

  #probeNext(): void {
    const candidates = () => [...this.#roll.ids()].filter((id) => this.#isAsked(id));
    let target = this.#order.pop();
    while (target !== undefined && !this.#isAsked(target)) target = this.#order.pop();
    if (target === undefined) {
      this.#order = shuffle(candidates(), this.#needs.random);
      target = this.#order.pop();
    }
    if (target !== undefined) this.#probe(target);
  }

  #isAsked(id: string): boolean {
    return id !== this.#needs.self && this.#roll.has(id) && ['alive', 'suspect'].includes(this.state(id));
  }

  #probe(target: string): void {
    const { clock, datagram } = this.#needs;
    const underWay = [...this.#probes.values()].some((probe) => probe.target === target);
    if (underWay || this.#probes.size >= mostUnderWay || this.#stopped) return;
    const { period, direct } = this.#pace();
    const patience = 1 + this.#doubt;
    const n = this.#next();
    const others = [...this.#roll.ids()].filter(
      (id) => id !== target && this.#isAsked(id) && this.state(id) === 'alive',
    );
    const asked = shuffle(others, this.#needs.random).slice(0, helpers);
    this.#probes.set(n, { target, unreached: 0, asked: asked.length });
    datagram(target, { t: 'ping', n, ...this.#opinion(target), news: this.#riders() });
    clock.after(direct * patience, () => {
      if (!this.#probes.has(n)) return;
      for (const helper of asked) datagram(helper, { t: 'probe', n, of: target, ...this.#opinion(target) });
      this.#needs.route(target, { t: 'call', n, ...this.#opinion(target) });
    });
    const due = clock.now() + period * patience;
    clock.after(period * patience, () => this.#unanswered(n, due));
  }

  #answered(n: number): void {
    if (this.#probes.delete(n)) this.#doubt = Math.max(0, this.#doubt - 1);
  }

  #unanswered(n: number, due: number): void {
    const probe = this.#probes.get(n);
    this.#probes.delete(n);
    if (probe === undefined || this.#stopped || !this.#isAsked(probe.target)) return;
    if (this.#needs.clock.now() - due > pace.stall) {
      this.#stalled();
      return;
    }
    // Helpers that say nothing either make it likely that the trouble is here.
    this.#doubt = Math.min(
      mostHealth,
      this.#doubt + Math.max(0, probe.asked - probe.unreached) / Math.max(1, probe.asked),
    );
    this.#accuse(probe.target, this.#needs.self);
  }

  #runErrand(asker: string, { n, of, state, life }: Message<'probe'>): void {
    if (!this.#roll.has(of) || this.#errands.size >= mostUnderWay) return;
    const mine = this.#next();
    this.#errands.set(mine, { asker, n });
    this.#needs.datagram(of, { t: 'ping', n: mine, state, life });
    this.#needs.clock.after(this.#pace().direct, () => {
      if (this.#errands.delete(mine)) this.#needs.datagram(asker, { t: 'unreached', n });
    });
  }

  /** Hosts that were lost are asked now and then, by all together about as often whatever their number. */
  #retryLost(): void {
    const lost = [...this.#roll.ids()].filter((id) => this.state(id) === 'lost');
    const chance = (lost.length * retries) / Math.max(1, this.#roll.count('alive'));
    const target = lost[Math.floor(this.#needs.random() * lost.length)];
    if (target !== undefined && this.#needs.random() < chance) this.#ping(target);
  }

  /** Without waiting for an answer: so that it contradicts. */
  #ping(target: string): void {
    this.#needs.datagram(target, { t: 'ping', n: this.#next(), ...this.#opinion(target) });
  }

  // What this host thinks of others.

  #learn(news: News, from: string): boolean {
    const { self } = this.#needs;
    const { id, state, life } = news;
    if (id === self) {
      this.#contradict(state, life);
      this.#outlive(life, news.signature);
      return false;
    }
    const known = this.#roll.get(id);
    if (!this.#roll.has(id)) return false;
    switch (state) {
      case 'alive':
      case 'left':
        return isNews(news, known) && this.#learnLife(id, state, life, news.signature ?? '', from, false);
      case 'suspect':
        return !isLater(known.life, life) && this.#confirm(id, news.by ?? from);
      case 'lost': {
        if (!isNews(news, known)) return false;
        if (this.#needs.clock.now() - (this.#heard.get(id) ?? -Infinity) > this.#pace().period) {
          this.#judge(id);
          return true;
        }
        // It was heard just now: it is to contradict.
        this.#needs.datagram(id, { t: 'ping', n: this.#next(), state: 'lost', life: known.life });
        return false;
      }
    }
  }

  #learnLife(
    id: string,
    state: 'alive' | 'left',
    life: Version,
    signature: string,
    from: string | undefined,
    tell = true,
  ): boolean {
    const { seal, trust } = this.#needs;
    if (!this.#roll.has(id) || !isNews({ state, life }, this.#roll.get(id))) return false;
    const key = trust.keyFor(id, 'host', life);
    if (key === undefined || !seal.verify(key, lifeStatement(trust.cluster, id, state, life), signature)) return false;
    this.#acquit(id);
    this.#roll.set(id, { state, life, signature });
    this.#spread(id);
    if (tell) this.#needs.tell([{ id, state, life, signature }], from);
    this.#needs.changed();
    return true;
  }

  /** Somebody, perhaps this host, did not reach it. @returns whether that is new */
  #confirm(id: string, by: string): boolean {
    if (this.state(id) === 'alive') {
      if (this.#needs.random() * this.#roll.count('alive') < helpers + 2) this.#probe(id);
      return this.#accuse(id, by);
    }
    const suspicion = this.#suspicions.get(id);
    if (suspicion === undefined || suspicion.by.has(by) || suspicion.by.size > expectedConfirmations(this.#size()))
      return false;
    suspicion.by.add(by);
    this.#watchSuspicion(id, suspicion);
    return true;
  }

  #accuse(id: string, by: string): boolean {
    const suspicion = this.#suspicions.get(id);
    if (suspicion !== undefined) {
      if (suspicion.by.has(by)) return false;
      suspicion.by.add(by);
      this.#watchSuspicion(id, suspicion);
    } else {
      const fresh = { since: this.#needs.clock.now(), by: new Set([by]), cancel: () => undefined };
      this.#suspicions.set(id, fresh);
      this.#roll.set(id, { ...this.#roll.get(id), state: 'suspect' });
      this.#watchSuspicion(id, fresh);
      this.#needs.changed();
    }
    this.#spread(id);
    if (by === this.#needs.self)
      this.#needs.tell([{ id, state: 'suspect', life: this.#roll.get(id).life, by }], undefined);
    return true;
  }

  #watchSuspicion(id: string, suspicion: Suspicion): void {
    const { clock } = this.#needs;
    const hosts = this.#size();
    const timeout = suspicionTimeout(suspicion.by.size - 1, expectedConfirmations(hosts), suspicionRange(hosts));
    const due = Math.max(clock.now(), suspicion.since + timeout);
    suspicion.cancel();
    suspicion.cancel = clock.after(due - clock.now(), () => this.#expire(id, suspicion, due));
  }

  #expire(id: string, suspicion: Suspicion, due: number): void {
    const { clock, self, tell } = this.#needs;
    const now = clock.now();
    if (this.#suspicions.get(id) !== suspicion || this.#stopped) return;
    const again = (ms: number) => {
      suspicion.cancel = clock.after(ms, () => this.#expire(id, suspicion, now + ms));
    };
    if (now - due > pace.stall) {
      this.#stalled();
      again(suspicionRange(this.#size()).least);
      return;
    }
    const { period } = this.#pace();
    const silence = now - this.#heardAny;
    if (silence > 2 * period * (1 + this.#doubt) && silence < pace.alone) {
      again(period);
      return;
    }
    if (this.#size() === 2 && silence < pace.alone) {
      again(period);
      return;
    }
    this.#judge(id);
    tell([{ id, state: 'lost', life: this.#roll.get(id).life, by: self }], undefined);
  }

  #judge(id: string): void {
    this.#acquit(id);
    this.#roll.set(id, { ...this.#roll.get(id), state: 'lost' });
    this.#spread(id);
    this.#needs.changed();
  }

  #acquit(id: string): void {
    this.#suspicions.get(id)?.cancel();
    this.#suspicions.delete(id);
  }

  /** What was not heard meanwhile says nothing about others. */
  #stalled(): void {
    this.#probes.clear();
    this.#heardAny = this.#needs.clock.now();
    this.#doubt = Math.min(mostHealth, this.#doubt + 1);
  }

  // What this host says of itself.

  /** @returns whether there was something to contradict */
  #contradict(state: MemberState, life: Version): boolean {
    if (this.#stopped || isLater(this.#own.life, life) || state === 'alive') return false;
    // Who claims more than this host ever said cannot make it run out of numbers.
    if (life[0] !== this.#own.life[0] || life[1] > this.#own.life[1]) return false;
    if (state !== 'left') this.#doubt = Math.min(mostHealth, this.#doubt + 1);
    this.#renew([life[0], life[1] + 1]);
    return true;
  }

  /** What this host signed in a life that it does not remember is above what it says in this one: it goes above that. */
  #outlive(life: Version, signature: string | undefined): void {
    const { seal, trust, self } = this.#needs;
    if (!isLater(life, this.#own.life) || signature === undefined || this.#stopped) return;
    const states = ['alive', 'left'] as const;
    const said = states.some((state) =>
      seal.verify(seal.key, lifeStatement(trust.cluster, self, state, life), signature),
    );
    if (said) this.#renew([life[0] + 1, 0]);
  }

  #renew(life: Version): void {
    this.#own = this.#sign('alive', life);
    this.#saySelf();
  }

  #saySelf(): void {
    const { self, tell } = this.#needs;
    const { state, life, signature } = this.#own;
    this.#roll.set(self, { state, life, signature });
    this.#spread(self);
    tell([{ id: self, state, life, signature }], undefined);
    this.#needs.changed();
  }

  #sign(state: 'alive' | 'left', life: Version): Said {
    const { seal, trust, self } = this.#needs;
    return { state, life, signature: seal.sign(lifeStatement(trust.cluster, self, state, life)) };
  }

  #opinion(id: string): { state: MemberState; life: Version } {
    const { state, life } = this.#roll.get(id);
    return { state, life };
  }

  #news(id: string): News | undefined {
    const { state, life, signature } = this.#roll.get(id);
    const by = this.#needs.self;
    const signed = signature === undefined ? {} : { signature };
    if (state === 'suspect' || state === 'lost') return { id, state, life, by, ...signed };
    return signature === undefined ? undefined : { id, state, life, signature };
  }

  #spread(id: string): void {
    this.#gossip.add(id, this.#size());
  }

  #riders(): News[] {
    return this.#gossip.take(most.riders).flatMap((id) => this.#news(id) ?? []);
  }

  #size(): number {
    return this.#roll.count('alive') + this.#roll.count('suspect');
  }

  #pace(): { readonly period: number; readonly direct: number } {
    return this.#size() <= pace.few.hosts ? pace.few : pace.many;
  }

  #next(): number {
    this.#n += 1;
    return this.#n;
  }
}

function isLater(one: Version, other: Version): boolean {
  return (one[0] - other[0] || one[1] - other[1]) > 0;
}

function asEntry({ state, life }: News): Entry {
  return { state, life, signature: undefined };
}

function shuffle(ids: string[], random: () => number): string[] {
  for (let at = ids.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [ids[at], ids[other]] = [ids[other] ?? '', ids[at] ?? ''];
  }
  return ids;
}
