import type { Allocator } from '../../allocator.ts';
import type { Claims, Space } from '../../claims.ts';
import type { Registry } from '../../registry.ts';
import type { Clock } from '../environment.ts';
import { listIn } from '../host-sheet.ts';
import type { Members, Sheets } from '../sheets.ts';

/** Milliseconds. */
const pace = {
  /** For which a network is followed after something was asked of it. */
  linger: 60_000,
  /** For which what others said on it is waited for; who has not come by then is slow, or says nothing. */
  patience: 300,
} as const;

interface Wanted {
  /** How many there are who want it. */
  by: number;
  /** Resolves when what others said on it has come. */
  readonly arrived: Promise<void>;
}

interface FollowingNeeds {
  readonly sheets: Sheets;
  readonly members: Members;
  readonly clock: Clock;
}

/** Has this host hold what is said on the networks that its parts above ask about, and wait until that has come. */
export class Following {
  readonly #needs: FollowingNeeds;
  readonly #wanted = new Map<string, Wanted>();

  constructor(needs: FollowingNeeds) {
    this.#needs = needs;
    this.#tell();
  }

  registry(registry: Registry): Registry {
    const network = (scope: Parameters<Registry['list']>[0]) =>
      scope.kind === 'endpoints' ? scope.network : undefined;
    const follow = (id: string | undefined) => this.#follow(id);
    const ask = (id: string | undefined) => this.#ask(id);
    return {
      publish: (record) => registry.publish(record),
      withdraw: (scope, id) => registry.withdraw(scope, id),
      async list(scope) {
        await ask(network(scope));
        return await registry.list(scope);
      },
      async *watch(scope, options) {
        const release = follow(network(scope));
        try {
          yield* registry.watch(scope, options);
        } finally {
          release();
        }
      },
    };
  }

  allocator(allocator: Allocator): Allocator {
    const network = (pool: Parameters<Allocator['take']>[0]) => (pool.kind === 'addresses' ? pool.network : undefined);
    return {
      take: async (pool, ...wish) => {
        await this.#ask(network(pool));
        return await allocator.take(pool, ...wish);
      },
      give: (...all) => allocator.give(...all),
      held: async (pool) => {
        await this.#ask(network(pool));
        return await allocator.held(pool);
      },
    };
  }

  claims(claims: Claims): Claims {
    const network = (space: Space) => (space.kind === 'endpoints' ? space.network : undefined);
    const follow = (id: string | undefined) => this.#follow(id);
    return {
      claim: async (space, name, holder) => {
        await this.#ask(network(space));
        await claims.claim(space, name, holder);
      },
      release: (...all) => claims.release(...all),
      holder: async (space, name) => {
        await this.#ask(network(space));
        return await claims.holder(space, name);
      },
      async *watch(space, options) {
        const release = follow(network(space));
        try {
          yield* claims.watch(space, options);
        } finally {
          release();
        }
      },
    };
  }

  /** Something is asked of a network now: what is said on it must have come. */
  async #ask(network: string | undefined): Promise<void> {
    if (network === undefined) return;
    this.#needs.clock.after(pace.linger, this.#follow(network));
    await this.#wanted.get(network)?.arrived;
  }

  #follow(network: string | undefined): () => void {
    if (network === undefined) return () => undefined;
    const wanted = this.#wanted.get(network) ?? this.#begin(network);
    wanted.by += 1;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      wanted.by -= 1;
      if (wanted.by === 0 && this.#wanted.delete(network)) this.#tell();
    };
  }

  #begin(network: string): Wanted {
    const arrival = Promise.withResolvers<void>();
    const wanted = { by: 0, arrived: arrival.promise };
    this.#wanted.set(network, wanted);
    this.#tell();
    this.#arrival(network).then(arrival.resolve, arrival.reject);
    return wanted;
  }

  #tell(): void {
    this.#needs.sheets.follow(this.#wanted.keys());
  }

  /** Who holds a network's sheets says so in its own. */
  #isWhole(network: string): boolean {
    const { sheets, members } = this.#needs;
    return members.list().every(({ id, state }) => {
      if (id === sheets.self || state !== 'alive') return true;
      const isOn = listIn(sheets.read(id, 'host'), 'networks').includes(network);
      return !isOn || sheets.read(id, `network:${network}`) !== undefined;
    });
  }

  #arrival(network: string): Promise<void> {
    const { sheets, clock } = this.#needs;
    if (this.#isWhole(network)) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        unwatch();
        cancel();
        resolve();
      };
      const unwatch = sheets.watch(({ scope }) => {
        if (scope === `network:${network}` && this.#isWhole(network)) done();
      });
      const cancel = clock.after(pace.patience, done);
    });
  }
}
