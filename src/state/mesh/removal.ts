import * as v from 'valibot';
import { ParseError } from '../../lib/errors.ts';
import { parseRecord } from '../../model/record.ts';
import { HostId } from '../../model/text.ts';
import type { Json, Sheet, Sheets, Version } from './sheets.ts';
import { compareVersions } from './version.ts';

/**
 * How the numbers of a removed host come to exactly one heir. Each host acknowledges one removal of it in its `ring` sheet,
 * for ever, after it has taken what the removed host had given it; from then on it takes nothing from that host. Numbers may
 * have been given to hosts that cannot be reached now, so the heir waits until every admitted host has acknowledged, and a
 * majority must be left. Who then reads the acknowledgements sees the same ones. Why: docs/decisions/0008.
 */
export interface Removal {
  readonly host: string;
  readonly by: string;
  /** Who gets its numbers. */
  readonly heir: string;
  /** Lamport time of the removal. */
  readonly at: number;
  /** Counts at once: an admin says that the host, and whoever it could have given numbers to, is gone. */
  readonly force: boolean;
}

/** Who belongs to the cluster, as the trust sheets say. */
export interface Standing {
  /** Admitted and not removed, in the order of the Lamport times of their admissions. */
  admitted(): ReadonlySet<string>;
  removals(): readonly Removal[];
}

/** What a host says when it learns of a removal. */
export interface Acknowledgement {
  readonly by: string;
  readonly heir: string;
  readonly at: number;
  /** Of the removed host's `ring` sheet, as it was known. */
  readonly ring: Version;
  /** Of the acknowledging host's own `trust` sheet: whom it had admitted until then. */
  readonly trust: Version;
}

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const VersionRecord = v.tuple([Count, Count]);
const AcknowledgementRecord = v.looseObject({
  by: HostId,
  heir: HostId,
  at: Count,
  ring: VersionRecord,
  trust: VersionRecord,
});

export function acknowledgedKey(host: string): string {
  return `removed/${host}`;
}

/** Said by the heir once it has taken over. */
export function takenKey(host: string): string {
  return `taken/${host}`;
}

/** @throws ParseError */
export function parseAcknowledgement(json: unknown, place: string): Acknowledgement {
  return parseRecord(AcknowledgementRecord, json, place);
}

export function formatAcknowledgement({ by, heir, at, ring, trust }: Acknowledgement): Json {
  return { by, heir, at, ring: [...ring], trust: [...trust] };
}

export function versionOf(sheet: Sheet | undefined): Version {
  return sheet?.version ?? [0, 0];
}

/** The first of several removals of one host. */
export function first<R extends { readonly at: number; readonly by: string }>(removals: readonly R[]): R | undefined {
  return removals.reduce<R | undefined>((a, b) => (a === undefined || isBefore(b, a) ? b : a), undefined);
}

function isBefore(a: { readonly at: number; readonly by: string }, b: { readonly at: number; readonly by: string }) {
  return a.at < b.at || (a.at === b.at && a.by < b.by);
}

export type Decision =
  | { readonly kind: 'heir'; readonly heir: string }
  /** Hosts that have not acknowledged yet; empty when those that are left are no majority. */
  | { readonly kind: 'waiting'; readonly missing: readonly string[] };

export class Removals {
  readonly #sheets: Sheets;
  readonly #standing: Standing;

  constructor(sheets: Sheets, standing: Standing) {
    this.#sheets = sheets;
    this.#standing = standing;
  }

  admitted(): ReadonlySet<string> {
    return this.#standing.admitted();
  }

  /** One for each removal, equal where they are. */
  texts(): readonly string[] {
    return this.#standing.removals().map(({ host, by, heir, at, force }) => [host, by, heir, at, force].join());
  }

  /** Hosts that are removed. */
  removed(): ReadonlySet<string> {
    return new Set(this.#standing.removals().map(({ host }) => host));
  }

  /** The removal of a host that this one acknowledges if it has acknowledged none yet. */
  of(host: string): Removal | undefined {
    return first(this.#standing.removals().filter((removal) => removal.host === host));
  }

  acknowledgement(by: string, host: string): Acknowledgement | undefined {
    const key = acknowledgedKey(host);
    const json = this.#sheets.read(by, 'ring')?.entries.get(key);
    if (json === undefined) return undefined;
    try {
      return parseAcknowledgement(json, key);
    } catch (error) {
      if (error instanceof ParseError) return undefined;
      throw error;
    }
  }

  /** Who has taken over a host's numbers, or who has from that one; undefined: nobody. */
  heirOf(host: string): string | undefined {
    const seen = new Set<string>();
    for (let at: string | undefined = host; at !== undefined && !seen.has(at); ) {
      seen.add(at);
      const key = takenKey(at);
      const taker: string | undefined = this.#sheets.list('ring').find(({ entries }) => entries.has(key))?.owner;
      if (taker === undefined) return at === host ? undefined : at;
      at = taker;
    }
    return undefined;
  }

  /**
   * Who shall take over the numbers of a removed host, as far as it can be known here. An heir that was removed has its own
   * heir; when admins removed each other it is who was admitted first. All admissions from before the acknowledgements are
   * known by then, and a later one comes later.
   */
  decide(host: string): Decision {
    const seen = new Set([host]);
    let decision = this.#decide(host);
    while (decision.kind === 'heir' && this.removed().has(decision.heir)) {
      const [oldest] = this.#standing.admitted();
      if (seen.has(decision.heir))
        return oldest === undefined ? { kind: 'waiting', missing: [] } : { kind: 'heir', heir: oldest };
      seen.add(decision.heir);
      decision = this.#decide(decision.heir);
    }
    return decision;
  }

  /** Whether this host takes over, or has. */
  isHeir(self: string, host: string): boolean {
    const heir = this.heirOf(host);
    if (heir !== undefined) return heir === self;
    const decision = this.decide(host);
    return decision.kind === 'heir' && decision.heir === self;
  }

  #decide(host: string): Decision {
    const all = this.#standing.removals();
    const admitted = [...this.#standing.admitted()];
    const open = [...this.removed()].filter((one) => this.heirOf(one) === undefined);
    const missing = new Set(open.flatMap((one) => this.#missing(one, admitted)));
    if (missing.size === 0 && admitted.length > open.length) {
      const said = [...admitted, ...this.removed()].flatMap((by) => this.acknowledgement(by, host) ?? []);
      const won = first(said);
      if (won) return { kind: 'heir', heir: won.heir };
    }
    const forced = first(all.filter((removal) => removal.host === host && removal.force));
    return forced ? { kind: 'heir', heir: forced.heir } : { kind: 'waiting', missing: [...missing].toSorted() };
  }

  /** Whose word on a removal is missing here, or what it had seen when it gave it. */
  #missing(host: string, admitted: readonly string[]): readonly string[] {
    const known = versionOf(this.#sheets.read(host, 'ring'));
    return admitted.filter((by) => {
      const said = this.acknowledgement(by, host);
      if (said === undefined || compareVersions(said.ring, known) > 0) return true;
      return compareVersions(said.trust, versionOf(this.#sheets.read(by, 'trust'))) > 0;
    });
  }
}
