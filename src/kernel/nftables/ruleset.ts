import { DecodeError } from '../../lib/errors.ts';

/** What `nft -j list` shows, as far as it is of use here; libnftables-json(5). Rules are known by their comments alone. */
export interface Ruleset {
  readonly tables: readonly { readonly family: string; readonly name: string }[];
  readonly sets: readonly NftSetListing[];
  readonly chains: readonly NftChainListing[];
}

export interface NftSetListing {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  /** Single values, concatenations as `A . B`; elements of other forms (ranges, prefixes) as JSON. */
  readonly elements: readonly string[];
}

export interface NftChainListing {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  /** Absent in a chain that hangs on no hook. */
  readonly hook?: {
    readonly type: string;
    readonly hook: string;
    readonly priority: number;
    readonly policy: string;
    /** Of family netdev, as far as it is known: nft before 1.0.7 does not list it. */
    readonly device?: string;
  };
  /** Each rule's comment, in order; empty for a rule without one. */
  readonly comments: readonly string[];
}

/** @throws DecodeError */
export function parseRuleset(text: string): Ruleset {
  const listing = parseJson(text);
  const list = isRecord(listing) ? listing['nftables'] : undefined;
  if (!Array.isArray(list)) throw new DecodeError('a listing of nft has no array "nftables"');
  const tables: { family: string; name: string }[] = [];
  const sets: NftSetListing[] = [];
  const chains: (NftChainListing & { comments: string[] })[] = [];
  for (const item of list.filter(isRecord)) {
    const { table, set, chain, rule } = item;
    if (isRecord(table)) tables.push({ family: textOf(table, 'family'), name: textOf(table, 'name') });
    else if (isRecord(set)) sets.push({ ...placeOf(set), elements: elementsOf(set) });
    else if (isRecord(chain)) chains.push({ ...placeOf(chain), ...hookOf(chain), comments: [] });
    else if (isRecord(rule)) {
      const [family, inTable, name] = ['family', 'table', 'chain'].map((field) => textOf(rule, field));
      const of = chains.find((c) => c.name === name && c.table === inTable && c.family === family);
      if (!of) throw new DecodeError(`a listing of nft has a rule of chain ${name} before the chain`);
      of.comments.push(typeof rule['comment'] === 'string' ? rule['comment'] : '');
    }
  }
  return { tables, sets, chains };
}

function placeOf(item: Record<string, unknown>) {
  return { family: textOf(item, 'family'), table: textOf(item, 'table'), name: textOf(item, 'name') };
}

function hookOf(chain: Record<string, unknown>): Pick<NftChainListing, 'hook'> {
  if (chain['hook'] === undefined) return {};
  const { prio } = chain;
  return {
    hook: {
      type: textOf(chain, 'type'),
      hook: textOf(chain, 'hook'),
      priority: typeof prio === 'number' ? prio : 0,
      policy: textOf(chain, 'policy'),
    },
  };
}

function elementsOf(set: Record<string, unknown>): string[] {
  const { elem } = set;
  if (elem === undefined) return [];
  if (!Array.isArray(elem)) throw new DecodeError('a listing of nft has a set whose elements are no array');
  return elem.map((listed: unknown) => {
    // One that is forgotten by and by is listed with when.
    const timed: unknown = isRecord(listed) ? listed['elem'] : undefined;
    const element: unknown = isRecord(timed) ? timed['val'] : listed;
    const parts: unknown = isRecord(element) ? element['concat'] : undefined;
    return Array.isArray(parts) ? parts.map(elementText).join(' . ') : elementText(element);
  });
}

function elementText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DecodeError('a listing of nft is not JSON', { cause });
  }
}

function textOf(item: Record<string, unknown>, field: string): string {
  const value = item[field];
  if (typeof value !== 'string') throw new DecodeError(`a listing of nft has an entry without "${field}"`);
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
