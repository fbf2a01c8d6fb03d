import type { Held, Owner } from '../allocator.ts';
import type { Allocation, Space } from './allocation.ts';

/**
 * What this process knows of one pool's items, fed by the store's watch and by the answers to its own commits, and the
 * choice of the next item from it. It may be behind the store: every choice is confirmed by a commit under a condition.
 *
 * Choosing costs the same however full the pool is: a cursor per range stands where everything below is occupied, and
 * goes back only when something below comes free.
 */
export interface Choice {
  readonly item: string;
  /** Of the record that is replaced; undefined: there is none. */
  readonly revision: string | undefined;
}

/** `revision` undefined: known from our own commit, not yet from the store. */
export interface Known {
  readonly revision: string | undefined;
  /** Undefined: the record cannot be read; nobody gets the item. */
  readonly allocation: Allocation | undefined;
  /** When the rest is over, by this host's clock. */
  readonly free: number;
}

export class Shelf {
  readonly #rest: number;
  readonly #items = new Map<string, Known>();
  /** Items by holder, or by former holder while they rest. */
  readonly #owners = new Map<string, Set<string>>();
  /** Resting items by the end of their rest; entries that are out of date are passed over. */
  #resting: { readonly item: string; readonly free: number }[] = [];
  readonly #chosen = new Set<string>();
  readonly #cursors = new Map<string, { readonly space: Space; next: bigint }>();

  constructor(rest: number) {
    this.#rest = rest;
  }

  /** Replaces everything by a snapshot. */
  reset(
    items: Iterable<readonly [item: string, revision: string, allocation: Allocation | undefined]>,
    now: number,
  ): void {
    this.#items.clear();
    this.#owners.clear();
    this.#resting = [];
    this.#cursors.clear();
    for (const [item, revision, allocation] of items)
      this.#set(item, { revision, allocation, free: this.#freeAt(allocation, now) });
    this.#resting.sort((a, b) => a.free - b.free);
  }

  /** A record as it is now; its rest begins when we see it, whatever the giver's clock says. */
  put(item: string, revision: string | undefined, allocation: Allocation | undefined, now: number): void {
    const before = this.#items.get(item);
    const same = before?.allocation?.kind === 'resting' && allocation?.kind === 'resting';
    this.#set(item, { revision, allocation, free: same ? before.free : now + this.#rest });
  }

  remove(item: string): void {
    this.#unlink(item);
    this.#items.delete(item);
    this.#back(item);
  }

  get(item: string): Known | undefined {
    return this.#items.get(item);
  }

  /** What the owner holds in the space; else what it held last and rests. */
  ofOwner(space: Space, owner: Owner): (Choice & { readonly held: boolean }) | undefined {
    const mine = [...(this.#owners.get(owner.id) ?? [])].filter((item) => inSpace(space, item));
    const held = mine.find((item) => this.#items.get(item)?.allocation?.kind === 'held');
    const item = held ?? mine.find((one) => !this.#chosen.has(one));
    return item === undefined ? undefined : { item, revision: this.#items.get(item)?.revision, held: item === held };
  }

  /** The lowest free item; if there is none, the one that rests longest. It is not chosen again until `settle`. */
  choose(space: Space, now: number): Choice | undefined {
    this.#wake(now);
    const cursor = this.#cursor(space);
    for (let n = cursor.next; n <= space.last; n++) {
      const item = space.format(n);
      cursor.next = n + 1n;
      if (space.passed.has(item) || this.#occupied(item, now)) continue;
      return this.take(item);
    }
    const longest = this.#resting.find(
      ({ item, free }) => this.#isResting(item, free) && inSpace(space, item) && !this.#chosen.has(item),
    );
    return longest && this.take(longest.item);
  }

  /** Keeps an item from being chosen while a commit is on its way. */
  take(item: string): Choice {
    this.#chosen.add(item);
    return { item, revision: this.#items.get(item)?.revision };
  }

  /** The commit is over: what is known of the item decides. */
  settle(item: string): void {
    this.#chosen.delete(item);
    const known = this.#items.get(item);
    if (!known || known.allocation?.kind === 'resting') this.#back(item);
  }

  /** Records of rests that ended at or before `until`. */
  rested(
    until: number,
  ): readonly { readonly item: string; readonly revision: string | undefined; readonly free: number }[] {
    return [...this.#items].flatMap(([item, { allocation, revision, free }]) =>
      allocation?.kind === 'resting' && free <= until ? [{ item, revision, free }] : [],
    );
  }

  /** Some holder within the space, to name in a sentence, and how many items are held. */
  holders(space: Space): { readonly count: number; readonly example: Held | undefined } {
    let count = 0;
    let example: Held | undefined;
    for (const [item, { allocation }] of this.#items) {
      if (allocation?.kind !== 'held' || !inSpace(space, item)) continue;
      count++;
      example ??= { item, owner: allocation.owner };
    }
    return { count, example };
  }

  #occupied(item: string, now: number): boolean {
    if (this.#chosen.has(item)) return true;
    const known = this.#items.get(item);
    return known !== undefined && !(known.allocation?.kind === 'resting' && known.free <= now);
  }

  #isResting(item: string, free: number): boolean {
    const known = this.#items.get(item);
    return known?.allocation?.kind === 'resting' && known.free === free;
  }

  /** Rests that are over make their items free: cursors go back to them. */
  #wake(now: number): void {
    let over = 0;
    for (const { item, free } of this.#resting) {
      if (free > now) break;
      over++;
      if (this.#isResting(item, free)) this.#back(item);
    }
    // They stay free until they are taken or removed; only the queue forgets them.
    if (over > 0) this.#resting.splice(0, over);
  }

  #set(item: string, known: Known): void {
    this.#unlink(item);
    this.#items.set(item, known);
    const { allocation, free } = known;
    if (!allocation) return;
    const owner = allocation.kind === 'held' ? allocation.owner : allocation.former;
    const items = this.#owners.get(owner.id) ?? new Set();
    this.#owners.set(owner.id, items.add(item));
    if (allocation.kind === 'resting') this.#resting.push({ item, free });
  }

  #unlink(item: string): void {
    const allocation = this.#items.get(item)?.allocation;
    if (!allocation) return;
    const owner = allocation.kind === 'held' ? allocation.owner : allocation.former;
    const items = this.#owners.get(owner.id);
    items?.delete(item);
    if (items?.size === 0) this.#owners.delete(owner.id);
  }

  #freeAt(allocation: Allocation | undefined, now: number): number {
    return allocation?.kind === 'resting' ? Math.min(allocation.released, now) + this.#rest : 0;
  }

  #cursor(space: Space): { readonly space: Space; next: bigint } {
    const name = `${space.format(space.first)} ${space.last} ${[...space.passed].join()}`;
    const known = this.#cursors.get(name);
    if (known) return known;
    const made = { space, next: space.first };
    this.#cursors.set(name, made);
    return made;
  }

  #back(item: string): void {
    for (const cursor of this.#cursors.values()) {
      if (!inSpace(cursor.space, item)) continue;
      const n = cursor.space.parse(item);
      if (n < cursor.next) cursor.next = n;
    }
  }
}

function inSpace(space: Space, item: string): boolean {
  if (space.passed.has(item)) return false;
  try {
    const n = space.parse(item);
    return n >= space.first && n <= space.last;
  } catch {
    return false;
  }
}
