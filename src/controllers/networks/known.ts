import { findByNameOrId } from '../../lib/find.ts';
import type { Network } from '../../model/network.ts';
import type { Catalog } from '../../state/catalog.ts';

/** The cluster's networks as the catalog's watch tells them. */
export class KnownNetworks {
  readonly #networks = new Map<string, Network>();

  /** Ends with `signal`; `ready` is called with each snapshot. */
  async follow(catalog: Pick<Catalog, 'watch'>, options: { signal: AbortSignal; ready: () => void }): Promise<void> {
    for await (const event of catalog.watch({ signal: options.signal })) {
      switch (event.kind) {
        case 'snapshot':
          this.#networks.clear();
          for (const network of event.networks) this.put(network);
          options.ready();
          break;
        case 'put':
          this.put(event.network);
          break;
        case 'delete':
          this.remove(event.id);
          break;
      }
    }
  }

  put(network: Network): void {
    this.#networks.set(network.id, network);
  }

  remove(id: string): void {
    this.#networks.delete(id);
  }

  /** By name. */
  list(): readonly Network[] {
    return [...this.#networks.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws Refusal 'not-found' | 'invalid' (ambiguous) */
  find(nameOrId: string): Network {
    return findByNameOrId('network', nameOrId, [...this.#networks.values()]);
  }
}
