import * as v from 'valibot';
import { parseRecord } from '../../model/record.ts';
import { HexId, HostId } from '../../model/text.ts';

/**
 * How hosts that wait with one token become one cluster: exactly one of them founds it and owns all numbers at first.
 * Without I/O: hosts that can be reached, messages and time come in, messages go out after the state is on disk. What is
 * lost is said again with the next tick. Why it is so: docs/decisions/0007.
 */
export interface Genesis {
  /** Of the cluster: the hash of what the founder signed. */
  readonly id: string;
  readonly founder: string;
  /** The hosts that waited together; all of them have promised to join. */
  readonly view: readonly string[];
}

export type Standing =
  /** `promised`: to whom it gave its word, and until when it keeps it. */
  | { readonly kind: 'waiting'; readonly promised?: { readonly genesis: Genesis; readonly until: number } | undefined }
  /** `begun`: the cluster gave numbers away or holds some; known for certain to its founder only. */
  | { readonly kind: 'member'; readonly genesis: Genesis; readonly begun: boolean };

export type Message =
  | { readonly kind: 'here'; readonly genesis?: Genesis | undefined; readonly begun: boolean }
  | { readonly kind: 'propose' | 'promise' | 'refuse' | 'withdraw' | 'founded' | 'joined'; readonly genesis: Genesis }
  /** A member tells its founder of another cluster that it met. */
  | { readonly kind: 'met'; readonly genesis: Genesis; readonly begun: boolean }
  /** The founder of `from` has given way. */
  | { readonly kind: 'moved'; readonly genesis: Genesis; readonly from: string; readonly begun: boolean };

/** The most hosts that can wait together. */
export const mostWaiting = 256;

export const times = {
  /** How long nobody may have come or gone before something is decided, in milliseconds. */
  quiet: 1_000,
  /** How long a proposal is waited for by who made it. */
  proposal: 3_000,
  /** How long a promise is kept when its founder is not heard of. */
  promise: 10_000,
  /** How long a founder that nobody hears of is waited for by who joined its cluster before it began. */
  founder: 30_000,
} as const;

const GenesisRecord = v.looseObject({
  id: HexId,
  founder: HostId,
  view: v.pipe(v.array(HostId), v.minLength(1), v.maxLength(mostWaiting)),
});
export const StandingRecord = v.variant('kind', [
  v.object({
    kind: v.literal('waiting'),
    promised: v.optional(v.object({ genesis: GenesisRecord, until: v.number() })),
  }),
  v.object({ kind: v.literal('member'), genesis: GenesisRecord, begun: v.boolean() }),
]);
export const MessageRecord = v.variant('kind', [
  v.looseObject({ kind: v.literal('here'), genesis: v.optional(GenesisRecord), begun: v.boolean() }),
  v.looseObject({
    kind: v.picklist(['propose', 'promise', 'refuse', 'withdraw', 'founded', 'joined']),
    genesis: GenesisRecord,
  }),
  v.looseObject({ kind: v.literal('met'), genesis: GenesisRecord, begun: v.boolean() }),
  v.looseObject({ kind: v.literal('moved'), genesis: GenesisRecord, from: HexId, begun: v.boolean() }),
]);

/** @throws ParseError */
export function parseMessage(json: unknown): Message {
  return parseRecord(MessageRecord, json, 'the message');
}

export interface OpenBeginning {
  readonly self: string;
  readonly standing?: Standing;
  /** Makes the genesis of a cluster of these hosts, signed by this one. */
  readonly found: (view: readonly string[]) => Genesis;
  /** Whether this host was shown that it may join the cluster with this id: it does not go by hearsay. */
  readonly mayJoin: (cluster: string) => boolean;
}

export interface Letter {
  readonly to: string;
  readonly message: Message;
}

