/**
 * What the parts above see of the mesh: sheets. A sheet is what one host, its owner, says in one scope: a map of keys to
 * JSON values. Only its owner changes it; all who have to do with the scope come to hold the same one, sooner or later.
 * No message exists beside sheets: what was said stays said, whoever was away.
 */
export interface Sheets {
  /** The id of this host. */
  readonly self: string;
  /** What `owner` says in `scope` as far as it came here; undefined when nothing did. */
  read(owner: string, scope: Scope): Sheet | undefined;
  /**
   * Everything that came here of what is said in `scope`, in the order of the owners' ids. Includes what hosts said
   * that are lost.
   */
  list(scope: Scope): readonly Sheet[];
  /**
   * Changes what this host says in `scope`. `edit` runs once, later, on the sheet as it then is: it decides there and then
   * from what it reads, does not wait, and may throw to leave the sheet as it is. What several ask for at a time is done in
   * the order of asking and becomes one version. When it resolves the change is on disk, is what `read` answers, and is on
   * its way to others; before that nobody saw it. Nothing is said at all until this host has learnt from another what it
   * had said before; when none of those it knows can be reached it goes ahead after some seconds.
   * @throws whatever `edit` throws, Refusal 'conflict' for what is over a limit, 'unavailable' when the disk refuses
   */
  change<T>(scope: Scope, edit: (draft: Draft) => T): Promise<T>;
  /**
   * Calls `listener` after each change of a sheet that can be read here, whoever owns it, until the returned function is
   * called. It is called from within the mesh: it must not wait, and what it throws ends the daemon.
   */
  watch(listener: (change: SheetChange) => void): () => void;
  /**
   * The networks whose sheets this host wants to hold: exactly these. May be called again with the same. What others say
   * of a new one comes by and by; what they said of one that is no longer followed is forgotten here.
   */
  follow(networks: Iterable<string>): void;
}

/** The hosts of the cluster, as this host sees them. */
export interface Members {
  /** Everyone who may say something and has, this host included, in the order of their ids. */
  list(): readonly Member[];
  /** Of one host; undefined when it is not on the list. */
  state(id: string): MemberState | undefined;
  /**
   * Calls `listener` after each change of what `list` answers, until the returned function is called. It must not wait.
   * `changed` is the host of which something changed; undefined when it may be any.
   */
  watch(listener: (changed: string | undefined) => void): () => void;
  /**
   * Those with whom this host has compared its own sheets since it started. A host whose disk was rolled back takes back
   * what it had said from them; who has not compared with anybody may have said more than it knows.
   */
  compared(): ReadonlySet<string>;
}

export interface Member {
  readonly id: string;
  readonly state: MemberState;
}

/** `suspect`: does not answer, and is asked by others still; `lost`: judged so; `left`: said so itself. */
export type MemberState = 'alive' | 'suspect' | 'lost' | 'left';

/**
 * What a sheet is about; every host holds all sheets of all scopes but those of networks, which are held by who follows
 * the network.
 */
export type Scope = 'host' | 'trust' | 'catalog' | 'ring' | `network:${string}`;

/** Never changes: a changed sheet is another value. */
export interface Sheet {
  readonly owner: string;
  readonly scope: Scope;
  readonly version: Version;
  readonly entries: ReadonlyMap<string, Json>;
}

/** Higher is later: the epoch grows with every life of the owner, the sequence number with every change in it. */
export type Version = readonly [epoch: number, seq: number];

/** What a change may do to this host's own sheet. What it did is dropped when the edit throws. */
export interface Draft {
  get(key: string): Json | undefined;
  put(key: string, value: Json): void;
  delete(key: string): void;
  entries(): IterableIterator<readonly [string, Json]>;
}

export interface SheetChange {
  readonly owner: string;
  readonly scope: Scope;
  /** The keys whose values came, changed or went. */
  readonly keys: readonly string[];
  /** The sheet as it is now; undefined when it is held no more: its owner was removed, or the network is not followed. */
  readonly sheet: Sheet | undefined;
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export const limits = {
  /** Of a key, in characters. */
  key: 256,
  /** Of a value as JSON, in characters. */
  value: 64 * 1024,
  /** Of all keys and values of a sheet, in characters. */
  sheet: 2 * 1024 * 1024,
} as const;
