import * as v from 'valibot';
import { ParseError } from '../../lib/errors.ts';
import { parseRecord } from '../../model/record.ts';
import { HexId, HostId } from '../../model/text.ts';
import type { Holder, Space } from '../claims.ts';
import type { Json, Scope, Sheet, SheetChange, Sheets } from './sheets.ts';

/**
 * Claims as hosts say them: `name/<name>` for the one claim that a host makes of a name, `unnamed/<name>` for claims of
 * others that it says are over. Of the claims that are not over the earliest counts, by Lamport time and the host's id.
 */
export interface Claim {
  readonly by: string;
  readonly holder: Holder;
  readonly at: number;
  readonly stamp: string;
  /** Claims that this one replaces: of a lost host, or of the same holder. */
  readonly over: readonly string[];
}

export interface Place {
  readonly scope: Scope;
  readonly key: string;
}

const latest = 2 ** 48;
const Stamp = v.pipe(v.string(), v.minLength(1), v.maxLength(32));
const Stamps = v.pipe(v.array(Stamp), v.maxLength(64));
const ClaimRecord = v.looseObject({
  id: HexId,
  host: v.optional(HostId),
  at: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(latest)),
  stamp: Stamp,
  over: v.optional(Stamps, []),
});

export function placeOf(space: Space, name: string): Place {
  if (space.kind === 'networks') return { scope: 'catalog', key: `name/${name}` };
  const { network, host } = space;
  return { scope: `network:${network}`, key: host === undefined ? `name/${name}` : `name/${host}/${name}` };
}

/** The name, when the key is one of the space's. */
export function nameOf(space: Space, key: string): string | undefined {
  const prefix = space.kind === 'endpoints' && space.host !== undefined ? `name/${space.host}/` : 'name/';
  const name = key.startsWith(prefix) ? key.slice(prefix.length) : '';
  return name === '' || name.includes('/') ? undefined : name;
}

/** @throws ParseError */
export function parseClaim(json: unknown, place: string, by: string): Claim {
  const { id, host, at, stamp, over } = parseRecord(ClaimRecord, json, place);
  return { by, holder: { id, ...(host !== undefined && { host }) }, at, stamp, over };
}

export function formatClaim({ holder, at, stamp, over }: Omit<Claim, 'by'>): Json {
  return { ...holder, at, stamp, ...(over.length > 0 && { over: [...over] }) };
}

/** @throws ParseError */
export function parseStamps(json: unknown, place: string): readonly string[] {
  return parseRecord(Stamps, json, place);
}

export function unnamedKey(key: string): string {
  return `un${key.replace(/^name\//, 'named/')}`;
}

export function isEarlier(one: Claim, other: Claim): boolean {
  return one.at < other.at || (one.at === other.at && one.by < other.by);
}

interface Name {
  readonly claims: Map<string, Claim>;
  readonly over: Map<string, readonly string[]>;
}

/** All claims of the scopes that were asked for, or in which one changed, kept by changes of the sheets. */
export class ClaimEntries {
  readonly #sheets: Sheets;
  readonly #changed: (place: Place) => void;
  readonly #scopes = new Map<Scope, Map<string, Name>>();
  readonly #stop: () => void;
  #time = 0;

  constructor(sheets: Sheets, changed: (place: Place) => void) {
    this.#sheets = sheets;
    this.#changed = changed;
    this.#stop = sheets.watch(({ owner, scope, keys, sheet }: SheetChange) => {
      if (keys.some((key) => /^(un)?name/.test(key))) this.#names(scope);
      if (this.#scopes.has(scope)) this.#take(owner, scope, keys, sheet);
    });
  }

  close(): void {
    this.#stop();
  }

  /** A Lamport time after all that came here. */
  tick(): number {
    this.#time += 1;
    return this.#time;
  }

  saw(at: number): void {
    this.#time = Math.max(this.#time, at);
  }

  scopes(): readonly Scope[] {
    return [...this.#scopes.keys()];
  }

  keys(scope: Scope): readonly string[] {
    return [...this.#names(scope).keys()];
  }

  /** Claims that are not over, the one that counts first. */
  claims({ scope, key }: Place): readonly Claim[] {
    const name = this.#names(scope).get(key);
    const all = [...(name?.claims.values() ?? [])];
    const over = this.over({ scope, key });
    return all.filter(({ stamp }) => !over.has(stamp)).toSorted((a, b) => (isEarlier(a, b) ? -1 : 1));
  }

  mine({ scope, key }: Place): Claim | undefined {
    return this.#names(scope).get(key)?.claims.get(this.#sheets.self);
  }

  /** Stamps of claims that are over. */
  over({ scope, key }: Place): ReadonlySet<string> {
    const name = this.#names(scope).get(key);
    const replaced = [...(name?.claims.values() ?? [])].flatMap(({ over }) => over);
    return new Set([...replaced, ...[...(name?.over.values() ?? [])].flat()]);
  }

  /** All claims, also those that are over. */
  made({ scope, key }: Place): readonly Claim[] {
    return [...(this.#names(scope).get(key)?.claims.values() ?? [])];
  }

  /** Whether somebody still makes the claim with this stamp. */
  isMade(place: Place, stamp: string): boolean {
    return this.made(place).some((claim) => claim.stamp === stamp);
  }

  #names(scope: Scope): Map<string, Name> {
    const known = this.#scopes.get(scope);
    if (known) return known;
    const names = new Map<string, Name>();
    this.#scopes.set(scope, names);
    for (const sheet of this.#sheets.list(scope)) this.#take(sheet.owner, scope, [...sheet.entries.keys()], sheet);
    return names;
  }

  #take(by: string, scope: Scope, keys: readonly string[], sheet: Sheet | undefined): void {
    const names = this.#names(scope);
    for (const changed of keys) {
      const key = changed.replace(/^unnamed\//, 'name/');
      if (!key.startsWith('name/')) continue;
      const json = sheet?.entries.get(changed);
      const name = names.get(key) ?? { claims: new Map(), over: new Map() };
      if (changed === key) set(name.claims, by, json && read(() => parseClaim(json, key, by)));
      else set(name.over, by, json && read(() => parseStamps(json, changed)));
      if (name.claims.size + name.over.size > 0) names.set(key, name);
      else names.delete(key);
      this.saw(name.claims.get(by)?.at ?? 0);
      this.#changed({ scope, key });
    }
  }
}

function set<T>(map: Map<string, T>, by: string, value: T | undefined | null | false | 0 | ''): void {
  if (value) map.set(by, value);
  else map.delete(by);
}

function read<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}
