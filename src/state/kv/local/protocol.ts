import type { JournalChange, JournalEntry, JournalKind } from '../../journal.ts';
import type { Committed, Condition, Item } from '../store.ts';

/** What the main thread asks of the worker that owns the database file, and what it answers. */
export type Request =
  | { readonly kind: 'list'; readonly prefix: string }
  | { readonly kind: 'commit'; readonly conditions: readonly Condition[]; readonly writes: readonly LocalWrite[] }
  | { readonly kind: 'end-session'; readonly session: string }
  | { readonly kind: 'load'; readonly of: JournalKind }
  | { readonly kind: 'journal'; readonly changes: readonly JournalChange[] };

export type LocalWrite =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly session?: string }
  | { readonly kind: 'delete'; readonly key: string };

/** A change that was made, with the revision of its commit. */
export type Change =
  | { readonly kind: 'put'; readonly revision: number; readonly item: Item }
  | { readonly kind: 'delete'; readonly revision: number; readonly key: string };

export type Answer =
  | { readonly kind: 'listed'; readonly items: readonly Item[]; readonly revision: number }
  | { readonly kind: 'committed'; readonly result: Committed; readonly changes: readonly Change[] }
  | { readonly kind: 'loaded'; readonly entries: readonly JournalEntry[] }
  | { readonly kind: 'failed'; readonly message: string };

/** The first word from the worker: whether it has the file. */
export type Opened = { readonly kind: 'opened' } | { readonly kind: 'refused'; readonly message: string };

export interface Asked {
  readonly id: number;
  readonly request: Request;
}

export interface Answered {
  readonly id: number;
  readonly answer: Answer;
}
