import type { NameRecord } from '../../model/name-record.ts';
import type { NamedPort } from '../../model/named-port.ts';

/** Names given by hand. */
export interface Records {
  /**
   * Gives a name to addresses, beside those that it has here already. Afterwards this host answers with them, and every other
   * one as it hears of it. Nothing of a failed attempt is left. @throws Refusal 'invalid' | 'not-found' (network) | 'conflict' (too many) | 'unavailable'
   */
  add(request: AddRecord): Promise<NameRecord>;
  /**
   * Takes addresses, or all, from a name that was given here. Afterwards this host answers with none of them; a store that is
   * away hears of it later. @returns what was taken @throws Refusal 'not-found' | 'conflict' (given on another host)
   */
  remove(request: RemoveRecord): Promise<readonly NameRecord[]>;
  /** Those of every host, by name. Never waits. */
  list(): readonly RecordState[];
}

export interface AddRecord {
  readonly name: string;
  readonly addresses: readonly string[];
  /** What listens there; those given before stay unless this is given. */
  readonly ports?: readonly NamedPort[];
  /** Name or id; without it every container of the cluster sees the name. */
  readonly network?: string;
}

export interface RemoveRecord {
  readonly name: string;
  /** None: all. */
  readonly addresses: readonly string[];
  /** Only where it was given on this network. */
  readonly network?: string;
}

export interface RecordState {
  readonly record: NameRecord;
  readonly lost: boolean;
}
