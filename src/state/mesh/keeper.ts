import { Refusal } from '../../lib/errors.ts';
import { handOver } from './donor.ts';
import { formatHeld, type Holdings, heldKey } from './holdings.ts';
import { numbersOf, type Owned } from './owned.ts';
import { acknowledgedKey, formatAcknowledgement, type Removals, takenKey, versionOf } from './removal.ts';
import { next, parseRing, type Ring, type Rings, readSaid, type Said, type Top, writeSaid } from './ring.ts';
import type { Draft, Sheets } from './sheets.ts';
import type { Span, Spans } from './spans.ts';
import { compareVersions } from './version.ts';

export interface KeeperNeeds {
  readonly sheets: Sheets;
  readonly rings: Rings;
  readonly holdings: Holdings;
  readonly owned: Owned;
  readonly removals: Removals;
  /** Whether what holds an item that is no address is still there: a network outlives the host that made it. */
  readonly exists: (owner: string) => boolean;
  readonly maker: (ring: Ring) => string | undefined;
  /** Whether this host may be the first to speak of a ring. */
  readonly mayOpen: () => boolean;
}

/** Two hosts hold one number: only after a disk was rolled back, or a removal by force. Both are told; neither is cut off. */
export interface Conflict {
  readonly ring: string;
  readonly item: string;
  readonly hosts: readonly string[];
}

/** Says of numbers what follows from what others say: takes what was given, acknowledges removals, takes over, concedes. */
export class Keeper {
  readonly #needs: KeeperNeeds;
  /** All that was read when there was nothing to say: as long as it is the same there is nothing. */
  #done: readonly unknown[] = [];

  constructor(needs: KeeperNeeds) {
    this.#needs = needs;
  }

  /** Afterwards everything that follows is said. May be called at any time; costs one look where there is nothing to say. */
  async tend(): Promise<void> {
    const { sheets, removals, rings } = this.#needs;
    const read = [...sheets.list('ring'), ...sheets.list('trust'), ...removals.texts(), ...removals.admitted()];
    if (read.length === this.#done.length && read.every((one, at) => one === this.#done[at])) return;
    this.#done = [];
    const ids = [...rings.ids()];
    const open = [...removals.removed()].filter((host) => host !== sheets.self);
    const owed = open.filter((host) => removals.acknowledgement(sheets.self, host) === undefined);
    const given = ids.filter((id) => this.#given(parseRing(id), rings.said(sheets.self, id)).length > 0);
    if (owed.length > 0 || given.length > 0) await sheets.change('ring', (draft) => this.#accept(draft, owed));
    const heirs = open.filter((host) => this.#isHeir(host));
    const taking = heirs.filter((host) => this.#orphans(host).length > 0 || !this.#hasTaken(host));
    for (const host of taking) await this.#inherit(host);
    let disputes = 0;
    for (const id of rings.ids()) disputes += await this.#concede(parseRing(id));
    if (owed.length + given.length + taking.length + disputes === 0) this.#done = read;
  }

  /** The first who speaks of a ring is its maker: it says that all of it is its own. */
  async open(ring: Ring): Promise<void> {
    const { sheets, rings, maker, mayOpen } = this.#needs;
    const isMine = () =>
      maker(ring) === sheets.self && [...rings.tops(ring)].every(({ value }) => value.version[1] === 0);
    if (!isMine()) return;
    if (!mayOpen()) {
      throw new Refusal(
        'unavailable',
        'cannot give out numbers yet: the cluster is being founded; try again in a moment',
      );
    }
    await sheets.change('ring', (draft) => {
      const before = readSaid(draft, sheets.self, ring.id);
      if (before.size > 0 || !isMine()) return;
      const after = before.copy();
      after.set(0n, ring.last, { owner: sheets.self, version: [0, 1], spare: false });
      writeSaid(draft, ring.id, before, after);
    });
  }

  conflicts(): readonly Conflict[] {
    const { rings, holdings, removals } = this.#needs;
    const admitted = removals.admitted();
    return [...rings.ids()].flatMap((id) => {
      const ring = parseRing(id);
      return holdings.held(ring).flatMap(({ item }) => {
        const holders = holdings
          .of(ring, item)
          .filter(({ by, released }) => released === undefined && admitted.has(by));
        const owners = new Set(holders.map(({ owner }) => owner.id));
        return owners.size > 1 ? [{ ring: id, item, hosts: holders.map(({ by }) => by).toSorted() }] : [];
      });
    });
  }

  /**
   * What others say is this host's, and it has not said so yet. What a removed host gave counts until its removal is
   * acknowledged.
   */
  #given(ring: Ring, own: Spans<Said> | undefined): readonly Span<Top>[] {
    const { sheets, rings, removals } = this.#needs;
    return [...rings.tops(ring)].filter(({ first, last, value }) => {
      if (value.owner !== sheets.self || value.by === sheets.self || value.version[1] === 0) return false;
      if (removals.acknowledgement(sheets.self, value.by) !== undefined) return false;
      return !own?.within(first, last).some((mine) => compareVersions(mine.value.version, value.version) >= 0);
    });
  }

  #accept(draft: Draft, owed: readonly string[]): void {
    const { sheets, rings, removals } = this.#needs;
    for (const id of rings.ids()) {
      const before = readSaid(draft, sheets.self, id);
      const after = before.copy();
      for (const { first, last, value } of this.#given(parseRing(id), before)) {
        after.set(first, last, { owner: sheets.self, version: next(value.version), spare: value.spare });
      }
      writeSaid(draft, id, before, after);
    }
    for (const host of owed) {
      const removal = removals.of(host);
      if (removal === undefined || draft.get(acknowledgedKey(host)) !== undefined) continue;
      const ring = versionOf(sheets.read(host, 'ring'));
      const trust = versionOf(sheets.read(sheets.self, 'trust'));
      draft.put(acknowledgedKey(host), formatAcknowledgement({ ...removal, ring, trust }));
    }
  }

  #hasTaken(host: string): boolean {
    return this.#needs.sheets.read(this.#needs.sheets.self, 'ring')?.entries.has(takenKey(host)) ?? false;
  }

  #isHeir(host: string): boolean {
    const { sheets, removals } = this.#needs;
    return removals.isHeir(sheets.self, host);
  }

  /** What a removed host owned, or gave to one that has said that it takes nothing from it any more. */
  #orphans(host: string): readonly { readonly ring: Ring; readonly span: Span<Top> }[] {
    const { rings, removals } = this.#needs;
    const removed = removals.removed();
    const isOrphan = ({ owner, by }: Top) => {
      if (owner === host) return true;
      return by === host && !removed.has(owner) && removals.acknowledgement(owner, host) !== undefined;
    };
    return [...rings.ids()].flatMap((id) => {
      const ring = parseRing(id);
      return [...rings.tops(ring)].flatMap((span) => (isOrphan(span.value) ? [{ ring, span }] : []));
    });
  }

