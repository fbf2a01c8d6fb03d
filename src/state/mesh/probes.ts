import type { Clock } from './environment.ts';
import type { DatagramMessage, Message, News, RoutedMessage } from './messages.ts';
import type { Opinion } from './roll.ts';

/** Milliseconds. */
const pace = {
  /** From one probe to the next, and from a ping to the help of others; for so many hosts as make traffic a matter, and fewer. */
  few: { hosts: 12, period: 400, direct: 150 },
  many: { period: 1_000, direct: 300 },
  /** A timer that is so late says that this host stood still: it judges nobody by what it did not hear meanwhile. */
  stall: 250,
} as const;

const helpers = 3;
const mostUnderWay = 32;
const mostDoubt = 8;

export interface ProbesNeeds {
  readonly clock: Clock;
  readonly random: () => number;
  readonly datagram: (to: string, message: DatagramMessage) => void;
  /** Over links, through others if need be. */
  readonly route: (to: string, message: RoutedMessage) => void;
  /** Those who are asked: they live, as far as is known, or are suspected not to. */
  readonly asked: () => readonly string[];
  /** What this host thinks of another, which that one may contradict. */
  readonly opinion: (id: string) => Opinion;
  readonly riders: () => readonly News[];
  /** A probe came to nothing, though this host did not stand still. */
  readonly unanswered: (id: string) => void;
  readonly stalled: () => void;
}

/** How a host answered to datagrams lately. */
export interface Way {
  /** Of the last ping that it answered, there and back, in milliseconds. */
  readonly rtt: number | undefined;
  /** Pings since then that it did not answer, though it may have by other ways. */
  readonly missed: number;
}

interface Probe {
  readonly target: string;
  readonly sent: number;
  /** Those asked to help who have not said yet that they live, though they did not reach it. */
  readonly silent: Set<string>;
  readonly helpers: number;
}

interface Errand {
  readonly of: string;
  readonly asker: string;
  readonly n: number;
}

/**
 * Asks one host after the other whether it is there: by a ping; when that is not answered by pings of others and by a call
 * over links. Doubts itself when nothing is heard of the helpers either, and has more patience then.
 */
export class Probes {
  readonly #needs: ProbesNeeds;
  readonly #probes = new Map<number, Probe>();
  readonly #ways = new Map<string, Way>();
  /** Pings for others. */
  readonly #errands = new Map<number, Errand>();
  #order: string[] = [];
  #n: number;
  #doubt = 0;
  #stopped = false;

  constructor(needs: ProbesNeeds) {
    this.#needs = needs;
    this.#n = Math.floor(needs.random() * 2 ** 40);
  }

