import { ParseError, Refusal } from '../../lib/errors.ts';
import { firstOf, lastOf, parsePrefix } from '../../lib/prefix.ts';
import { Exhausted, type Pool, Taken } from '../allocator.ts';
import { poolName, type Space, spaceOf } from '../kv/allocation.ts';
import { formatWanted, type Given, mostGiven, parseGiven, type Wanted } from './donor.ts';
import type { Holdings } from './holdings.ts';
import type { Keeper } from './keeper.ts';
import { isSubnets, numbersOf } from './owned.ts';
import type { Questions } from './questions.ts';
import type { Standing } from './removal.ts';
import type { Ring, Rings } from './ring.ts';
import type { Members, Sheets } from './sheets.ts';

export interface AskingNeeds {
  readonly sheets: Sheets;
  readonly members: Members;
  readonly questions: Questions;
  readonly standing: Standing;
  readonly rings: Rings;
  readonly holdings: Holdings;
  readonly keeper: Keeper;
  readonly pause: (ms: number) => Promise<void>;
}

/** How long what was given may be on its way, in milliseconds. */
const longestWay = 2_000;

/** Asks other hosts for numbers of theirs. */
export class Asking {
  readonly #needs: AskingNeeds;
  /** How many takes of a ring are under way: so many numbers are asked for at once. */
  readonly #needy = new Map<string, number>();
  readonly #under = new Map<string, Promise<boolean>>();

  constructor(needs: AskingNeeds) {
    this.#needs = needs;
  }

