import { Refusal } from '../lib/errors.ts';

/**
 * This host's own memory: what it is, what it has promised, the last snapshots that it saw. It survives the daemon's death
 * at any point, and lets the host work on when the store is gone.
 */
export interface Journal {
  /** Everything of one kind. @throws JournalError */
  load(kind: JournalKind): Promise<readonly JournalEntry[]>;
  /**
   * All of it or nothing, on disk when it resolves. Puts replace; removing what is not there is no error.
   * @throws JournalError
   */
  commit(changes: readonly JournalChange[]): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

/**
 * `host`: identity; `cluster`: the last cluster seen; `sandbox`, `container`: desired state; `network`, `endpoint`: last
 * snapshots; `name`: those given by hand here, and the last snapshot of everybody's; `sheet`: what hosts of a mesh say;
 * `intent`: what was begun and is to be undone if it is still there at the next start.
 */
export type JournalKind =
  | 'host'
  | 'cluster'
  | 'sandbox'
  | 'container'
  | 'network'
  | 'endpoint'
  | 'intent'
  | 'name'
  | 'sheet';

export interface JournalEntry {
  readonly id: string;
  readonly value: unknown;
}

export type JournalChange =
  | { readonly kind: JournalKind; readonly id: string; readonly put: unknown }
  | { readonly kind: JournalKind; readonly id: string; readonly remove: true };

/**
 * The state directory cannot be read or written, or another daemon uses it. What was asked is not done, and can be
 * asked again.
 */
export class JournalError extends Refusal {
  override readonly name = 'JournalError';

  constructor(message: string, options?: ErrorOptions) {
    super('unavailable', message, options);
  }
}
