import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import { Serial } from '../../lib/serial.ts';
import { type Allocator, rest as defaultRest, type Owner, type Pool, Taken } from '../allocator.ts';
import { parseWish, type Space, spaceOf } from '../kv/allocation.ts';
import { Asking } from './asking.ts';
import { Donor, formatGiven, parseWanted } from './donor.ts';
import { formatHeld, freedKey, Holdings, heldKey } from './holdings.ts';
import { type Conflict, Keeper } from './keeper.ts';
import { itemAt, numbersOf, Owned } from './owned.ts';
import type { Questions } from './questions.ts';
import { Removals, type Standing } from './removal.ts';
import { parseRing, type Ring, Rings, ringOf, type Top } from './ring.ts';
import type { Json, Members, Sheets } from './sheets.ts';
import type { Spans } from './spans.ts';
import { Subnets } from './subnets.ts';
import { Tidy } from './tidy.ts';

/** Numbers over a mesh: each host gives out of what it owns, and asks others for some of theirs. */
export interface OpenAllocator {
  readonly sheets: Sheets;
  readonly members: Members;
  readonly questions: Questions;
  readonly standing: Standing;
  /** Who owns a ring before anybody has said something of it: who made the network; the founder. Undefined: not known here. */
  readonly maker: (ring: Ring) => string | undefined;
  /** Whether the network with this id is there. */
  readonly exists: (network: string) => boolean;
  /** Whether it has given out nothing before this life. */
  readonly fresh?: boolean;
  /** Whether this host, when nobody has spoken of a ring yet, may begin with it: see `Beginning.begin`. */
  readonly mayOpen?: () => boolean;
  readonly now: () => number;
  /** As an id of 32 hexadecimal digits, another with each call. */
  readonly nonce: () => string;
  /** Resolves after so many milliseconds. */
  readonly pause: (ms: number) => Promise<void>;
  readonly rest?: number;
}

export interface MeshAllocator extends Allocator {
  /** Answers what the allocator of another host asks. @throws ParseError, Refusal */
  answer(from: string, question: Json): Promise<Json>;
  /** Says what follows from what others said since: to be called after each change of a `ring` sheet or of who is removed. */
  tend(): Promise<void>;
  /**
   * Gives all numbers of this host to another that can be reached, and gives none out any more: for a host that is reset.
   * @returns the host that has them now; undefined when there is none, and they stay until this one is removed
   */
  leave(): Promise<string | undefined>;
  conflicts(): readonly Conflict[];
  /** Whose which numbers are, of each ring of which something is said; and how many items of it are held. */
  survey(): readonly { readonly ring: Ring; readonly tops: Spans<Top>; readonly held: readonly string[] }[];
  close(): void;
}

/**
 * How long a host that started waits for one that may know more of what it had said, before it gives anything, in
 * milliseconds.
 */
const longestDoubt = 60_000;

type Numbers = Exclude<Pool, { kind: 'subnets' }>;

