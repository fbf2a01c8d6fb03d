/**
 * The next host on a shortest way to another one, over the links that hosts say they have: for hosts that cannot reach each
 * other directly. Ways are looked for again when links changed.
 */
export class Routes {
  readonly #self: string;
  readonly #linksOf: (host: string) => readonly string[];
  #next: Map<string, string> | undefined;

  /** `linksOf` answers for this host too. */
  constructor(self: string, linksOf: (host: string) => readonly string[]) {
    this.#self = self;
    this.#linksOf = linksOf;
  }

  /** Links have changed. */
  changed(): void {
    this.#next = undefined;
  }

  /** The neighbour to hand over to; undefined when there is no way. */
  next(to: string): string | undefined {
    this.#next ??= this.#search();
    return this.#next.get(to);
  }

  #search(): Map<string, string> {
    const next = new Map<string, string>();
    let far: string[] = [];
    for (const peer of this.#linksOf(this.#self)) {
      next.set(peer, peer);
      far.push(peer);
    }
    while (far.length > 0) {
      const farther: string[] = [];
      for (const host of far) {
        for (const other of this.#linksOf(host)) {
          if (other === this.#self || next.has(other)) continue;
          next.set(other, next.get(host) ?? host);
          farther.push(other);
        }
      }
      far = farther;
    }
    return next;
  }
}