export class Beginning {
  readonly #self: string;
  readonly #found: (view: readonly string[]) => Genesis;
  readonly #mayJoin: (cluster: string) => boolean;
  #standing: Standing;
  #reached: ReadonlySet<string> = new Set();
  /** Since when nobody came or went. */
  #quietSince = Number.POSITIVE_INFINITY;
  /** Hosts that can be reached and have said what they are, with what they said. */
  readonly #heard = new Map<string, Message & { readonly kind: 'here' }>();
  #proposal: { readonly genesis: Genesis; readonly made: number; readonly promised: Set<string> } | undefined;
  readonly #joined = new Set<string>();
  #refused: Genesis | undefined;
  /** Since when the founder of the cluster that has not begun is not reached. */
  #missedSince: number | undefined;
  /** Clusters whose founder was waited for in vain: only it can bring this host back. */
  readonly #left = new Set<string>();
  #letters: Letter[] = [];

  constructor({ self, standing = { kind: 'waiting' }, found, mayJoin }: OpenBeginning) {
    this.#self = self;
    this.#found = found;
    this.#mayJoin = mayJoin;
    this.#standing = standing;
    if (standing.kind === 'member') this.#joined.add(self);
  }

  /** What must be on disk before the letters are sent. */
  get standing(): Standing {
    return this.#standing;
  }

  /** Another cluster that gave numbers away too: neither gives way, one of them has to be reset. */
  get refused(): Genesis | undefined {
    return this.#refused;
  }

  /** What is to be sent; empty afterwards. */
  take(): readonly Letter[] {
    const letters = this.#letters;
    this.#letters = [];
    return letters;
  }

