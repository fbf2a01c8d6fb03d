/** Keeps the packet rules of other programs on this host from cutting us off. */
export interface Foreign {
  /** That someone has changed rules that are not ours: they are looked at soon. Never throws. */
  touched(): void;
  /** Stops looking; what was added stays. May be called twice. */
  close(): Promise<void>;
}

/** Where it is kept, in the state directory, what was added to others' chains. */
export const GUESTS_FILE = 'foreign-rules.json';
