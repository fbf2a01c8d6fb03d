import { formatHeld, freedKey, type Holdings, heldKey } from './holdings.ts';
import { numbersOf, type Owned } from './owned.ts';
import type { Ring } from './ring.ts';
import type { Draft, Sheets } from './sheets.ts';

export interface TidyNeeds {
  readonly sheets: Sheets;
  readonly holdings: Holdings;
  readonly owned: Owned;
  readonly now: () => number;
}

/** Does what notes of others ask for: gives back what is held here; and takes back own notes that were heeded. */
export class Tidy {
  readonly #needs: TidyNeeds;
  /** Items of which something changed, by ring. */
  readonly #changed = new Map<string, { readonly ring: Ring; readonly items: Set<string> }>();

  constructor(needs: TidyNeeds) {
    this.#needs = needs;
    needs.holdings.watch((ring, item) => {
      const changed = this.#changed.get(ring.id) ?? { ring, items: new Set() };
      this.#changed.set(ring.id, changed);
      changed.items.add(item);
    });
  }

  async tidy(): Promise<void> {
    const changed = [...this.#changed.values()];
    this.#changed.clear();
    for (const { ring, items } of changed) {
      const edits = [...items].flatMap((item) => this.#editOf(ring, item) ?? []);
      if (edits.length === 0) continue;
      await this.#needs.sheets.change(ring.scope, (draft) => {
        for (const edit of edits) edit(draft);
      });
    }
  }

  #editOf(ring: Ring, item: string): ((draft: Draft) => void) | undefined {
    const { sheets, holdings, owned, now } = this.#needs;
    const mine = holdings.of(ring, item).find(({ by }) => by === sheets.self);
    const freed = mine && holdings.freed(ring, item, mine.stamp);
    const key = heldKey(ring.id, item);
    if (mine && freed && mine.released === undefined) {
      const { owner, stamp } = mine;
      return freed.unused ? (draft) => draft.delete(key) : (draft) => draft.put(key, formatHeld(owner, stamp, now()));
    }
    const isAnothers = mine?.released !== undefined && !owned.owns(ring, ...numbersOf(ring, item));
    if (isAnothers) return (draft) => draft.delete(key);
    const note = holdings.notes(ring, item).find(({ by }) => by === sheets.self);
    if (note === undefined) return undefined;
    const isDue = holdings.of(ring, item).some((one) => one.stamp === note.stamp && one.released === undefined);
    return isDue ? undefined : (draft) => draft.delete(freedKey(ring.id, item));
  }
}