  /** The hosts that have the token and can be reached, directly or through others. */
  see(hosts: ReadonlySet<string>, now: number): void {
    const reached = new Set([...hosts].filter((host) => host !== this.#self));
    const same = reached.size === this.#reached.size && [...reached].every((host) => this.#reached.has(host));
    if (same && this.#quietSince !== Number.POSITIVE_INFINITY) return;
    this.#reached = reached;
    this.#quietSince = now;
    for (const host of this.#heard.keys()) if (!reached.has(host)) this.#heard.delete(host);
    for (const host of reached) this.#send(host, this.#here());
  }

  /**
   * Whether this host, as the founder, may give numbers away; from then on the cluster has begun and gives way to none. Only
   * when most of those who promised know that it was founded, and nobody has come for a while with whom that is not settled.
   */
  begin(now: number): boolean {
    const standing = this.#standing;
    if (standing.kind !== 'member' || standing.genesis.founder !== this.#self) return false;
    if (standing.begun) return true;
    const { genesis } = standing;
    const most = genesis.view.filter((host) => this.#joined.has(host)).length * 2 > genesis.view.length;
    const settled = [...this.#reached].every((host) => this.#heard.get(host)?.genesis?.id === genesis.id);
    if (!most || !settled || now - this.#quietSince < times.quiet) return false;
    this.#standing = { ...standing, begun: true };
    this.#tellAll();
    return true;
  }

  /** A cluster that runs has let this host in. Answers whether it belongs to it now; not when its own has begun. */
  enter(genesis: Genesis): boolean {
    const standing = this.#standing;
    if (standing.kind === 'member' && standing.begun) return standing.genesis.id === genesis.id;
    const from =
      standing.kind === 'member' && standing.genesis.founder === this.#self ? standing.genesis.id : undefined;
    if (from === undefined || from === genesis.id) this.#join(genesis, true);
    else this.#giveWay(from, genesis, true);
    return true;
  }

  tick(now: number): void {
    this.#leave(now);
    this.#tellAll();
    const standing = this.#standing;
    if (standing.kind === 'member') {
      this.#repeatFounded(standing);
      return;
    }
    if (standing.promised && now > standing.promised.until) this.#standing = { kind: 'waiting' };
    if (this.#proposal) this.#pursue(now);
    else if (!standing.promised) this.#propose(now);
  }

  hear(from: string, message: Message, now: number): void {
    if (!this.#reached.has(from)) return;
    const { kind, genesis } = message;
    if (kind === 'here') this.#hearHere(from, message);
    else if (kind === 'propose') this.#hearProposal(from, genesis, now);
    else if (kind === 'founded') this.#hearFounded(from, genesis);
    else if (kind === 'met') this.#meet(genesis, message.begun);
    else if (kind === 'moved') this.#hearMoved(from, message);
    else this.#hearWord(from, kind, genesis);
  }

  #hearHere(from: string, message: Message & { readonly kind: 'here' }): void {
    this.#heard.set(from, message);
    const { genesis, begun } = message;
    const standing = this.#standing;
    if (standing.kind === 'member' && standing.genesis.id !== genesis?.id) this.#joined.delete(from);
    if (genesis === undefined) return;
    if (standing.kind === 'waiting') {
      // Nobody waits for a promise that was given to a cluster that is not founded.
      if (this.#proposal) this.#withdraw();
      if (begun || from === genesis.founder || !this.#left.has(genesis.id)) this.#tryJoin(genesis, begun);
    } else if (standing.genesis.id !== genesis.id && from === standing.genesis.founder) {
      // It has given way, and what it said of that was lost.
      this.#tryJoin(genesis, begun);
    } else if (standing.genesis.id !== genesis.id) {
      this.#meet(genesis, begun);
      const { founder } = standing.genesis;
      if (founder !== this.#self) this.#send(founder, { kind: 'met', genesis, begun });
    } else if (begun && !standing.begun) this.#standing = { ...standing, begun };
    if (this.#standing.kind === 'member' && this.#standing.genesis.id === genesis.id) this.#joined.add(from);
  }

  #hearProposal(from: string, genesis: Genesis, now: number): void {
    const standing = this.#standing;
    if (standing.kind === 'member' || from !== genesis.founder) return;
    const before = standing.promised;
    const mine = [...this.#reached, this.#self].toSorted();
    const isWhole = mine.length === genesis.view.length && mine.every((host, i) => host === genesis.view[i]);
    // Who proposes again has withdrawn what it proposed before.
    const isFree = this.#proposal === undefined && (before === undefined || before.genesis.founder === from);
    if (!isWhole || !isFree || mine[0] !== from) {
      this.#send(from, { kind: 'refuse', genesis });
      return;
    }
    this.#standing = { kind: 'waiting', promised: { genesis, until: now + times.promise } };
    this.#send(from, { kind: 'promise', genesis });
  }

  #hearWord(from: string, kind: 'promise' | 'refuse' | 'withdraw' | 'joined', genesis: Genesis): void {
    const standing = this.#standing;
    const proposal = this.#proposal?.genesis.id === genesis.id ? this.#proposal : undefined;
    if (kind === 'promise' && proposal) {
      proposal.promised.add(from);
      if (genesis.view.every((host) => proposal.promised.has(host))) this.#establish(proposal.genesis);
    } else if (kind === 'refuse' && proposal) this.#withdraw();
    else if (kind === 'withdraw' && standing.kind === 'waiting' && standing.promised?.genesis.id === genesis.id) {
      if (from === genesis.founder) this.#standing = { kind: 'waiting' };
    } else if (kind === 'joined' && standing.kind === 'member' && standing.genesis.id === genesis.id)
      this.#joined.add(from);
  }

  #hearFounded(from: string, genesis: Genesis): void {
    if (from !== genesis.founder) return;
    const standing = this.#standing;
    if (standing.kind === 'waiting') this.#tryJoin(genesis, false);
    if (this.#standing.kind === 'member' && this.#standing.genesis.id === genesis.id) {
      this.#send(from, { kind: 'joined', genesis });
    }
  }

  /** Two clusters: one that has not begun gives way, of two such the one with the greater id. Its founder says so. */
  #meet(other: Genesis, begun: boolean): void {
    const standing = this.#standing;
    if (standing.kind === 'waiting' || standing.genesis.id === other.id) return;
    if (standing.begun) {
      if (begun) this.#refused = other;
      return;
    }
    if (standing.genesis.founder !== this.#self || !(begun || other.id < standing.genesis.id)) return;
    if (this.#mayJoin(other.id)) this.#giveWay(standing.genesis.id, other, begun);
  }

  #giveWay(from: string, genesis: Genesis, begun: boolean): void {
    this.#join(genesis, begun);
    for (const host of this.#reached) this.#send(host, { kind: 'moved', genesis, from, begun });
  }

  #hearMoved(from: string, { genesis, begun, from: old }: Message & { readonly kind: 'moved' }): void {
    const standing = this.#standing;
    if (standing.kind !== 'member' || standing.genesis.id !== old || standing.genesis.founder !== from) return;
    this.#tryJoin(genesis, begun);
  }

  #tryJoin(genesis: Genesis, begun: boolean): void {
    if (this.#mayJoin(genesis.id)) this.#join(genesis, begun);
  }

  /** A cluster that has not begun and whose founder is gone will not begin. */
  #leave(now: number): void {
    const standing = this.#standing;
    const misses =
      standing.kind === 'member' &&
      !standing.begun &&
      standing.genesis.founder !== this.#self &&
      !this.#reached.has(standing.genesis.founder);
    this.#missedSince = misses ? (this.#missedSince ?? now) : undefined;
    if (!misses || now - (this.#missedSince ?? now) < times.founder) return;
    this.#left.add(standing.genesis.id);
    this.#standing = { kind: 'waiting' };
    this.#missedSince = undefined;
  }

  #join(genesis: Genesis, begun: boolean): void {
    this.#proposal = undefined;
    this.#standing = { kind: 'member', genesis, begun };
    this.#joined.clear();
    this.#joined.add(this.#self);
    for (const [host, said] of this.#heard) if (said.genesis?.id === genesis.id) this.#joined.add(host);
    if (this.#reached.has(genesis.founder)) this.#send(genesis.founder, { kind: 'joined', genesis });
    this.#tellAll();
  }

  #propose(now: number): void {
    const view = [...this.#reached, this.#self].toSorted();
    const isQuiet = now - this.#quietSince >= times.quiet;
    const allWait = [...this.#reached].every(
      (host) => this.#heard.get(host)?.genesis === undefined && this.#heard.has(host),
    );
    if (view.length < 2 || view.length > mostWaiting || view[0] !== this.#self || !isQuiet || !allWait) return;
    const genesis = this.#found(view);
    this.#proposal = { genesis, made: now, promised: new Set([this.#self]) };
    for (const host of this.#reached) this.#send(host, { kind: 'propose', genesis });
  }

  #pursue(now: number): void {
    const proposal = this.#proposal;
    if (proposal === undefined) return;
    const isChanged = proposal.genesis.view.some((host) => host !== this.#self && !this.#reached.has(host));
    const isGrown = this.#reached.size + 1 !== proposal.genesis.view.length;
    if (isChanged || isGrown || now - proposal.made > times.proposal) this.#withdraw();
    else
      for (const host of this.#reached)
        if (!proposal.promised.has(host)) this.#send(host, { kind: 'propose', genesis: proposal.genesis });
  }

  #withdraw(): void {
    const proposal = this.#proposal;
    this.#proposal = undefined;
    for (const host of proposal?.genesis.view ?? []) {
      if (host !== this.#self && proposal) this.#send(host, { kind: 'withdraw', genesis: proposal.genesis });
    }
  }

  #establish(genesis: Genesis): void {
    this.#join(genesis, false);
    for (const host of this.#reached) this.#send(host, { kind: 'founded', genesis });
  }

  #repeatFounded({ genesis }: Standing & { readonly kind: 'member' }): void {
    if (genesis.founder !== this.#self) return;
    for (const host of this.#reached) if (!this.#joined.has(host)) this.#send(host, { kind: 'founded', genesis });
  }

  #here(): Message {
    const standing = this.#standing;
    return standing.kind === 'member'
      ? { kind: 'here', genesis: standing.genesis, begun: standing.begun }
      : { kind: 'here', begun: false };
  }

  #tellAll(): void {
    for (const host of this.#reached) this.#send(host, this.#here());
  }

  #send(to: string, message: Message): void {
    this.#letters.push({ to, message });
  }
}

/** What the user is told when two clusters that both gave numbers away meet. */
export function refusalOf(mine: Genesis, other: Genesis): string {
  return `cluster ${other.id.slice(0, 12)} and this one (${mine.id.slice(0, 12)}) have both given out addresses and cannot become one; run skein reset on the hosts of the one that is to go, then connect them again`;
}
