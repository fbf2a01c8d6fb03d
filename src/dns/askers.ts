import type { Asker } from './dns.ts';
import { canonical, type Resolver } from './host-resolvers.ts';
import type { Names, Zone } from './names.ts';
import { Neighbours } from './neighbours.ts';

/** What an asker sees, and whom it may ask besides. */
export interface View {
  readonly id: string;
  readonly zones: readonly Zone[];
  readonly resolvers: 'host' | 'nobody' | readonly Resolver[];
  /** Several ask so, whom their addresses tell apart. */
  readonly isMany: boolean;
}

interface Place {
  readonly byAddress: Map<string, View>;
  neighbours: View | undefined;
}

/** Who asks, by the network of the socket and the address that a question comes from. */
export class Askers {
  readonly #names: Names;
  readonly #neighbours: Pick<Neighbours, 'has'>;
  readonly #views = new Map<string, { readonly asker: Asker; readonly view: View }>();
  readonly #places = new Map<string, Place>();

  constructor(names: Names, neighbours: Pick<Neighbours, 'has'> = new Neighbours()) {
    this.#names = names;
    this.#neighbours = neighbours;
  }

  /** `address` as sockets give it. */
  find(network: string, address: string): View | undefined {
    const place = this.#places.get(network);
    const known = place?.byAddress.get(address);
    if (known !== undefined || place?.neighbours === undefined) return known;
    return this.#neighbours.has(address) ? place.neighbours : undefined;
  }

  get(id: string): View | undefined {
    return this.#views.get(id)?.view;
  }

  put(asker: Asker): void {
    const places = asker.places.map(({ network, address }) => ({ network, address: address && canonical(address) }));
    const resolvers = resolversOf(asker);
    const zones = asker.networks.map((network) => this.#names.see(network));
    this.remove(asker.id);
    const isMany = places.some(({ address }) => address === undefined);
    const view: View = { id: asker.id, zones, resolvers, isMany };
    this.#views.set(asker.id, { asker: { ...asker, places: places.map(withoutUndefined) }, view });
    for (const { network, address } of places) {
      const place = this.#places.get(network) ?? { byAddress: new Map(), neighbours: undefined };
      this.#places.set(network, place);
      if (address === undefined) place.neighbours = view;
      else place.byAddress.set(address, view);
    }
  }

  remove(id: string): void {
    const known = this.#views.get(id);
    if (known === undefined) return;
    this.#views.delete(id);
    for (const zone of known.view.zones) this.#names.release(zone);
    for (const { network, address } of known.asker.places) {
      const place = this.#places.get(network);
      if (place === undefined) continue;
      // Another may have the address by now.
      if (address === undefined && place.neighbours === known.view) place.neighbours = undefined;
      if (address !== undefined && place.byAddress.get(address) === known.view) place.byAddress.delete(address);
      if (place.byAddress.size === 0 && place.neighbours === undefined) this.#places.delete(network);
    }
  }
}

function resolversOf({ resolvers }: Asker): View['resolvers'] {
  if (resolvers === 'host') return 'host';
  return resolvers.length === 0 ? 'nobody' : resolvers.map((text) => ({ address: canonical(text), port: 53 }));
}

function withoutUndefined({ network, address }: { network: string; address: string | undefined }) {
  return address === undefined ? { network } : { network, address };
}
