import * as v from 'valibot';
import { Refusal } from '../../lib/errors.ts';
import type { Family } from '../../lib/prefix.ts';
import { parseRecord } from '../../model/record.ts';
import { Skipped, type SkippedRecord } from '../kv/skipped.ts';
import { type MeshAllocator, openAllocator } from './allocator.ts';
import { type MeshCatalog, openCatalog } from './catalog.ts';
import { type MeshClaims, openClaims } from './claims.ts';
import type { Questions } from './questions.ts';
import { type MeshRegistry, openRegistry } from './registry.ts';
import { Removals, type Standing } from './removal.ts';
import { isNetworkRing, type Ring } from './ring.ts';
import type { Json, Members, Sheets } from './sheets.ts';

export interface OpenMeshState {
  readonly sheets: Sheets;
  readonly members: Members;
  readonly questions: Questions;
  readonly standing: Standing;
  /** The host that founded the cluster. */
  readonly founder: () => string | undefined;
  /** The address family underneath. */
  readonly underlay: Family;
  /** Networks on which this host has endpoints. */
  readonly inUse: () => ReadonlySet<string>;
  /** Whether this host has said nothing in this cluster before its life began; by default, where nobody else belongs to it. */
  readonly fresh?: boolean;
  /** Whether this host may be the first to give out numbers: see `Beginning.begin`. */
  readonly mayOpen?: () => boolean;
  readonly now: () => number;
  /** As an id of 32 hexadecimal digits, another with each call. */
  readonly nonce: () => string;
  /** Resolves after so many milliseconds. */
  readonly pause: (ms: number) => Promise<void>;
  readonly rest?: number;
  /** Who owns a ring before anybody has said something of it, where it is not who made the network, or the founder. */
  readonly maker?: (ring: Ring) => string | undefined;
}

export interface MeshState {
  readonly registry: MeshRegistry;
  readonly catalog: MeshCatalog;
  readonly allocator: MeshAllocator;
  readonly claims: MeshClaims;
  skipped(): readonly SkippedRecord[];
  /** Answers what the state of another host asks. @throws ParseError, Refusal */
  answer(from: string, question: Json): Promise<Json>;
  /** Whether nobody needs any more what a removed host had said in `ring` and `catalog`: its heir says it now. */
  spent(host: string): boolean;
  /** Says what follows from what others said since: to be called after changes of sheets and of who is removed. */
  tend(): Promise<void>;
  close(): void;
}

/** In which what an heir carries on comes after it said that it took over, in milliseconds. */
const longestWay = 2_000;

const About = v.looseObject({ about: v.picklist(['catalog', 'numbers', 'names']), question: v.unknown() });

/** @throws ParseError */
export function parseAbout(json: unknown): {
  readonly about: 'catalog' | 'numbers' | 'names';
  readonly question: unknown;
} {
  return parseRecord(About, json, 'the question');
}

/** The four contracts over what hosts say to each other. */
export function openMeshState(options: OpenMeshState): MeshState {
  const { sheets, members, questions, standing, founder, inUse, now, nonce, pause, rest } = options;
  const skipped = new Skipped();
  const removals = new Removals(sheets, standing);
  const inherits = (host: string) => removals.removed().has(host) && removals.isHeir(sheets.self, host);
  /** When it was first seen here that all removed hosts have heirs. */
  let allTaken: number | undefined;
  const about = (part: 'catalog' | 'numbers' | 'names'): Questions => ({
    ask: (host, question) => questions.ask(host, { about: part, question }),
  });
  const base = { sheets, members, standing, now, nonce, inherits };
  const registry = openRegistry({ sheets, members, skipped, underlay: options.underlay });
  const catalog = openCatalog({ ...base, questions: about('catalog'), skipped, inUse });
  const claims = openClaims({ ...base, questions: about('names') });
  const makerOf = (ring: Ring) => (isNetworkRing(ring) ? catalog.maker(ring.id.slice(0, 64)) : founder());
  const allocator = openAllocator({
    ...{ ...base, questions: about('numbers'), pause, ...(rest !== undefined && { rest }) },
    ...(options.mayOpen && { mayOpen: options.mayOpen }),
    ...(options.fresh !== undefined && { fresh: options.fresh }),
    maker: options.maker ?? makerOf,
    exists: (network) => catalog.has(network),
  });
  return {
    ...{ registry, catalog, allocator, claims },
    skipped: () => skipped.list(),
    async answer(from, json) {
      const { about: part, question } = parseAbout(json);
      const asked: Json = JSON.parse(JSON.stringify(question ?? null));
      if (!standing.admitted().has(from)) throw new Refusal('unavailable', `host ${from} is not known to be admitted`);
      if (part === 'numbers') return await allocator.answer(from, asked);
      return part === 'catalog' ? catalog.answer(from, asked) : claims.answer(from, asked);
    },
    spent(host) {
      const removed = removals.removed();
      // Who acknowledged one removal may have been removed itself: all of them are decided with the same sheets.
      if (!removed.has(host) || [...removed].some((one) => removals.heirOf(one) === undefined)) {
        allTaken = undefined;
        return false;
      }
      allTaken ??= now();
      const isCarriedOn = !catalog.isSaidBy(host) && !claims.isSaidBy(host);
      return isCarriedOn || (now() - allTaken > longestWay && removals.heirOf(host) !== sheets.self);
    },
    async tend() {
      // Who takes over carries on the records first: once the numbers are taken nobody holds what the removed host had said.
      await catalog.tend();
      await claims.tend();
      await allocator.tend();
    },
    close() {
      for (const part of [allocator, claims, catalog, registry]) part.close();
    },
  };
}
