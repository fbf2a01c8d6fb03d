import type { Clock } from './environment.ts';
import { networkOf } from './head.ts';
import type { Scope } from './sheets.ts';
import type { Shelf } from './shelf.ts';

/** For how long a host that has nothing on a network any more still answers for having said so, in milliseconds. */
const linger = 60_000;

/**
 * The networks whose sheets this host holds: those it follows; those on which it says something; and for a while those on
 * which it has said that it has nothing any more, which the others must hear.
 */
export class Interest {
  readonly #self: string;
  readonly #clock: Clock;
  readonly #shelf: Shelf;
  readonly #changed: (held: ReadonlySet<string>, before: ReadonlySet<string>) => void;
  readonly #lingering = new Set<string>();
  /** Undefined until it is said: what the disk holds may be wanted still. */
  #followed: ReadonlySet<string> | undefined;
  #held: ReadonlySet<string> = new Set();

  constructor(
    needs: { self: string; clock: Clock; shelf: Shelf },
    changed: (held: ReadonlySet<string>, before: ReadonlySet<string>) => void,
  ) {
    this.#self = needs.self;
    this.#clock = needs.clock;
    this.#shelf = needs.shelf;
    this.#changed = changed;
  }

  get networks(): ReadonlySet<string> {
    return this.#held;
  }

  holds(scope: Scope): boolean {
    const network = networkOf(scope);
    return network === undefined || this.#held.has(network);
  }

  /** What was said in earlier lives may not have come to anybody. */
  start(): void {
    for (const { owner, scope } of [...this.#shelf.all()]) if (owner === this.#self) this.said(scope);
  }

  follow(networks: Iterable<string>): void {
    const first = this.#followed === undefined;
    this.#followed = new Set(networks);
    this.#look(first);
  }

  /** This host's own sheet in the scope has changed. */
  said(scope: Scope): void {
    const network = networkOf(scope);
    if (network === undefined) return;
    this.#lingering.add(network);
    this.#clock.after(linger, () => this.#lingering.delete(network) && this.#look());
    this.#look();
  }

  #look(anyway = false): void {
    const held = new Set([...(this.#followed ?? []), ...this.#lingering, ...this.#said()]);
    const same = held.size === this.#held.size && [...held].every((network) => this.#held.has(network));
    if (same && !anyway) return;
    const before = this.#held;
    this.#held = held;
    this.#changed(held, before);
  }

  *#said(): Generator<string> {
    for (const { owner, scope, entries } of this.#shelf.all()) {
      const network = networkOf(scope);
      if (owner === this.#self && network !== undefined && entries.size > 0) yield network;
    }
  }
}
