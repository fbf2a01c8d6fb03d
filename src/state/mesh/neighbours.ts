import type { Seal } from './environment.ts';

/** Up to as many hosts everybody is everybody's neighbour. */
export const fullMesh = 12;

const rings = 4;

/**
 * Which hosts keep links with each other: where all see the same hosts they choose the same pairs, and one host more or less
 * changes the neighbours of few. Beyond `fullMesh` hosts, those before and after it on four rings, on each of which the
 * hosts stand in another order (Law, Siu: Distributed Construction of Random Expander Networks, 2003): at most eight, and
 * few steps from any host to any other.
 */
export class Neighbours {
  readonly #seal: Pick<Seal, 'hash'>;
  readonly #places = new Map<string, readonly string[]>();

  constructor(seal: Pick<Seal, 'hash'>) {
    this.#seal = seal;
  }

  of(self: string, hosts: Iterable<string>): ReadonlySet<string> {
    const others = [...hosts].filter((host) => host !== self);
    if (others.length < fullMesh) return new Set(others);
    const chosen = new Set<string>();
    for (let ring = 0; ring < rings; ring += 1) {
      const own = this.#place(self, ring);
      let [first, last, before, after]: (string | undefined)[] = [];
      for (const host of others) {
        const place = this.#place(host, ring);
        if (first === undefined || place < this.#place(first, ring)) first = host;
        if (last === undefined || place > this.#place(last, ring)) last = host;
        if (place > own && (after === undefined || place < this.#place(after, ring))) after = host;
        if (place < own && (before === undefined || place > this.#place(before, ring))) before = host;
      }
      for (const host of [before ?? last, after ?? first]) if (host !== undefined) chosen.add(host);
    }
    return chosen;
  }

  #place(host: string, ring: number): string {
    let places = this.#places.get(host);
    if (places === undefined) {
      const hash = this.#seal.hash(host);
      places = Array.from({ length: rings }, (_, at) => `${hash.slice(at * 8, at * 8 + 8)}${host}`);
      this.#places.set(host, places);
    }
    return places[ring] ?? host;
  }
}
