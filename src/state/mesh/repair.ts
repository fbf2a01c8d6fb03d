import type { Clock } from './environment.ts';
import type { Followers } from './followers.ts';
import { compareStates, type Mark, type State } from './head.ts';
import { type Message, most, type RoutedMessage, type Want } from './messages.ts';
import type { Scope } from './sheets.ts';
import type { Shelf } from './shelf.ts';
import { frames, type Spread } from './spread.ts';

/** Milliseconds. */
const pace = {
  /** Between two comparisons with a host chosen by chance; chance decides about a quarter of it. */
  sync: 4_000,
  /** After which an answer, or the next part of it, is not waited for any longer. */
  answer: 2_000,
} as const;

/** What is asked of one host at a time; the others are forgotten, for the next comparison to find again. */
const mostWanted = 16_384;

export interface RepairNeeds {
  readonly clock: Clock;
  readonly random: () => number;
  readonly shelf: Shelf;
  readonly spread: Spread;
  readonly followers: Pick<Followers, 'partners' | 'groupsWith'>;
  /** Sends directly or through others. */
  readonly send: (peer: string, message: RoutedMessage) => void;
  readonly holds: (scope: Scope) => boolean;
  readonly settled: () => boolean;
  /** All that this host and the peer both should hold of the sheets of all hosts has been compared. */
  readonly compared: (peer: string, settled: boolean) => void;
  readonly lifeHash: () => string;
  readonly lifeDiffers: (peer: string) => void;
}

interface Pull {
  readonly wants: Want[];
  cancel: () => void;
}

/**
 * What the trees did not bring is found by comparing (anti-entropy): one hash over everything; then, of what differs, one
 * for each bucket; then the marks in the buckets that differ. What a host lacks it asks for, a few sheets at a time, so that
 * nothing is sent that was not asked for and nobody has to keep anything for others.
 */
export class Repair {
  readonly #needs: RepairNeeds;
  readonly #pulls = new Map<string, Pull>();
  /** Whose last answer said what is to be known before the comparison is done. */
  readonly #comparing = new Map<string, { settled: boolean; parts: number }>();

  constructor(needs: RepairNeeds) {
    this.#needs = needs;
  }

  start(): void {
    const { clock, random, followers } = this.#needs;
    clock.after(pace.sync * (0.75 + random() / 2), () => {
      for (const { peer, groups } of followers.partners()) this.sync(peer, groups);
      this.start();
    });
  }

  /** Compares with a host: what it holds that is newer comes here, and the other way. */
  sync(peer: string, groups: readonly string[] = this.#needs.followers.groupsWith(peer)): void {
    const { shelf, send, settled, lifeHash } = this.#needs;
    for (let at = 0; at < groups.length; at += most.groups) {
      const some = groups
        .slice(at, at + most.groups)
        .map((group): [string, string] => [group, shelf.group(group).root()]);
      send(peer, { t: 'sync', settled: settled(), groups: some, news: at === 0 ? lifeHash() : '' });
    }
  }

  /** @returns why the sender is not to be trusted, if it is not */
  receive(from: string, message: Message<'sync' | 'synced' | 'marks' | 'want' | 'gave'>): string | undefined {
    switch (message.t) {
      case 'sync':
        this.#compare(from, message);
        return undefined;
      case 'synced':
        this.#descend(from, message);
        return undefined;
      case 'marks':
        this.#compareMarks(from, message);
        return undefined;
      case 'want':
        this.#give(from, message);
        return undefined;
      case 'gave':
        return this.#given(from, message);
    }
  }

  /** Asks for one sheet. */
  ask(peer: string, want: Want): void {
    this.#pull(peer, [want]);
  }

  closed(peer: string): void {
    this.#pulls.get(peer)?.cancel();
    this.#pulls.delete(peer);
    this.#comparing.delete(peer);
  }

