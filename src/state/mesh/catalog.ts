import * as v from 'valibot';
import { equal } from '../../lib/equal.ts';
import { ParseError, Refusal } from '../../lib/errors.ts';
import { Serial } from '../../lib/serial.ts';
import type { Network } from '../../model/network.ts';
import { parseRecord } from '../../model/record.ts';
import { HexId, HostId } from '../../model/text.ts';
import type { Catalog, CatalogEvent } from '../catalog.ts';
import type { Skipped } from '../kv/skipped.ts';
import { Changes } from './changes.ts';
import { carriedOn, Entries, type Entry, entryKey, formatEntry, isOver, parseEntry } from './entries.ts';
import { askHome, type HomeNeeds, Pending } from './home.ts';
import { type Json, limits } from './sheets.ts';

export interface OpenCatalog extends HomeNeeds {
  readonly now: () => number;
  readonly skipped: Skipped;
  /** Whether this host carries on what a removed host had written. */
  readonly inherits: (host: string) => boolean;
  /** Networks on which this host has endpoints: they are not removed. */
  readonly inUse: () => ReadonlySet<string>;
}

export interface MeshCatalog extends Catalog {
  /** Whether the network is there. */
  has(id: string): boolean;
  /** As it is known here; undefined when it is not there, or cannot be read. */
  known(id: string): Network | undefined;
  /** The host that made it. */
  maker(id: string): string | undefined;
  /** Whether something that counts stands in the sheet of this host alone. */
  isSaidBy(host: string): boolean;
  /** Answers what the catalog of another host asks. @throws ParseError */
  answer(from: string, question: Json): Json;
  /** Says what follows from what others said since: to be called after each change of a `catalog` sheet. */
  tend(): Promise<void>;
  close(): void;
}

const Question = v.looseObject({ id: HexId, entry: v.optional(v.unknown()) });
const Answer = v.looseObject({ ok: v.boolean(), by: v.optional(HostId), entry: v.optional(v.unknown()) });

/** @throws ParseError */
export function parseCatalogQuestion(json: unknown): { readonly id: string; readonly entry?: unknown } {
  return parseRecord(Question, json, 'the question');
}

/** What stands at the home, if that is not what was proposed. @throws ParseError */
export function parseCatalogAnswer(
  json: unknown,
  id: string,
): { readonly ok: boolean; readonly there: Entry | undefined } {
  const { ok, by, entry } = parseRecord(Answer, json, 'the answer');
  return {
    ok,
    there: entry === undefined || by === undefined ? undefined : parseEntry(entry, id, by),
  };
}

