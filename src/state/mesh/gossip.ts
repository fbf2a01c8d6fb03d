/** How often a piece of news rides on a datagram: as often as it takes to come to everybody, almost surely. */
export function rides(hosts: number): number {
  return 3 * Math.ceil(Math.log10(hosts + 1));
}

/** News that ride on datagrams which go anyway, those that rode least often first; about one host the latest only. */
export class Gossip {
  readonly #left = new Map<string, number>();

  add(id: string, hosts: number): void {
    this.#left.set(id, rides(hosts));
  }

  take(most: number): string[] {
    const taken = [...this.#left].sort(([, one], [, other]) => other - one).slice(0, most);
    for (const [id, left] of taken) {
      if (left <= 1) this.#left.delete(id);
      else this.#left.set(id, left - 1);
    }
    return taken.map(([id]) => id);
  }
}
