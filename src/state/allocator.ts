import { Refusal } from '../lib/errors.ts';

/** Numbers that must be unique in the cluster: addresses of a network, subnets, VNIs. */
export interface Allocator {
  /**
   * Afterwards the item belongs to `owner` and to nobody else. Without a wish: the lowest that is free and has not been
   * given back within the rest; if there is none, the one that rests longest. A wish, and what the same owner holds
   * already, is given at once (so a repeated call is answered the same; an owner takes on one host at a time).
   * @throws Taken when the wish is held by another or overlaps what is held, naming it; Exhausted when nothing is left in
   *   the pool; Refusal 'unavailable' when the store is
   */
  take(pool: Pool, owner: Owner, wish?: string): Promise<string>;
  /**
   * Afterwards `owner` does not hold the item; it rests, unless it was never in use. Giving what the owner does not hold
   * is no error. @throws Refusal 'unavailable'
   */
  give(pool: Pool, owner: Owner, item: string, options?: { readonly unused: boolean }): Promise<void>;
  /** Every item of the pool that is held, from the source. @throws Refusal 'unavailable' */
  held(pool: Pool): Promise<readonly Held[]>;
}

/**
 * - `addresses`: items are addresses of `range` (canonical text), taken in order; `reserved` are never chosen, only wished
 *   for, nor are the first of the `subnet` that the range is a part of and, in IPv4, its last
 * - `subnets`: items are prefixes; no two that are held overlap. The automatic choice takes prefixes of length `size` out
 *   of `range` in order, passing over what overlaps one of `avoid`
 * - `vnis`: items are decimal numbers from `first` to `last`, in order
 */
export type Pool =
  | {
      readonly kind: 'addresses';
      readonly network: string;
      readonly range: string;
      /** The range itself unless another is said. */
      readonly subnet?: string;
      readonly reserved: readonly string[];
    }
  | {
      readonly kind: 'subnets';
      readonly ranges: readonly { readonly range: string; readonly size: number }[];
      readonly avoid: readonly string[];
    }
  | { readonly kind: 'vnis'; readonly first: number; readonly last: number };

/** Who holds an item: `id` (an endpoint's or a network's) on behalf of `host`. */
export interface Owner {
  readonly host: string;
  readonly id: string;
  /** What people call it. */
  readonly name: string;
}

export interface Held {
  readonly item: string;
  readonly owner: Owner;
}

/** The wish cannot be had because of what another holds. */
export class Taken extends Error {
  override readonly name = 'Taken';
  readonly wish: string;
  readonly by: Held;

  constructor(wish: string, by: Held) {
    super(`${wish} is taken by ${by.owner.name}${by.item === wish ? '' : ` (${by.item})`}`);
    this.wish = wish;
    this.by = by;
  }
}

/** Nothing is left in the pool that could be given. */
export class Exhausted extends Refusal {
  constructor(message: string) {
    super('conflict', message);
  }
}

/** How long a released item is left out of the automatic choice, in milliseconds. */
export const rest = 30_000;
