import type { Clock, Link, Links } from './environment.ts';
import type { LinkMessage } from './messages.ts';

/** Milliseconds. */
const pace = {
  /** Between two looks at which links there should be. */
  look: 250,
  /** Before an address is tried again: doubles up to `most`; chance decides about half of it. */
  first: 250,
  most: 10_000,
  /** For which who should be dialled by the other side is waited for. */
  patience: 1_000,
  /** After which a link that is not needed any more may end. */
  idle: 10_000,
} as const;

/** Links that others may open beyond those that this host wants. */
const mostLinks = 64;

export interface ConnectionsNeeds {
  readonly self: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly links: Links;
  /** Addresses given by hand: whoever answers there. */
  readonly targets: () => readonly string[];
  /** Whether a host is chosen as a neighbour when it should be one, however it was found. */
  readonly isMember: (host: string) => boolean;
  /** The hosts to have links with. */
  readonly wanted: () => ReadonlySet<string>;
  readonly addressesOf: (host: string) => readonly string[];
  readonly opened: (link: Link) => void;
  readonly closed: (peer: string) => void;
}

/** A link, or what is done to have one. Times are of the clock. */
export interface Connection {
  /** None while nobody answered at the address. */
  readonly peer: string | undefined;
  /** Where it was dialled last; none of what others dialled. */
  readonly address: string | undefined;
  readonly byHand: boolean;
  readonly dialled: boolean;
  readonly state: 'established' | 'connecting' | 'retrying';
  readonly since: number;
  /** Why the last attempt failed, and when the next one is due. */
  readonly why: string | undefined;
  readonly next: number | undefined;
}

interface Attempt {
  failures: number;
  since: number;
  address: string | undefined;
  why: string | undefined;
  /** When to try again. */
  next: number;
  underWay: boolean;
}

/** The links of this host: one to each peer at most, dialled until they are there. */
export class Connections {
  readonly #needs: ConnectionsNeeds;
  readonly #links = new Map<string, { readonly link: Link; readonly since: number }>();
  readonly #attempts = new Map<string, Attempt>();
  /** Who answered at a target. */
  readonly #found = new Map<string, string>();
  /** Those whose buffer was full: they miss something. */
  readonly #full = new Set<string>();

  constructor(needs: ConnectionsNeeds) {
    this.#needs = needs;
  }

  start(): void {
    this.#look();
    this.#needs.clock.after(pace.look, () => this.start());
  }

