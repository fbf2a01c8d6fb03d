import type { Endpoint } from '../model/endpoint.ts';
import type { Host } from '../model/host.ts';
import type { NameRecord } from '../model/name-record.ts';

/**
 * What one host owns and others read: itself, its endpoints, names given by hand there. A lost host's records stay, marked
 * lost: names and balancers skip them, overlay and guard keep them.
 */
export interface Registry {
  /** Afterwards every watcher of the record's scope sees it. May repeat with the same record. @throws Refusal 'unavailable' */
  publish(record: Owned): Promise<void>;
  /** Afterwards nobody sees it. May repeat; withdrawing what is not there is no error. @throws Refusal 'unavailable' */
  withdraw(scope: Scope, id: string): Promise<void>;
  /**
   * Begins with a snapshot and sends one again when history was lost; ends when `signal` aborts. Waits out an
   * unavailable store.
   */
  watch(scope: Scope, options: { signal: AbortSignal }): AsyncIterable<RegistryEvent>;
  /** One reading of a scope, from the source. @throws Refusal 'unavailable' */
  list(scope: Scope): Promise<readonly Entry[]>;
}

/**
 * The hosts, all records made by hand, or the endpoints of one network: a host holds and pays for only what its
 * networks need.
 */
export type Scope =
  | { readonly kind: 'hosts' }
  | { readonly kind: 'records' }
  | { readonly kind: 'endpoints'; readonly network: string };

export type Owned =
  | { readonly kind: 'host'; readonly host: Host }
  | { readonly kind: 'endpoint'; readonly endpoint: Endpoint }
  | { readonly kind: 'name'; readonly record: NameRecord };

export interface Entry {
  readonly record: Owned;
  /** Whether the owner has stopped renewing. */
  readonly lost: boolean;
}

export type RegistryEvent =
  | { readonly kind: 'snapshot'; readonly entries: readonly Entry[] }
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly id: string };
