import type { Network } from '../model/network.ts';

/** What any admitted host may write and all share: networks; later services, stacks, settings, admissions, removals. */
export interface Catalog {
  /** Adds a record that was not there. @throws Refusal 'conflict' when the id is there, 'unavailable' */
  add(network: Network): Promise<void>;
  /**
   * Replaces a record by what `update` makes of the one that is there now; tried again when another host was quicker.
   * `update` returns undefined to remove it, and throws to leave it. Absent records are not passed to it.
   * @returns the record as it is afterwards, undefined when it is not there
   * @throws Refusal 'unavailable', and whatever `update` throws
   */
  update(id: string, update: (network: Network) => Network | undefined): Promise<Network | undefined>;
  /** The record as it is now, from the source; undefined when it is not there. @throws Refusal 'unavailable' */
  get(id: string): Promise<Network | undefined>;
  /** One reading of all, from the source. @throws Refusal 'unavailable' */
  list(): Promise<readonly Network[]>;
  /**
   * Begins with a snapshot and sends one again when history was lost; ends when `signal` aborts. Waits out an
   * unavailable store.
   */
  watch(options: { signal: AbortSignal }): AsyncIterable<CatalogEvent>;
}

export type CatalogEvent =
  | { readonly kind: 'snapshot'; readonly networks: readonly Network[] }
  | { readonly kind: 'put'; readonly network: Network }
  | { readonly kind: 'delete'; readonly id: string };