  async #inherit(host: string): Promise<void> {
    const { sheets, holdings, exists } = this.#needs;
    await sheets.change('ring', (draft) => {
      if (!this.#isHeir(host)) return;
      const mine = { owner: sheets.self, spare: false };
      for (const { ring, span } of this.#orphans(host)) {
        const before = readSaid(draft, sheets.self, ring.id);
        const after = before.copy();
        after.set(span.first, span.last, { ...mine, version: [span.value.version[0] + 1, 1] });
        writeSaid(draft, ring.id, before, after);
        if (ring.scope !== 'ring') continue;
        for (const { item, record } of holdings.held(ring)) {
          const [from, to] = numbersOf(ring, item);
          if (record.by !== host || from < span.first || to > span.last || !exists(record.owner.id)) continue;
          draft.put(heldKey(ring.id, item), formatHeld({ ...record.owner, host: sheets.self }, record.stamp));
        }
      }
      draft.put(takenKey(host), true);
    });
  }

  /**
   * Two say of the same numbers that they are theirs. The lower version gives up what it does not hold; the higher then gives
   * it what it does hold. What both hold stays with both and is told.
   * @returns how much was disputed
   */
  async #concede(ring: Ring): Promise<number> {
    const { sheets, owned } = this.#needs;
    const disputes = this.#disputed(ring).length;
    if (disputes === 0) return 0;
    const done: (() => void)[] = [];
    try {
      await sheets.change('ring', (draft) => {
        const before = readSaid(draft, sheets.self, ring.id);
        const after = before.copy();
        for (const { first, last, value } of this.#disputed(ring)) {
          if (!owned.isQuiet(ring, first, last)) continue;
          if (value.gives) handOver(after, before, { first, last, to: value.other, spare: false });
          else after.set(first, last, { owner: value.other, version: value.version, spare: false });
          done.push(owned.promise(ring, [first, last]));
        }
        writeSaid(draft, ring.id, before, after);
      });
    } finally {
      for (const free of done) free();
    }
    return disputes;
  }

  /** What another says is its own too, and this host has to give up. */
  #disputed(ring: Ring): readonly Span<Dispute>[] {
    const { sheets, rings, owned, removals } = this.#needs;
    const own = owned.spans(ring);
    if (!own) return [];
    const mine = this.#heldWithin(ring, sheets.self);
    const found: Span<Dispute>[] = [];
    for (const other of removals.admitted()) {
      const theirs = other === sheets.self ? undefined : rings.said(other, ring.id);
      if (!theirs) continue;
      for (const span of own) {
        if (span.value.owner !== sheets.self) continue;
        for (const claim of theirs.within(span.first, span.last)) {
          if (claim.value.owner !== other) continue;
          const order = compareVersions(span.value.version, claim.value.version);
          const { version } = claim.value;
          if (order < 0 || (order === 0 && sheets.self > other)) {
            const value = { other, version, gives: false };
            found.push(...gapsBetween(claim.first, claim.last, mine).map((gap) => ({ ...gap, value })));
          } else {
            const value = { other, version, gives: true };
            const theirsHeld = this.#heldWithin(ring, other).filter(
              ([from, to]) => from >= claim.first && to <= claim.last,
            );
            const only = theirsHeld.filter(([from, to]) => !mine.some(([a, b]) => a <= to && b >= from));
            found.push(...only.map(([first, last]) => ({ first, last, value })));
          }
        }
      }
    }
    return found;
  }

  #heldWithin(ring: Ring, by: string): readonly (readonly [bigint, bigint])[] {
    const { holdings } = this.#needs;
    return holdings
      .held(ring)
      .flatMap(({ item }) =>
        holdings.of(ring, item).some((one) => one.by === by && one.released === undefined)
          ? [numbersOf(ring, item)]
          : [],
      )
      .toSorted((a, b) => (a[0] < b[0] ? -1 : 1));
  }
}

interface Dispute {
  readonly other: string;
  readonly version: readonly [number, number];
  /** Whether this host has the higher version, and gives what the other holds. */
  readonly gives: boolean;
}

/** What is left of the span without the parts, which are in order. */
function gapsBetween(first: bigint, last: bigint, parts: readonly (readonly [bigint, bigint])[]) {
  const gaps: { readonly first: bigint; readonly last: bigint }[] = [];
  let from = first;
  for (const [a, b] of parts) {
    if (b < first || a > last) continue;
    if (a > from) gaps.push({ first: from, last: a - 1n });
    if (b >= from) from = b + 1n;
  }
  if (from <= last) gaps.push({ first: from, last });
  return gaps;
}
