/**
 * A key-value store, as the four contracts need it: an ordered map of text with a revision, compare-and-set over several
 * keys, sessions whose keys vanish with them, and a watch. etcd, Consul, ZooKeeper and a local file can all give this.
 */
export interface Store {
  /** One reading of everything below a prefix (or exactly the key, if it does not end in '/'). @throws StoreError */
  list(prefix: string, options?: Waiting): Promise<Listing>;
  /**
   * Atomically: if every condition holds, applies every write. A commit that was cut off may have happened; the caller
   * reads again or repeats a commit that is right either way.
   * @throws StoreError
   */
  commit(conditions: readonly Condition[], writes: readonly Write[], options?: Waiting): Promise<Committed>;
  /**
   * Begins with a snapshot of the prefix and sends one again when history was lost. Reconnects by itself. Ends when
   * `signal` aborts.
   */
  watch(prefix: string, options: { signal: AbortSignal }): AsyncIterable<WatchEvent>;
  /** A session that is renewed until it is closed. `ttl` in milliseconds. @throws StoreError */
  openSession(ttl: number): Promise<Session>;
  /** What the store is and how it does, for `skein status`. */
  status(): StoreStatus;
  /** Lets go. Sessions that are open are renewed no more and end by themselves. May be called twice. */
  close(): Promise<void>;
}

export interface Waiting {
  readonly signal?: AbortSignal;
}

export interface Item {
  readonly key: string;
  readonly value: string;
  /** Grows with each change of this key; compare it for equality only. */
  readonly revision: string;
}

export interface Listing {
  readonly items: readonly Item[];
  /** Where the store's history was: a later reading has a smaller one only when the store was put back to an older state. */
  readonly position: number;
}

/** `revision` undefined: the key must not be there. */
export interface Condition {
  readonly key: string;
  readonly revision: string | undefined;
}

export type Write =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly session?: Session }
  | { readonly kind: 'delete'; readonly key: string };

/** When `done` is false nothing was written and `items` are the conditions' keys as they are now (absent ones missing). */
export type Committed = { readonly done: true } | { readonly done: false; readonly items: readonly Item[] };

export type WatchEvent =
  | { readonly kind: 'snapshot'; readonly items: readonly Item[] }
  | { readonly kind: 'put'; readonly item: Item }
  | { readonly kind: 'delete'; readonly key: string };

export interface Session {
  readonly id: string;
  /** Aborts when the store has forgotten the session: its keys are gone and a new one must be opened. */
  readonly lost: AbortSignal;
  /** Ends it; its keys vanish at once. May repeat. */
  close(): Promise<void>;
}

export interface StoreStatus {
  readonly url: string;
  readonly members: readonly { readonly url: string; readonly healthy: boolean }[];
  /** When it last answered, and since when it has not; ISO times. */
  readonly lastAnswer?: string;
  readonly failingSince?: string;
  readonly lastError?: string;
  /** How often contact was lost: what answers afterwards may be another store, or an older state of this one. */
  readonly outages: number;
  /** By the newest answer; see `Listing`. */
  readonly position?: number;
}

/** The store did not answer, or answered what it should not. `retry`: whether the same call may go through later. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly retry: boolean;

  constructor(message: string, options: ErrorOptions & { retry: boolean }) {
    super(message, options);
    this.retry = options.retry;
  }
}
