import { networkOf } from './head.ts';
import { listIn } from './host-sheet.ts';
import type { Scope } from './sheets.ts';
import type { Shelf } from './shelf.ts';

export interface FollowersNeeds {
  readonly self: string;
  readonly random: () => number;
  readonly shelf: Shelf;
  /** The networks whose sheets this host holds. */
  readonly followed: () => ReadonlySet<string>;
  readonly lives: (host: string) => boolean;
  readonly peers: () => Iterable<string>;
}

/** Who holds what, as hosts say in their sheets: whom to ask for a network's sheets, and what to compare with whom. */
export class Followers {
  readonly #needs: FollowersNeeds;

  constructor(needs: FollowersNeeds) {
    this.#needs = needs;
  }

  /** Whether a host holds sheets of the scope. */
  holds(host: string, scope: Scope): boolean {
    const network = networkOf(scope);
    return network === undefined || this.#networksOf(host).includes(network);
  }

  /** Any host on the network that lives, rather one with a link. */
  of(network: string): string | undefined {
    const { self, lives, shelf, peers } = this.#needs;
    const isOn = (id: string) => id !== self && lives(id) && this.#networksOf(id).includes(network);
    const near = [...peers()].filter(isOn);
    return this.#pick(near.length > 0 ? near : [...shelf.within('host').keys()].filter(isOn));
  }

  /** What this host and another both hold. */
  groupsWith(host: string): readonly string[] {
    const theirs = new Set(this.#networksOf(host));
    const shared = [...this.#needs.followed()].filter((network) => theirs.has(network));
    return ['all', ...shared.map((network) => `network:${network}`)];
  }

  /** Whom to compare with next: a neighbour, and for one network that no neighbour may be on, somebody who is. */
  partners(): { peer: string; groups: readonly string[] }[] {
    const peer = this.#pick([...this.#needs.peers()]);
    const near = peer === undefined ? [] : [{ peer, groups: this.groupsWith(peer) }];
    const network = this.#pick([...this.#needs.followed()]);
    const follower = network === undefined ? undefined : this.of(network);
    if (follower === undefined || follower === peer) return near;
    return [...near, { peer: follower, groups: [`network:${network}`] }];
  }

  #networksOf(host: string): readonly string[] {
    return listIn(this.#needs.shelf.read(host, 'host'), 'networks');
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.#needs.random() * from.length)];
  }
}