export function openAllocator(options: OpenAllocator): MeshAllocator {
  const { sheets, members, questions, standing, exists, now, nonce, pause, rest = defaultRest } = options;
  const removals = new Removals(sheets, standing);
  const maker = (ring: Ring) => {
    const first = options.maker(ring);
    return first && (removals.heirOf(first) ?? first);
  };
  const rings = new Rings(sheets, maker);
  const holdings = new Holdings({ sheets, now, rest, counts: (host) => removals.heirOf(host) === undefined });
  const owned = new Owned({ self: sheets.self, rings, holdings, now });
  const opened = now();
  let left = false;
  // Where nobody else was who could know more, who comes later cannot either.
  let sure = options.fresh === true || [...standing.admitted()].every((host) => host === sheets.self);
  /** @throws Refusal 'unavailable' while the disk may be older than what this host has said last */
  const beSure = (): void => {
    if (left)
      throw new Refusal('unavailable', 'cannot give out numbers: this host has given all of its own away to leave');
    sure ||= members.compared().size > 0 || now() - opened >= longestDoubt;
    if (sure) return;
    const reason = 'this host has just started, and no other could be asked what it had given out before';
    throw new Refusal(
      'unavailable',
      `cannot give out numbers yet: ${reason}; it goes on without after ${longestDoubt / 1000} s`,
    );
  };
  const keeper = new Keeper({
    sheets,
    rings,
    holdings,
    owned,
    removals,
    exists,
    maker,
    mayOpen: options.mayOpen ?? (() => true),
  });
  const donor = new Donor({ sheets, rings, holdings, owned, admitted: () => standing.admitted() });
  const asking = new Asking({ sheets, members, questions, standing, rings, holdings, keeper, pause });
  const subnets = new Subnets({ sheets, rings, holdings, owned, now });
  const tidy = new Tidy({ sheets, holdings, owned, now });
  const serial = new Serial();
  holdings.watch((ring, item) => owned.loosen(ring, item));

  /** Writes that `owner` holds it, if it is this host's and free when it comes to that. */
  const hold = async (ring: Ring, owner: Owner, choose: () => string | undefined): Promise<string | undefined> => {
    let done: (() => void) | undefined;
    beSure();
    try {
      return await sheets.change(ring.scope, (draft) => {
        const item = choose();
        if (item === undefined) return undefined;
        draft.put(heldKey(ring.id, item), formatHeld(owner, nonce()));
        done = owned.promise(ring, item);
        return item;
      });
    } finally {
      done?.();
    }
  };
  const isOpen = (ring: Ring, item: string, resting: boolean): boolean => {
    const { kind } = owned.judge(ring, ...numbersOf(ring, item));
    return kind === 'free' || (resting && kind === 'resting');
  };
  const holdExactly = (ring: Ring, owner: Owner, item: string): Promise<string | undefined> =>
    hold(ring, owner, () => (isOpen(ring, item, true) ? item : undefined));
  const holdLowest = async (ring: Ring, owner: Owner, space: Space, spare: boolean): Promise<string | undefined> => {
    if (owned.lowest(ring, space, spare) === undefined) return undefined;
    return await hold(ring, owner, () => {
      const number = owned.lowest(ring, space, spare);
      return number === undefined ? undefined : itemAt(ring, number, number);
    });
  };

  /** This very item: out of what this host owns, or asked of who owns it. @throws Taken, Refusal 'unavailable' */
  const takeExactly = async (pool: Pool, ring: Ring, owner: Owner, item: string): Promise<string | undefined> => {
    const [first, last] = numbersOf(ring, item);
    if (last > ring.last) throw new Refusal('invalid', `${item} is no number of the pool`);
    for (let tries = 0; tries < 8; tries++) {
      if (isMine(ring, item, owner)) return item;
      const by = subnets.overlapping(ring, item);
      // Who holds it knows best whether it still does.
      const isHere = by && (by.record.by === sheets.self || !asking.reachable().has(by.record.by));
      if (by && (isHere || tries > 0)) throw new Taken(item, { item: by.item, owner: by.record.owner });
      await keeper.open(ring);
      const taken = await holdExactly(ring, owner, item);
      if (taken !== undefined) return taken;
      if (!owned.owns(ring, first, last)) await asking.exactly(pool, ring, item);
    }
    return undefined;
  };
  const isMine = (ring: Ring, item: string, owner: Owner) => holdings.holder(ring, item)?.owner.id === owner.id;
  /** What the owner holds of the pool already, or held last. */
  const ofOwner = (ring: Ring, owner: Owner, isOfPool: (item: string) => boolean) => {
    const items = holdings.ofOwner(ring, owner.id).filter(isOfPool);
    const held = items.find((item) => isMine(ring, item, owner));
    return held ?? items.find((item) => !subnets.overlapping(ring, item));
  };

  const takeNumber = async (pool: Numbers, owner: Owner): Promise<string> => {
    const [ring, space] = [ringOf(pool), spaceOf(pool)];
    const before = ofOwner(ring, owner, (item) => isWithin(space, item));
    const own = before && (await takeExactly(pool, ring, owner, before).catch(passOver));
    if (own !== undefined) return own;
    await keeper.open(ring);
    for (const spare of [false, true]) {
      for (let tries = 0; tries < 64; tries++) {
        // What is given out of another's reserve is no reserve any more.
        const plain = await holdLowest(ring, owner, space, false);
        const taken = plain ?? (spare ? await holdLowest(ring, owner, space, true) : undefined);
        if (taken !== undefined) return taken;
        if (!(await asking.piece(ring, space, spare))) break;
      }
    }
    for (const { item } of subnets.longestRested(ring, (one) => isWithin(space, one))) {
      const taken = await takeExactly(pool, ring, owner, item).catch(passOver);
      if (taken !== undefined) return taken;
    }
    throw asking.exhausted(pool, ring, (item) => isWithin(space, item));
  };

  const takeSubnet = async (pool: Pool & { readonly kind: 'subnets' }, owner: Owner): Promise<string> => {
    const tried = new Set<string>();
    for (const family of subnets.familiesOf(pool)) {
      const ring = subnets.ringOf(family);
      const before = ofOwner(ring, owner, (item) => subnets.isOfPool(pool, item));
      const own = before && (await takeExactly(pool, ring, owner, before).catch(passOver));
      if (own !== undefined) return own;
    }
    for (let tries = 0; tries < 64; tries++) {
      const item = subnets.choose(pool, { reachable: asking.reachable(), tried });
      if (item === undefined) break;
      const taken = await takeExactly(pool, subnets.ringOfItem(item), owner, item).catch(passOver);
      if (taken !== undefined) return taken;
      tried.add(item);
    }
    throw asking.exhausted(pool, ringOf(pool), (item) => subnets.overlapsPool(pool, item));
  };

  return {
    async take(pool, owner, wish) {
      const item = wish === undefined ? undefined : parseWish(pool.kind, wish);
      const ring = item !== undefined && pool.kind === 'subnets' ? subnets.ringOfItem(item) : ringOf(pool);
      const space = pool.kind === 'subnets' ? undefined : spaceOf(pool);
      const known = holdings.ofOwner(ring, owner.id).find((one) => {
        const isWanted = item === undefined ? space && isWithin(space, one) : one === item;
        return isWanted && isMine(ring, one, owner);
      });
      if (known !== undefined) return known;
      beSure();
      return await asking.needing(ring, () =>
        serial.run(`${ring.id} ${owner.id}`, async () => {
          if (item === undefined)
            return await (pool.kind === 'subnets' ? takeSubnet(pool, owner) : takeNumber(pool, owner));
          const taken = await takeExactly(pool, ring, owner, item);
          if (taken !== undefined) return taken;
          throw new Refusal('unavailable', `cannot take ${item}: whose it is changed again and again; try again`);
        }),
      );
    },
    async give(pool, owner, wanted, { unused } = { unused: false }) {
      const item = parseWish(pool.kind, wanted);
      const ring = pool.kind === 'subnets' ? subnets.ringOfItem(item) : ringOf(pool);
      const held = holdings
        .of(ring, item)
        .filter(({ owner: { id }, released }) => id === owner.id && released === undefined);
      if (held.length === 0) return;
      await sheets.change(ring.scope, (draft) => {
        for (const { by, stamp, owner: holder } of held) {
          if (by !== sheets.self) draft.put(freedKey(ring.id, item), { stamp, unused });
          else if (unused) draft.delete(heldKey(ring.id, item));
          else draft.put(heldKey(ring.id, item), formatHeld(holder, stamp, now()));
        }
      });
    },
    async held(pool) {
      const all = pool.kind === 'subnets' ? ([4, 6] as const).map(subnets.ringOf) : [ringOf(pool)];
      return all.flatMap((ring) => holdings.held(ring).map(({ item, record }) => ({ item, owner: record.owner })));
    },
    async answer(from, question) {
      const wanted = parseWanted(question);
      beSure();
      await keeper.open(wanted.ring).catch(passOver);
      return formatGiven(await donor.give(from, wanted));
    },
    async tend() {
      await keeper.tend();
      await tidy.tidy();
    },
    async leave() {
      const reachable = asking.reachable();
      const heir = [...standing.admitted()].find((host) => host !== sheets.self && reachable.has(host));
      if (heir === undefined) return undefined;
      left = true;
      await donor.giveAll(heir);
      return heir;
    },
    conflicts: () => keeper.conflicts(),
    survey: () =>
      Array.from(rings.ids(), (id) => {
        const ring = parseRing(id);
        return { ring, tops: rings.tops(ring), held: holdings.held(ring).map(({ item }) => item) };
      }),
    close: () => holdings.close(),
  };
}

/** What another holds, or cannot be had now, is no reason to fail where there may be others. */
function passOver(error: unknown): undefined {
  if (error instanceof Taken || (error instanceof Refusal && error.kind === 'unavailable')) return undefined;
  throw error;
}

function isWithin(space: Space, item: string): boolean {
  try {
    const number = space.parse(item);
    return !space.passed.has(item) && number >= space.first && number <= space.last;
  } catch (error) {
    if (error instanceof ParseError) return false;
    throw new Error(`judge ${item}: ${messageOf(error)}`, { cause: error });
  }
}
