import type { Clock, Seal } from '../environment.ts';
import { Neighbours } from '../neighbours.ts';

const pace = {
  /** Between two looks at whom to call, in milliseconds. */
  look: 250,
  /** Before a host is called again: doubles up to `most`; chance decides about half of it. */
  first: 250,
  most: 10_000,
  /** For which the host with the lower id is left to call. */
  patience: 500,
} as const;

/** Calls under way at a time. */
const mostCalls = 8;

export interface CallsNeeds {
  readonly self: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly seal: Pick<Seal, 'hash'>;
  /** Resolves when the attempt has ended, in whatever way. */
  readonly dial: (address: string, host: string) => Promise<void>;
  readonly addresses: () => ReadonlyMap<string, readonly string[]>;
  readonly has: (host: string) => boolean;
}

interface Attempt {
  failures: number;
  next: number;
  underWay: boolean;
}

/** Calls the hosts that this one heard of and has no channel with: all of few, some of many. */
export class Calls {
  readonly #needs: CallsNeeds;
  readonly #neighbours: Neighbours;
  readonly #attempts = new Map<string, Attempt>();
  #closed = false;

  constructor(needs: CallsNeeds) {
    this.#needs = needs;
    this.#neighbours = new Neighbours(needs.seal);
  }

  start(): void {
    if (this.#closed) return;
    this.#look();
    this.#needs.clock.after(pace.look, () => this.start());
  }

  close(): void {
    this.#closed = true;
  }

  #look(): void {
    const { self, has, addresses } = this.#needs;
    const known = addresses();
    const wanted = this.#neighbours.of(self, known.keys());
    for (const host of this.#attempts.keys()) if (!wanted.has(host) || has(host)) this.#attempts.delete(host);
    for (const host of wanted) if (!has(host)) this.#try(host, known.get(host) ?? []);
  }

  #try(host: string, addresses: readonly string[]): void {
    const { self, clock, random, dial } = this.#needs;
    const now = clock.now();
    const patience = host < self ? pace.patience : 0;
    const attempt = this.#attempts.get(host) ?? { failures: 0, next: now + patience, underWay: false };
    this.#attempts.set(host, attempt);
    const address = addresses[attempt.failures % addresses.length];
    const busy = [...this.#attempts.values()].filter(({ underWay }) => underWay).length >= mostCalls;
    if (attempt.underWay || busy || now < attempt.next || address === undefined) return;
    attempt.underWay = true;
    const ended = () => {
      attempt.underWay = false;
      const wait = Math.min(pace.most, pace.first * 2 ** Math.min(attempt.failures, 20));
      attempt.next = clock.now() + (wait * (1 + random())) / 2;
      attempt.failures += 1;
    };
    dial(address, host).then(ended, ended);
  }
}