  async needing<T>({ id }: Ring, task: () => Promise<T>): Promise<T> {
    this.#needy.set(id, (this.#needy.get(id) ?? 0) + 1);
    try {
      return await task();
    } finally {
      const left = (this.#needy.get(id) ?? 1) - 1;
      if (left > 0) this.#needy.set(id, left);
      else this.#needy.delete(id);
    }
  }

  reachable(): ReadonlySet<string> {
    const { sheets, members, standing } = this.#needs;
    const admitted = standing.admitted();
    const alive = members.list().filter(({ id, state }) => state === 'alive' && admitted.has(id));
    return new Set([sheets.self, ...alive.map(({ id }) => id)]);
  }

  /** Asks each owner of these numbers for them. @throws Taken, Refusal 'unavailable' */
  async exactly(pool: Pool, ring: Ring, item: string): Promise<void> {
    const { sheets, rings, keeper, pause } = this.#needs;
    const [from, to] = numbersOf(ring, item);
    const tops = rings.tops(ring).within(from, to);
    if (tops.length === 0)
      throw new Refusal('unavailable', `cannot take ${item}: it is not known here yet who has given it out`);
    const reachable = this.reachable();
    for (const { first, last, value } of tops) {
      if (value.owner === sheets.self) continue;
      if (!reachable.has(value.owner)) {
        const host = value.owner.slice(0, 12);
        const remedy = 'try again when it is back, or skein host rm it';
        throw new Refusal('unavailable', `cannot take ${item}: host ${host} owns it and cannot be reached; ${remedy}`);
      }
      const within = isSubnets(ring) && pool.kind === 'subnets' ? windowOf(pool, ring) : undefined;
      const given = await this.#ask(value.owner, { kind: 'exact', ring, first, last, within });
      if (given.kind === 'held') throw new Taken(item, { item: given.item, owner: given.owner });
      if (given.kind === 'refused') await pause(20);
      else await this.#arrival(() => rings.said(sheets.self, ring.id)?.at(first)?.value.owner === sheets.self);
    }
    await keeper.tend();
  }

  /** Asks for some free numbers, who has lower ones first. @returns whether this host owns more than before */
  async piece(ring: Ring, space: Space, spare: boolean): Promise<boolean> {
    const name = `${ring.id} ${space.first} ${space.last} ${spare}`;
    const under = this.#under.get(name) ?? this.#piece(ring, space, spare).finally(() => this.#under.delete(name));
    this.#under.set(name, under);
    return await under;
  }

  async #piece(ring: Ring, space: Space, spare: boolean): Promise<boolean> {
    const { holdings, rings, sheets } = this.#needs;
    // Those who take at the same time say so first.
    await Promise.resolve();
    for (const { owner, first, last } of this.#owners(ring, space, spare)) {
      const mine = holdings.held(ring).filter(({ record }) => record.by === sheets.self).length;
      const want = Math.min(mostGiven, (this.#needy.get(ring.id) ?? 1) + Math.floor(mine / 2));
      const passed = [...space.passed];
      const before = rings.said(sheets.self, ring.id);
      const given = await this.#ask(owner, { kind: 'piece', ring, first, last, passed, want, spare });
      if (given.kind === 'given') return await this.#arrival(() => rings.said(sheets.self, ring.id) !== before);
    }
    return false;
  }

  /** Who of those that can be reached seems to have free numbers in the space, and between which they are. */
  #owners(ring: Ring, space: Space, spare: boolean) {
    const { sheets, rings, holdings } = this.#needs;
    const reachable = this.reachable();
    const found = new Map<string, { owner: string; first: bigint; last: bigint; room: bigint }>();
    for (const { first, last, value } of rings.tops(ring).within(space.first, space.last)) {
      const { owner } = value;
      if (owner === sheets.self || value.spare !== spare || !reachable.has(owner)) continue;
      const one = found.get(owner) ?? { owner, first, last, room: 0n };
      found.set(owner, { ...one, last, room: one.room + last - first + 1n });
    }
    for (const { item, record } of holdings.held(ring)) {
      const one = found.get(record.by);
      const [number] = numbersOf(ring, item);
      if (one && number >= one.first && number <= one.last) found.set(record.by, { ...one, room: one.room - 1n });
    }
    return [...found.values()].filter(({ room }) => room > 0n);
  }

  /** Why nothing could be taken. */
  exhausted(pool: Pool, ring: Ring, isOfPool: (item: string) => boolean): Refusal {
    const { sheets, holdings, rings, standing } = this.#needs;
    const held = holdings.held(ring).filter(({ item }) => isOfPool(item));
    const reachable = this.reachable();
    if (windowsOf(pool, ring).every(([first, last]) => rings.tops(ring).within(first, last).length === 0)) {
      return new Refusal('unavailable', `it is not known here yet who gives out the ${poolName(pool)}; try again`);
    }
    const away = new Set(
      [...rings.tops(ring)].map(({ value }) => value.owner).filter((owner) => !reachable.has(owner)),
    );
    const lost = [...away].find((owner) => this.#hasRoom(ring, pool, owner));
    if (lost !== undefined) {
      const state = standing.admitted().has(lost) ? 'cannot be reached' : 'is removed, and not all hosts know it yet';
      const reason = `what is free of the ${poolName(pool)} belongs to host ${lost.slice(0, 12)}, which ${state}`;
      return new Refusal('unavailable', `${reason}; try again when it is back, or skein host rm it`);
    }
    const near = [...reachable].find((owner) => owner !== sheets.self && this.#hasRoom(ring, pool, owner));
    if (near !== undefined && pool.kind !== 'subnets') {
      const reason = `host ${near.slice(0, 12)}, to which it belongs, gave none`;
      return new Refusal('unavailable', `cannot take what is free of the ${poolName(pool)}: ${reason}; try again`);
    }
    const [example] = held;
    const holders = example
      ? `${held.length} are held, ${example.item} by ${example.record.owner.name}`
      : 'nothing in it can be given';
    return new Exhausted(`the ${poolName(pool)} is exhausted: ${holders}; give one back, or make the pool larger`);
  }

  /** Whether an owner seems to have what could be chosen; what rests counts as such. */
  #hasRoom(ring: Ring, pool: Pool, owner: string): boolean {
    const { rings, holdings } = this.#needs;
    const spans = windowsOf(pool, ring).flatMap(([first, last]) => rings.tops(ring).within(first, last));
    const mine = spans.filter(({ value }) => value.owner === owner);
    const size = mine.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
    const passed = pool.kind === 'addresses' ? pool.reserved : [];
    const used = new Set([...passed, ...holdings.held(ring).map(({ item }) => item)]);
    const isIn = ([from, to]: readonly [bigint, bigint]) => mine.some(({ first, last }) => from >= first && to <= last);
    const lengths = [...used]
      .map((item) => numbersOf(ring, item))
      .flatMap((one) => (isIn(one) ? one[1] - one[0] + 1n : 0n));
    return size > lengths.reduce((sum, length) => sum + length, 0n);
  }

  async #ask(host: string, wanted: Wanted): Promise<Given> {
    try {
      return parseGiven(await this.#needs.questions.ask(host, formatWanted(wanted)));
    } catch (error) {
      if (error instanceof ParseError) return { kind: 'refused' };
      if (error instanceof Refusal && error.kind === 'unavailable') return { kind: 'refused' };
      throw error;
    }
  }

  /** Until what was given has come and is this host's. */
  async #arrival(isHere: () => boolean): Promise<boolean> {
    const { keeper, pause } = this.#needs;
    for (let waited = 0; waited <= longestWay; waited += 5) {
      await keeper.tend();
      if (isHere()) return true;
      await pause(5);
    }
    return false;
  }
}

/** The numbers that the choice may come from. */
function windowsOf(pool: Pool, ring: Ring): readonly (readonly [bigint, bigint])[] {
  if (pool.kind !== 'subnets') {
    const { first, last } = spaceOf(pool);
    return [[first, last]];
  }
  const ranges = pool.ranges.map(({ range }) => range);
  return ranges
    .map(parsePrefix)
    .filter((prefix) => lastOf(prefix) <= ring.last)
    .map((prefix) => [firstOf(prefix), lastOf(prefix)]);
}

/** Where a host would like to have networks in reserve: the largest range. */
function windowOf(pool: Pool, ring: Ring): readonly [bigint, bigint] | undefined {
  return windowsOf(pool, ring).toSorted((a, b) => (a[1] - a[0] > b[1] - b[0] ? -1 : 1))[0];
}
