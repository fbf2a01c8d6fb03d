/** Names. Strict on a store: one holder, whoever asked first. */
export interface Claims {
  /**
   * Afterwards `name` belongs to `holder`. May repeat with the same holder id: its host is then the one that was said
   * last, so that what was claimed on behalf of a host is made the cluster's own for good. A name whose holder's host is
   * lost is taken over.
   * @throws Claimed naming the holder; Refusal 'unavailable'
   */
  claim(space: Space, name: string, holder: Holder): Promise<void>;
  /** Afterwards the holder does not have the name. Releasing what it does not hold is no error. @throws Refusal 'unavailable' */
  release(space: Space, name: string, holder: Holder): Promise<void>;
  /** The holder of a name, from the source; undefined when it is free. @throws Refusal 'unavailable' */
  holder(space: Space, name: string): Promise<Holder | undefined>;
  /**
   * Begins with a snapshot and sends one again when history was lost; ends when `signal` aborts. Waits out an
   * unavailable store.
   */
  watch(space: Space, options: { signal: AbortSignal }): AsyncIterable<ClaimsEvent>;
}

export type ClaimsEvent =
  /** By name. */
  | { readonly kind: 'snapshot'; readonly holders: ReadonlyMap<string, Holder> }
  | { readonly kind: 'put'; readonly name: string; readonly holder: Holder }
  | { readonly kind: 'delete'; readonly name: string };

/** Network names, or endpoint names on one network, or of one host on it where each host has names of its own. */
export type Space =
  | { readonly kind: 'networks' }
  | { readonly kind: 'endpoints'; readonly network: string; readonly host?: string };

export interface Holder {
  readonly id: string;
  /** The host on whose behalf; undefined for what belongs to the cluster and outlives every host, such as a network. */
  readonly host?: string;
}

/** The name belongs to another. */
export class Claimed extends Error {
  override readonly name = 'Claimed';
  readonly wish: string;
  readonly by: Holder;

  constructor(wish: string, by: Holder) {
    super(`the name ${wish} is taken by ${by.id.slice(0, 12)}`);
    this.wish = wish;
    this.by = by;
  }
}
