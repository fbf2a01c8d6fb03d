import { findByNameOrId } from '../../lib/find.ts';
import type { Network } from '../../model/network.ts';
import type { Catalog } from '../../state/catalog.ts';

type Told = (network: Network, before: Network | undefined) => void;

/** The cluster's networks as the catalog's watch tells them. */
export class KnownNetworks {
  readonly #networks = new Map<string, Network>();
  readonly #byVni = new Map<number, Set<string>>();
  readonly #told = new Set<Told>();
  readonly #gone = new Set<(id: string) => void>();

  /** Ends with `signal`; `ready` is called with each snapshot. */
  async follow(catalog: Pick<Catalog, 'watch'>, options: { signal: AbortSignal; ready: () => void }): Promise<void> {
    for await (const event of catalog.watch({ signal: options.signal })) {
      switch (event.kind) {
        case 'snapshot': {
          const there = new Set(event.networks.map(({ id }) => id));
          for (const id of [...this.#networks.keys()]) if (!there.has(id)) this.remove(id);
          for (const network of event.networks) this.put(network);
          options.ready();
          break;
        }
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
    const before = this.#networks.get(network.id);
    this.#forget(network.id);
    this.#networks.set(network.id, network);
    this.#byVni.set(network.vni, (this.#byVni.get(network.vni) ?? new Set()).add(network.id));
    for (const tell of this.#told) tell(network, before);
  }

  remove(id: string): void {
    if (!this.#networks.has(id)) return;
    this.#forget(id);
    for (const tell of this.#gone) tell(id);
  }

  #forget(id: string): void {
    const vni = this.#networks.get(id)?.vni;
    this.#networks.delete(id);
    if (vni === undefined) return;
    const others = this.#byVni.get(vni);
    others?.delete(id);
    if (others?.size === 0) this.#byVni.delete(vni);
  }

  /** Other networks whose records have the same VNI: one record at most is right. */
  rivals({ id, vni }: Network): readonly Network[] {
    const others = [...(this.#byVni.get(vni) ?? [])].filter((other) => other !== id);
    return others.flatMap((other) => this.#networks.get(other) ?? []);
  }

  /** Sentences about records that cannot be right together, with the network that they are about. */
  problems(): readonly { readonly place: string; readonly reason: string }[] {
    const shared = [...this.#byVni.values()].filter(({ size }) => size > 1);
    return shared.flatMap((ids) => {
      const networks = [...ids].flatMap((id) => this.#networks.get(id) ?? []);
      return networks.map((network) => {
        const others = networks.filter((other) => other !== network).map(({ name }) => name);
        return { place: `network ${network.name}`, reason: `has VNI ${network.vni}, as ${others.join(', ')} has` };
      });
    });
  }

  /** Calls back with a network that is new or was told again, and what it was before. @returns what ends it */
  onPut(tell: Told): () => void {
    this.#told.add(tell);
    return () => this.#told.delete(tell);
  }

  /** Calls back with the id of a network that is there no more. @returns what ends it */
  onGone(tell: (id: string) => void): () => void {
    this.#gone.add(tell);
    return () => this.#gone.delete(tell);
  }

  /** By name. */
  list(): readonly Network[] {
    return [...this.#networks.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(id: string): Network | undefined {
    return this.#networks.get(id);
  }

  /** @throws Refusal 'not-found' | 'invalid' (ambiguous) */
  find(nameOrId: string): Network {
    return findByNameOrId('network', nameOrId, [...this.#networks.values()]);
  }
}
