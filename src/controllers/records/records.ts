import type { NameRecord } from '../../model/name-record.ts';
import type { NamedPort } from '../../model/named-port.ts';

/** Names given by hand. */
export interface Records {
  /**
   * Gives a name to addresses, beside those that it has here already. Afterwards this host answers with them, and every other
   * one as it hears of it. Nothing of a failed attempt is left.
   * @throws Refusal 'invalid' | 'not-found' (network) | 'conflict' (too many) | 'unavailable'
   */
  add(request: AddRecord): Promise<NameRecord>;
  /**
   * Takes addresses, or all, from a name that was given here. Afterwards this host answers with none of them; a store that is
   * away hears of it later. @returns what had them @throws Refusal 'not-found' | 'conflict' (given elsewhere, which it says)
   */
  remove(request: RemoveRecord): Promise<readonly NameRecord[]>;
  /** Those of every host, by name. Never waits. */
  list(): readonly RecordState[];
}

export interface AddRecord {
  readonly name: string;
  readonly addresses: readonly string[];
  /** What listens there, beside what was given before; one of the same name and protocol takes the place of that. */
  readonly ports?: readonly NamedPort[];
  /** Name or id; without it every container of the cluster sees the name. */
  readonly network?: string;
}

export interface RemoveRecord {
  readonly name: string;
  /** None: all. */
  readonly addresses: readonly string[];
  /** Name or id, also of one that is gone: what was given for it. Without it what was given for the whole cluster. */
  readonly network?: string;
  /** Wherever it was given; `network` says nothing then. */
  readonly everywhere?: boolean;
}

export interface RecordState {
  readonly record: NameRecord;
  readonly lost: boolean;
}