  /** Calls `more` once a period, before the next host is asked. */
  start(more: () => void): void {
    const { clock } = this.#needs;
    if (this.#stopped) return;
    const due = clock.now() + this.period;
    clock.after(this.period, () => {
      this.isLate(clock.now() - due);
      more();
      this.#askNext();
      this.start(more);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#probes.clear();
  }

  get period(): number {
    return this.#pace().period;
  }

  doubtMore(share = 1): void {
    this.#doubt = Math.min(mostDoubt, this.#doubt + share);
  }

  /** Whether a timer that was late by so much says that this host stood still; its probes say nothing then. */
  isLate(ms: number): boolean {
    if (ms <= pace.stall) return false;
    this.#probes.clear();
    this.doubtMore();
    this.#needs.stalled();
    return true;
  }

  probe(target: string): void {
    const { clock, datagram, route, opinion, riders } = this.#needs;
    const underWay = [...this.#probes.values()].some((probe) => probe.target === target);
    if (underWay || this.#probes.size >= mostUnderWay || this.#stopped) return;
    const { period, direct } = this.#pace();
    const patience = 1 + this.#doubt;
    const n = this.#next();
    const others = this.#needs.asked().filter((id) => id !== target && opinion(id).state === 'alive');
    const asked = shuffle(others, this.#needs.random).slice(0, helpers);
    const sent = clock.now();
    this.#missed(target);
    this.#probes.set(n, { target, sent, silent: new Set(asked), helpers: asked.length });
    datagram(target, { t: 'ping', n, ...opinion(target), news: riders() });
    clock.after(direct * patience, () => {
      if (!this.#probes.has(n)) return;
      for (const helper of asked) datagram(helper, { t: 'probe', n, of: target, ...opinion(target) });
      route(target, { t: 'call', n, ...opinion(target) });
    });
    const wait = period * patience;
    const due = clock.now() + wait;
    clock.after(wait, () => this.#unanswered(n, due));
  }

  /** Without waiting for an answer: so that it contradicts. */
  ping(target: string, opinion = this.#needs.opinion(target)): void {
    this.#needs.datagram(target, { t: 'ping', n: this.#next(), ...opinion });
  }

  /** Whether this host asked that one under this number, and waits. */
  waitsFor(from: string, n: number): boolean {
    return this.#probes.get(n)?.target === from;
  }

  answered(n: number): void {
    if (this.#probes.delete(n)) this.#doubt = Math.max(0, this.#doubt - 1);
  }

  /** How the host is reached by datagrams; undefined when it was not asked yet. */
  way(host: string): Way | undefined {
    return this.#ways.get(host);
  }

  pong(from: string, n: number): void {
    const probe = this.#probes.get(n);
    if (probe?.target === from) {
      this.#ways.set(from, { rtt: this.#needs.clock.now() - probe.sent, missed: 0 });
      this.answered(n);
    }
    const errand = this.#errands.get(n);
    if (errand?.of !== from) return;
    this.#errands.delete(n);
    this.#needs.datagram(errand.asker, { t: 'reached', n: errand.n });
  }

  /** What a helper says, if it was asked. */
  helped(from: string, { t, n }: Message<'reached' | 'unreached'>): void {
    if (this.#probes.get(n)?.silent.delete(from) && t === 'reached') this.answered(n);
  }

  /** Helps another host. */
  runErrand(asker: string, { n, of, state, life }: Message<'probe'>): void {
    const { clock, datagram } = this.#needs;
    if (!this.#needs.asked().includes(of) || this.#errands.size >= mostUnderWay) return;
    const mine = this.#next();
    this.#errands.set(mine, { of, asker, n });
    datagram(of, { t: 'ping', n: mine, state, life });
    clock.after(this.#pace().direct, () => {
      if (this.#errands.delete(mine)) datagram(asker, { t: 'unreached', n });
    });
  }

  #missed(target: string): void {
    const before = this.#ways.get(target);
    this.#ways.set(target, { rtt: before?.rtt, missed: (before?.missed ?? 0) + 1 });
  }

  #askNext(): void {
    const asked = this.#needs.asked();
    const there = new Set(asked);
    for (const host of this.#ways.keys()) if (!there.has(host)) this.#ways.delete(host);
    let target = this.#order.pop();
    while (target !== undefined && !there.has(target)) target = this.#order.pop();
    if (target === undefined) {
      this.#order = shuffle([...asked], this.#needs.random);
      target = this.#order.pop();
    }
    if (target !== undefined) this.probe(target);
  }

  #unanswered(n: number, due: number): void {
    const probe = this.#probes.get(n);
    if (probe === undefined || this.isLate(this.#needs.clock.now() - due)) return;
    this.#probes.delete(n);
    // Helpers that say nothing either make it likely that the trouble is here.
    if (probe.helpers > 0) this.doubtMore(probe.silent.size / probe.helpers);
    this.#needs.unanswered(probe.target);
  }

  #pace(): { readonly period: number; readonly direct: number } {
    return this.#needs.asked().length < pace.few.hosts ? pace.few : pace.many;
  }

  #next(): number {
    this.#n += 1;
    return this.#n;
  }
}

function shuffle(ids: string[], random: () => number): string[] {
  for (let at = ids.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [ids[at], ids[other]] = [ids[other] ?? '', ids[at] ?? ''];
  }
  return ids;
}
