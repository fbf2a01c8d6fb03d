import { hostIdOf } from '../../../model/host-key.ts';
import type { Verify } from '../signing.ts';
import { clusterIdOf, type Genesis } from './genesis.ts';
import {
  isGenuine,
  isVouched,
  type Known,
  parseStatements,
  type Removal,
  type Statements,
  type TokenRecord,
  type TrustSheet,
  type Warrant,
} from './statements.ts';

/**
 * Who belongs to the cluster, who may say who does, and which token counts: a function of the genesis and of what all
 * admins say now, the same on every host that holds the same sheets, however they came.
 *
 * Admins are ordered: the founder before those it made, those before the ones they made, of one admin's the earlier before
 * the later. In this order each is heard, unless one heard before it removed it. So of two who remove each other the senior
 * stays, and a removed host cannot take its revenge. A junior can remove a senior that says nothing against it, such as a
 * founder that is lost: what the senior says then counts no more, but for the warrant that the junior itself descends from.
 * Who is to stay of those that a removed admin let in is let in anew by who removes it (`changes.ts`), in the same change.
 */
export interface Trust {
  readonly cluster: string;
  /** Everyone who belongs to it, by id: the admins first, in their order. */
  readonly hosts: ReadonlyMap<string, Admitted>;
  readonly removed: ReadonlyMap<string, Removed>;
  readonly token: TokenRecord | undefined;
  /**
   * Whose trust sheets have to be held, by id, with their keys: of all who were ever made admins, removed ones included.
   * What those say decides nothing but who of two that removed each other stays; for that every host must hold the same.
   */
  readonly signers: ReadonlyMap<string, string>;
}

export interface Admitted {
  readonly key: string;
  readonly role: 'member' | 'admin';
  readonly name: string | undefined;
  /** Warrants from the founder to this admin; none for members and for the founder. */
  readonly warrants: readonly Warrant[];
}

export interface Removed {
  /** The most senior of those who said so. */
  readonly by: string;
  readonly removal: Removal;
  /** What each admin says who removes it, that one included. */
  readonly all: ReadonlyMap<string, Removal>;
}

export const mostAdmins = 256;
/** Beside those who are admins: a removed one cannot make others hold more. */
export const mostFormerAdmins = 64;

/** An admin, or who was one: how senior it is and through whom. */
interface Seat {
  readonly id: string;
  readonly key: string;
  readonly warrants: readonly Warrant[];
}

interface Cut extends Removed {
  readonly all: Map<string, Removal>;
  /** What still counts of what the removed host said: the step to the one that removed it. */
  readonly kept: Warrant | undefined;
}

/** Judges the sheets of one cluster, at most one an owner; what it found out about a value it does not find out again. */
export function judgeOf(genesis: Genesis, verify: Verify): (sheets: Iterable<TrustSheet>) => Trust {
  const cluster = clusterIdOf(genesis);
  const known: Known = new WeakMap();
  const genuine = remembering((warrant: Warrant) => isGenuine(warrant, cluster, verify));
  const vouched = remembering((token: TokenRecord) => isVouched(token, cluster, verify));
  return (sheets) => {
    const inOrder = [...sheets].toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
    const said = new Map(inOrder.map(({ owner, entries }) => [owner, parseStatements(entries, known)]));
    const cuts = new Map<string, Cut>();
    const issued = new Warrants(said.values(), genuine);
    const evidence = { said, issued, cuts };
    let seats = hear(genesis, evidence);
    // Each time one more had been heard before it was cut: at most once a host.
    while (seats === undefined) seats = hear(genesis, evidence);
    const signers = signersOf(genesis, issued, seats);
    return {
      cluster,
      hosts: admitted(seats, said, cuts),
      removed: cuts,
      token: tokenOf(seats, said, vouched),
      signers,
    };
  };
}

function remembering<T extends object>(find: (value: T) => boolean): (value: T) => boolean {
  const found = new WeakMap<T, boolean>();
  return (value) => {
    const answer = found.get(value) ?? find(value);
    found.set(value, answer);
    return answer;
  };
}

interface Evidence {
  readonly said: ReadonlyMap<string, Statements>;
  readonly issued: Warrants;
  readonly cuts: Map<string, Cut>;
}

