import type { Clock, Seal } from './environment.ts';
import { Neighbours } from './neighbours.ts';
import type { Member } from './sheets.ts';

/** For which a peer that passed on what it should have seen to be wrong gets no link, in milliseconds. */
const shunned = 60_000;
const mostShunned = 256;

export interface TopologyNeeds {
  readonly self: string;
  readonly clock: Clock;
  readonly seal: Pick<Seal, 'hash'>;
  readonly members: () => readonly Member[];
  /** Those that could not be reached directly lately. */
  readonly unreachable: () => ReadonlySet<string>;
}

/** Which hosts this one should have links with. */
export class Topology {
  readonly #needs: TopologyNeeds;
  readonly #neighbours: Neighbours;
  readonly #shunned = new Map<string, number>();
  #chosen: ReadonlySet<string> | undefined;

  constructor(needs: TopologyNeeds) {
    this.#needs = needs;
    this.#neighbours = new Neighbours(needs.seal);
  }

  /** Hosts came, went, or are thought of otherwise. */
  changed(): void {
    this.#chosen = undefined;
  }

  /**
   * The neighbours, and those of lost hosts that would be neighbours, so that both see when they can reach each other
   * again. Where one cannot be reached, those in its place too.
   */
  wanted(): ReadonlySet<string> {
    const { self, unreachable } = this.#needs;
    this.#chosen ??= this.#choose();
    const avoided = new Set([...unreachable(), ...this.#shunned.keys()]);
    if (avoided.size === 0) return this.#chosen;
    const others = this.#hosts(['alive', 'suspect']).filter((id) => !avoided.has(id));
    const wanted = [...this.#chosen, ...this.#neighbours.of(self, others)];
    return new Set(wanted.filter((id) => !this.shuns(id)));
  }

  /** No links with this peer for a while. */
  shun(peer: string): void {
    if (this.#shunned.size < mostShunned) this.#shunned.set(peer, this.#needs.clock.now() + shunned);
  }

  shuns(peer: string): boolean {
    const until = this.#shunned.get(peer);
    if (until !== undefined && until <= this.#needs.clock.now()) this.#shunned.delete(peer);
    return this.#shunned.has(peer);
  }

  #choose(): ReadonlySet<string> {
    const { self } = this.#needs;
    const alive = this.#neighbours.of(self, this.#hosts(['alive', 'suspect']));
    const all = this.#neighbours.of(self, this.#hosts(['alive', 'suspect', 'lost']));
    return new Set([...alive, ...all]);
  }

  #hosts(states: readonly string[]): string[] {
    return this.#needs.members().flatMap(({ id, state }) => (states.includes(state) ? [id] : []));
  }
}