  /** The links, what is dialled, and the targets whether they have a link or not. */
  list(): readonly Connection[] {
    const targets = new Set(this.#needs.targets());
    const addressOf = new Map(Array.from(this.#found, ([target, peer]) => [peer, target]));
    const links = Array.from(this.#links, ([peer, { link, since }]): Connection => {
      const target = addressOf.get(peer);
      const byHand = target !== undefined && targets.has(target);
      const { dialled } = link;
      const address = target ?? this.#needs.addressesOf(peer)[0];
      return { peer, address, byHand, dialled, state: 'established', since, why: undefined, next: undefined };
    });
    const attempts = Array.from(this.#attempts, ([key, { since, address, why, next, underWay }]): Connection => {
      const byHand = targets.has(key);
      const state = underWay || why === undefined ? 'connecting' : 'retrying';
      const peer = byHand ? this.#found.get(key) : key;
      return { peer, address: address ?? (byHand ? key : undefined), byHand, dialled: true, state, since, why, next };
    });
    return [...links, ...attempts];
  }

  /** Who answered at a target the last time. */
  behind(target: string): string | undefined {
    return this.#found.get(target);
  }

  /** Who has a link with this host. */
  peers(): Iterable<string> {
    return this.#links.keys();
  }

  has(peer: string): boolean {
    return this.#links.has(peer);
  }

  send(peer: string, message: LinkMessage): void {
    const link = this.#links.get(peer)?.link;
    if (link !== undefined && !this.#full.has(peer) && !link.send(message)) this.#full.add(peer);
  }

  /** Tells whether something was left out while it was full. */
  drained(link: Link): boolean {
    return this.#links.get(link.peer)?.link === link && this.#full.delete(link.peer);
  }

  /** Whether frames of this link count. */
  holds(link: Link): boolean {
    return this.#links.get(link.peer)?.link === link;
  }

  /**
   * Takes on a link that another host dialled, or this one. Of two with one peer the one that the lower id dialled
   * stays, or the newer.
   */
  open(link: Link): void {
    const { self, clock, opened } = this.#needs;
    const { peer } = link;
    const other = this.#links.get(peer)?.link;
    const preferred = (one: Link) => one.dialled === self < peer;
    if (peer === self) {
      link.close('this is the host itself');
      return;
    }
    if (other !== undefined && preferred(other) && !preferred(link)) {
      link.close('there is a link already');
      return;
    }
    if (other === undefined && this.#links.size >= mostLinks && !this.#needs.wanted().has(peer)) {
      link.close('this host has as many links as it takes');
      return;
    }
    this.#links.set(peer, { link, since: clock.now() });
    this.#full.delete(peer);
    this.#attempts.delete(peer);
    other?.close('there is a newer link');
    opened(link);
  }

  /** A link ended. */
  close(link: Link): void {
    if (!this.holds(link)) return;
    this.#links.delete(link.peer);
    this.#full.delete(link.peer);
    this.#needs.closed(link.peer);
  }

  /** Ends the link with a peer, if there is one. */
  drop(peer: string, why: string): void {
    const link = this.#links.get(peer)?.link;
    if (link === undefined) return;
    this.close(link);
    link.close(why);
  }

  /** It may be reached again: it is not waited for any longer. */
  hurry(peer: string): void {
    this.#attempts.delete(peer);
  }

  /** Wanted hosts that could not be reached directly. */
  unreachable(): ReadonlySet<string> {
    return new Set([...this.#attempts].filter(([, { failures }]) => failures >= 2).map(([host]) => host));
  }

  #look(): void {
    const wanted = this.#needs.wanted();
    for (const host of wanted) if (!this.#links.has(host)) this.#try(host, this.#needs.addressesOf(host), host);
    for (const target of this.#needs.targets()) {
      const found = this.#found.get(target);
      if (found === undefined || (!this.#links.has(found) && !this.#needs.isMember(found)))
        this.#try(target, [target], undefined);
    }
    for (const key of this.#attempts.keys())
      if (!wanted.has(key) && !this.#needs.targets().includes(key)) this.#attempts.delete(key);
    this.#dropIdle(wanted);
  }

  /** A target may have brought links that nobody needs any more, and so may hosts that came or went. */
  #dropIdle(wanted: ReadonlySet<string>): void {
    const enough = [...wanted].filter((host) => this.#links.has(host)).length >= 3;
    const before = this.#needs.clock.now() - pace.idle;
    const idle = [...this.#links].filter(
      ([peer, { link, since }]) => link.dialled && since < before && !wanted.has(peer),
    );
    if (enough) for (const [peer] of idle) this.drop(peer, 'not needed any more');
  }

  #try(key: string, addresses: readonly string[], host: string | undefined): void {
    const { clock, random, links, self } = this.#needs;
    const now = clock.now();
    const patience = host !== undefined && host < self ? pace.patience : 0;
    const attempt = this.#attempts.get(key) ?? {
      ...{ failures: 0, since: now, next: now + patience, underWay: false },
      ...{ address: undefined, why: undefined },
    };
    this.#attempts.set(key, attempt);
    const address = addresses[attempt.failures % addresses.length];
    if (attempt.underWay || now < attempt.next || address === undefined) return;
    attempt.underWay = true;
    attempt.address = address;
    links.dial(address, host, {
      opened: (link) => {
        this.#attempts.delete(key);
        if (host === undefined) this.#found.set(key, link.peer);
        this.open(link);
      },
      failed: (why) => {
        attempt.underWay = false;
        attempt.why = why;
        const most = Math.min(pace.most, pace.first * 2 ** Math.min(attempt.failures, 20));
        attempt.next = clock.now() + (most * (1 + random())) / 2;
        attempt.failures += 1;
      },
    });
  }
}