/** The admins in order, or undefined when one of them turned out to be removed: then all have to be heard again. */
function hear(genesis: Genesis, { said, issued, cuts }: Evidence): readonly Seat[] | undefined {
  const heard = new Map<string, Seat>();
  const reached = new Set<string>();
  let row: readonly Seat[] = [{ id: hostIdOf(genesis.founder), key: genesis.founder, warrants: [] }];
  while (row.length > 0) {
    const next: Seat[] = [];
    for (const seat of row) {
      if (reached.has(seat.id)) continue;
      reached.add(seat.id);
      const cut = cuts.get(seat.id);
      if (cut) {
        if (cut.kept) next.push(seatOf(cut.kept, seat));
        continue;
      }
      if (heard.size === mostAdmins) return [...heard.values()];
      heard.set(seat.id, seat);
      if (!obey(seat, { said, reached, cuts })) return undefined;
      for (const warrant of issued.by(seat.key)) next.push(seatOf(warrant, seat));
    }
    row = next.toSorted(bySeniority);
  }
  return [...heard.values()];
}

/** Cuts whom this admin removes; false when one of them had been reached before. */
function obey(
  { id, warrants }: Seat,
  { said, reached, cuts }: Pick<Evidence, 'said' | 'cuts'> & { readonly reached: ReadonlySet<string> },
): boolean {
  let inOrder = true;
  for (const [target, removal] of said.get(id)?.removed ?? []) {
    if (target === id) continue;
    const before = cuts.get(target);
    before?.all.set(id, removal);
    if (before) continue;
    const kept = warrants.find(({ by }) => hostIdOf(by) === target);
    cuts.set(target, { by: id, removal, all: new Map([[id, removal]]), kept });
    if (reached.has(target)) inOrder = false;
  }
  return inOrder;
}

function seatOf(warrant: Warrant, by: Seat): Seat {
  return { id: hostIdOf(warrant.key), key: warrant.key, warrants: [...by.warrants, warrant] };
}

function bySeniority(a: Seat, b: Seat): number {
  for (const [step, warrant] of a.warrants.entries()) {
    const difference = warrant.rank - (b.warrants[step]?.rank ?? 0);
    if (difference !== 0) return difference;
  }
  return a.id < b.id ? -1 : 1;
}

/** All warrants that anybody shows, by who signed them: the sheet that one stands in is of no matter. */
class Warrants {
  readonly #by: ReadonlyMap<string, readonly Warrant[]>;
  readonly #genuine: (warrant: Warrant) => boolean;

  constructor(said: Iterable<Statements>, genuine: (warrant: Warrant) => boolean) {
    this.#by = Map.groupBy(
      [...said].flatMap(({ warrants }) => warrants),
      ({ by }) => by,
    );
    this.#genuine = genuine;
  }

  /** Checked only now: those of nobody who counts cost nothing. */
  by(key: string): readonly Warrant[] {
    return (this.#by.get(key) ?? []).filter(this.#genuine);
  }
}

function admitted(
  seats: readonly Seat[],
  said: ReadonlyMap<string, Statements>,
  cuts: ReadonlyMap<string, Cut>,
): ReadonlyMap<string, Admitted> {
  const hosts = new Map<string, Admitted>();
  for (const { id, key, warrants } of seats) {
    hosts.set(id, { key, role: 'admin', name: warrants.at(-1)?.name, warrants });
  }
  for (const { id: admin } of seats) {
    for (const [id, { key, name }] of said.get(admin)?.members ?? []) {
      if (!hosts.has(id) && !cuts.has(id)) hosts.set(id, { key, role: 'member', name, warrants: [] });
    }
  }
  return hosts;
}

/** As if nobody had been removed, the senior first. */
function signersOf(genesis: Genesis, issued: Warrants, seats: readonly Seat[]): ReadonlyMap<string, string> {
  const signers = new Map(seats.map(({ id, key }) => [id, key]));
  const most = signers.size + mostFormerAdmins;
  const ever = hear(genesis, { said: new Map(), issued, cuts: new Map() }) ?? [];
  for (const { id, key } of ever) if (signers.size < most) signers.set(id, key);
  return signers;
}

function tokenOf(
  seats: readonly Seat[],
  said: ReadonlyMap<string, Statements>,
  vouched: (token: TokenRecord) => boolean,
): TokenRecord | undefined {
  const tokens = seats.flatMap(({ id }) => said.get(id)?.token ?? []);
  // The sort is stable: of the same number the senior's counts.
  return tokens.toSorted((a, b) => b.n - a.n).find(vouched);
}
