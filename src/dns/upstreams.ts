import type { Log } from '../lib/log.ts';
import type { Resolver } from './host-resolvers.ts';

/** So many are remembered. */
const most = 64;
/** A server that was silent is asked after the others for so long. */
const grudge = 10_000;
/** What a server does not know it may have learned by then. */
const plainFor = 600_000;
/** Of one that goes and comes not every time is told. */
const toldEvery = 60_000;

interface Upstream {
  /** When it said something last. */
  heardAt: number;
  silentSince: number | undefined;
  /** When it was last said that it is silent. */
  told: number | undefined;
  /** Until then it knows no EDNS. */
  plainUntil: number;
}

/** How the servers that were asked behaved. */
export class Upstreams {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #known = new Map<string, Upstream>();

  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** Those that were silent last. */
  ordered(resolvers: readonly Resolver[]): readonly Resolver[] {
    const now = this.#now();
    const isGood = (resolver: Resolver) => now - (this.#of(resolver).silentSince ?? -Infinity) > grudge;
    return [...resolvers.filter(isGood), ...resolvers.filter((one) => !isGood(one))];
  }

  isSilent(resolver: Resolver): boolean {
    return this.#known.get(keyOf(resolver))?.silentSince !== undefined;
  }

  isPlain(resolver: Resolver): boolean {
    return this.#now() < this.#of(resolver).plainUntil;
  }

  heard(resolver: Resolver): void {
    const upstream = this.#of(resolver);
    upstream.heardAt = this.#now();
    upstream.silentSince = undefined;
  }

  plain(resolver: Resolver): void {
    this.#of(resolver).plainUntil = this.#now() + plainFor;
  }

  /** To a question of `since`. Not what it said nothing to, if it said something else: not everything is its own to answer. */
  silent(resolver: Resolver, since: number): void {
    const upstream = this.#of(resolver);
    if (upstream.heardAt > since) return;
    const now = this.#now();
    upstream.silentSince = now;
    if (upstream.told !== undefined && now - upstream.told < toldEvery) return;
    upstream.told = now;
    this.#log.warn('a resolver does not answer', { resolver: resolver.address });
  }

  #of(resolver: Resolver): Upstream {
    const key = keyOf(resolver);
    let upstream = this.#known.get(key);
    if (upstream === undefined) {
      if (this.#known.size >= most) this.#known.clear();
      upstream = { heardAt: -Infinity, silentSince: undefined, told: undefined, plainUntil: -Infinity };
      this.#known.set(key, upstream);
    }
    return upstream;
  }
}

function keyOf({ address, port }: Resolver): string {
  return `${address} ${port}`;
}