  #compare(from: string, { settled, groups, news }: Message<'sync'>): void {
    const { shelf, send } = this.#needs;
    const held = groups.filter(([group]) => this.#holdsGroup(group));
    const differ = held.filter(([group, root]) => shelf.group(group).root() !== root).map(([group]) => group);
    send(from, {
      t: 'synced',
      settled: this.#needs.settled(),
      same: held.map(([group]) => group).filter((group) => !differ.includes(group)),
      differ: differ.map((group) => [group, [...shelf.group(group).hashes()]]),
    });
    if (news !== '' && news !== this.#needs.lifeHash()) this.#needs.lifeDiffers(from);
    if (!held.some(([group]) => group === 'all')) return;
    if (!differ.includes('all')) this.#needs.compared(from, settled);
    // This host waits for somebody who knows: it has to hear all of it, and to know when it has.
    else if (settled && !this.#needs.settled()) this.sync(from);
  }

  #descend(from: string, { settled, same, differ }: Message<'synced'>): void {
    const { shelf, send, compared } = this.#needs;
    if (same.includes('all')) compared(from, settled);
    for (const [group, hashes] of differ.filter(([group]) => this.#holdsGroup(group))) {
      const differing = shelf.group(group).differing(hashes);
      let parts = 0;
      for (const { buckets, marks } of inParts(differing, (bucket) => shelf.group(group).within(bucket))) {
        send(from, { t: 'marks', group, ask: true, buckets, marks });
        parts += 1;
      }
      if (group === 'all') this.#comparing.set(from, { settled, parts });
    }
  }

  /** Who asks gets the marks of what is newer here; who is told what is newer there asks for it. */
  #compareMarks(from: string, { group, ask, buckets, marks }: Message<'marks'>): void {
    if (!this.#holdsGroup(group)) return;
    const theirs = new Map(marks.map((mark) => [`${mark.scope} ${mark.owner}`, mark]));
    const newer = marks.filter((mark) => this.#wants(mark));
    this.#pull(
      from,
      newer.map((mark) => this.#want(mark)),
    );
    if (ask) {
      const mine = buckets.flatMap((bucket) => this.#needs.shelf.group(group).within(bucket));
      const news = mine.filter((mark) => compareStates(mark, theirs.get(`${mark.scope} ${mark.owner}`)) > 0);
      for (let at = 0; at === 0 || at < news.length; at += most.marks) {
        const last = at + most.marks >= news.length;
        const part = news.slice(at, at + most.marks);
        this.#needs.send(from, { t: 'marks', group, ask: false, buckets: last ? buckets : [], marks: part });
      }
      return;
    }
    const comparing = this.#comparing.get(from);
    if (group !== 'all' || comparing === undefined || buckets.length === 0) return;
    comparing.parts -= 1;
    this.#finish(from);
  }

  /** A comparison is done when all parts were answered and all that was wanted has come. */
  #finish(from: string): void {
    const comparing = this.#comparing.get(from);
    if (comparing === undefined || comparing.parts > 0 || this.#pulls.has(from)) return;
    this.#comparing.delete(from);
    this.#needs.compared(from, comparing.settled);
  }

  #pull(peer: string, wants: readonly Want[]): void {
    if (wants.length === 0) return;
    const pull = this.#pulls.get(peer);
    if (pull !== undefined) {
      if (pull.wants.length < mostWanted) pull.wants.push(...wants);
      return;
    }
    this.#pulls.set(peer, { wants: wants.toSorted(trustFirst), cancel: () => undefined });
    this.#askNext(peer);
  }

  #askNext(peer: string): void {
    const pull = this.#pulls.get(peer);
    if (pull === undefined) return;
    const wants: Want[] = [];
    while (wants.length < most.wants) {
      const next = pull.wants.shift();
      if (next === undefined) break;
      const { have: _, ...sheet } = next;
      const state = this.#needs.spread.state(next);
      wants.push(state ? { ...sheet, have: { version: state.version, digest: state.digest } } : sheet);
    }
    if (wants.length === 0) {
      pull.cancel();
      this.#pulls.delete(peer);
      this.#finish(peer);
      return;
    }
    this.#wait(peer, pull);
    this.#needs.send(peer, { t: 'want', wants });
  }

  #wait(peer: string, pull: Pull): void {
    pull.cancel();
    pull.cancel = this.#needs.clock.after(pace.answer, () => this.closed(peer));
  }

  #give(from: string, { wants }: Message<'want'>): void {
    const updates = wants.flatMap((want) => this.#needs.spread.since(want) ?? []);
    const parts = [...frames(updates)];
    if (parts.length === 0) parts.push([]);
    for (const [at, part] of parts.entries())
      this.#needs.send(from, { t: 'gave', updates: part, done: at === parts.length - 1 });
  }

  #given(from: string, { updates, done }: Message<'gave'>): string | undefined {
    const taken: Mark[] = [];
    for (const update of updates) {
      const outcome = this.#needs.spread.take(update);
      if (outcome === 'taken') taken.push(update.head);
      if (outcome === 'forged' || outcome === 'altered')
        return `holds a sheet that ${update.head.owner} did not sign so`;
    }
    this.#needs.spread.announce(taken, from);
    const pull = this.#pulls.get(from);
    if (done) this.#askNext(from);
    else if (pull !== undefined) this.#wait(from, pull);
    return undefined;
  }

  #wants(mark: Mark): boolean {
    return this.#needs.holds(mark.scope) && compareStates(mark, this.#state(mark)) > 0;
  }

  #want({ owner, scope }: Mark): Want {
    return { owner, scope };
  }

  #state(mark: Mark): State | undefined {
    return this.#needs.shelf.read(mark.owner, mark.scope)?.head;
  }

  #holdsGroup(group: string): boolean {
    return group === 'all' || (isNetwork(group) && this.#needs.holds(group));
  }
}

function isNetwork(group: string): group is `network:${string}` {
  return group.startsWith('network:');
}

/** Who is admitted, and under which key, stands in trust sheets: what others say can be judged only after them. */
function trustFirst(one: Want, other: Want): number {
  return rank(one.scope) - rank(other.scope);
}

function rank(scope: Scope): number {
  return scope === 'trust' ? 0 : scope === 'host' ? 1 : 2;
}

/** Whole buckets together, as many as fit into one message. */
function* inParts(
  all: readonly number[],
  within: (bucket: number) => readonly Mark[],
): Generator<{ buckets: number[]; marks: Mark[] }> {
  let part: { buckets: number[]; marks: Mark[] } = { buckets: [], marks: [] };
  for (const bucket of all) {
    const marks = within(bucket).slice(0, most.marks);
    if (part.marks.length + marks.length > most.marks) {
      yield part;
      part = { buckets: [], marks: [] };
    }
    part.buckets.push(bucket);
    part.marks.push(...marks);
  }
  yield part;
}