/** Each host's own changes; the highest version counts everywhere. Changes of a record meet at its home. */
export function openCatalog(options: OpenCatalog): MeshCatalog {
  const { sheets, standing, now, skipped, inherits, inUse } = options;
  const changes = new Changes();
  const pending = new Pending<Entry>(now);
  /** What a home answered and no sheet has brought yet. */
  const learnt = new Pending<Entry>(now);
  const serial = new Serial();
  const show = (id: string) => {
    const top = entries.top(id);
    if (top?.reason === undefined) skipped.clear(entryKey(id));
    else skipped.add(entryKey(id), top.reason);
    changes.tell(id);
  };
  const entries = new Entries(sheets, show);
  const highest = (id: string, ...more: (Entry | undefined)[]): Entry | undefined =>
    [entries.top(id), ...more].reduce((a, b) => (b !== undefined && isOver(b, a) ? b : a), undefined);
  const readable = (id: string): Network | undefined => {
    const top = entries.top(id);
    return top?.deleted ? undefined : top?.network;
  };

  const listed = (id: string): readonly (readonly [string, Network])[] => {
    const network = readable(id);
    return network ? [[id, network]] : [];
  };

  const answer = (from: string, question: Json): Json => {
    const { id, entry } = parseCatalogQuestion(question);
    const there = highest(id, pending.get(id));
    const proposed = entry === undefined ? undefined : parseEntry(entry, id, from);
    const ok = proposed !== undefined && proposed.version > (there?.version ?? 0);
    if (ok) pending.set(id, proposed);
    return ok || there === undefined ? { ok } : { ok, by: there.by, entry: there.json };
  };
  /** What the home says, undefined when it cannot be asked. */
  const ask = async (id: string, entry?: Json) => {
    const said = await askHome(entryKey(id), { id, ...(entry !== undefined && { entry }) }, { ...options, answer });
    if (said === undefined) return undefined;
    try {
      const { ok, there } = parseCatalogAnswer(said, id);
      if (there) learnt.set(id, there);
      return { ok };
    } catch (error) {
      if (error instanceof ParseError) return undefined;
      throw error;
    }
  };
  const latest = async (id: string): Promise<Entry | undefined> => {
    await ask(id);
    const there = highest(id, learnt.get(id));
    if (there && !there.deleted && there.network === undefined) {
      throw new Refusal(
        'conflict',
        `the record of network ${id} that host ${there.by} wrote cannot be read; see skein status`,
      );
    }
    return there;
  };
  /** Writes a version, unless another was quicker. @returns whether it stands */
  const write = async (id: string, entry: Json): Promise<boolean> => {
    const said = await ask(id, entry);
    if (said && !said.ok) return false;
    await sheets.change('catalog', (draft) => draft.put(entryKey(id), entry));
    return true;
  };

  return {
    async add(network) {
      fits(network);
      const { id } = network;
      await serial.run(id, async () => {
        const there = await latest(id);
        const isThere = there !== undefined && !there.deleted;
        if (isThere || !(await write(id, formatEntry((there?.version ?? 0) + 1, network, false)))) {
          throw new Refusal('conflict', `network ${network.name}: the id ${id} is there already`);
        }
      });
    },
    update: (id, update) =>
      serial.run(id, async () => {
        for (let tries = 0; tries < 64; tries++) {
          const there = await latest(id);
          if (there?.network === undefined || there.deleted) return undefined;
          const next = update(there.network);
          if (next) fits(next);
          const entry = formatEntry(there.version + 1, next ?? there.network, next === undefined);
          if (await write(id, entry)) return next;
        }
        throw new Refusal(
          'unavailable',
          `cannot update network ${id}: other hosts change it again and again; try again`,
        );
      }),
    async get(id) {
      const there = await latest(id);
      return there?.deleted ? undefined : there?.network;
    },
    list: async () => entries.ids().flatMap((id) => readable(id) ?? []),
    async *watch({ signal }): AsyncGenerator<CatalogEvent> {
      let told: Map<string, Network> | undefined;
      const unreadable = new Map<string, number>();
      for await (const ids of changes.watch({ signal })) {
        if (told === undefined) {
          told = new Map(entries.ids().flatMap((id) => listed(id)));
          yield { kind: 'snapshot', networks: [...told.values()] };
        }
        for (const id of ids) {
          const [before, network] = [told.get(id), readable(id)];
          if (network) {
            told.set(id, network);
            unreadable.delete(id);
            if (before === undefined || !equal(before, network)) yield { kind: 'put', network };
          } else {
            const spoilt = entries.top(id);
            const isNews = spoilt?.reason !== undefined && spoilt.version !== unreadable.get(id);
            if (isNews) unreadable.set(id, spoilt.version);
            if (told.delete(id) || isNews) yield { kind: 'delete', id };
          }
        }
      }
    },
    has: (id) => readable(id) !== undefined,
    maker: (id) => entries.top(id)?.network?.owner,
    isSaidBy: (host) => entries.ids().some((id) => entries.top(id)?.by === host),
    known: readable,
    answer,
    async tend() {
      const due = entries.ids().flatMap((id) => dueOf(id));
      const mine = [...(sheets.read(sheets.self, 'catalog')?.entries.keys() ?? [])];
      const idle = mine.filter((key) => key.startsWith('seen/') && !entries.top(key.slice(5))?.deleted);
      if (due.length === 0 && idle.length === 0) return;
      await sheets.change('catalog', (draft) => {
        for (const { key, json } of due)
          if (json === undefined) draft.delete(key);
          else draft.put(key, json);
        for (const key of idle) draft.delete(key);
      });
    },
    close: () => entries.close(),
  };

  /** What this host has to say of a record now. */
  function dueOf(id: string): readonly { readonly key: string; readonly json: Json | undefined }[] {
    const [top, mine] = [entries.top(id), entries.mine(id)];
    if (top === undefined) return [];
    const key = entryKey(id);
    if (top.deleted && top.network && inUse().has(id)) {
      // An endpoint that was made meanwhile wins.
      const { removing: _, ...network } = top.network;
      return [{ key, json: formatEntry(top.version + 1, network, false) }];
    }
    if (top.by !== sheets.self && inherits(top.by)) return [{ key, json: carriedOn(top) }];
    const due: { key: string; json: Json | undefined }[] = [];
    if (mine && mine !== top) due.push({ key, json: undefined });
    if (!top.deleted) return due;
    const seen = `seen/${id}`;
    const has = (host: string) => Number(sheets.read(host, 'catalog')?.entries.get(seen) ?? 0) >= top.version;
    const missing = [...standing.admitted()].filter((host) => host !== sheets.self && !has(host));
    if (top.by === sheets.self && missing.length === 0) due.push({ key, json: undefined });
    else if (top.by !== sheets.self && !has(sheets.self)) due.push({ key: seen, json: top.version });
    return due;
  }
}

/** @throws Refusal 'invalid' when it is longer than others would take */
function fits(network: Network): void {
  const { length } = JSON.stringify(network);
  if (length > limits.value - 64) {
    const most = limits.value - 64;
    throw new Refusal(
      'invalid',
      `network ${network.name} has ${length} characters, more than a record may have (${most})`,
    );
  }
}
