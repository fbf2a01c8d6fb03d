import * as v from 'valibot';
import { equal } from '../../lib/equal.ts';
import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import { Serial } from '../../lib/serial.ts';
import { parseRecord } from '../../model/record.ts';
import { HexId, HostId, Name } from '../../model/text.ts';
import { Claimed, type Claims, type ClaimsEvent, type Holder } from '../claims.ts';
import { Changes } from './changes.ts';
import {
  type Claim,
  ClaimEntries,
  formatClaim,
  isEarlier,
  nameOf,
  type Place,
  parseClaim,
  placeOf,
  unnamedKey,
} from './claim-entries.ts';
import { askHome, type HomeNeeds, Pending } from './home.ts';
import type { Json } from './sheets.ts';

export interface OpenClaims extends HomeNeeds {
  readonly now: () => number;
  /** As an id of 32 hexadecimal digits, another with each call. */
  readonly nonce: () => string;
  /** Whether this host carries on what a removed host had said for the cluster. */
  readonly inherits: (host: string) => boolean;
}

export interface MeshClaims extends Claims {
  /** Whether a name of the cluster stands in the sheet of this host alone. */
  isSaidBy(host: string): boolean;
  /** Answers what the claims of another host ask. @throws ParseError */
  answer(from: string, question: Json): Json;
  /** Says what follows from what others said since: to be called after each change of a sheet that holds names. */
  tend(): Promise<void>;
  /** Names that this host claims and another has, because both were given apart: the holders are to be renamed. */
  outdone(): readonly { readonly name: string; readonly holder: Holder; readonly by: Holder }[];
  close(): void;
}

const Question = v.looseObject({
  scope: v.pipe(v.string(), v.maxLength(80)),
  key: v.pipe(v.string(), v.maxLength(256)),
  claim: v.optional(v.unknown()),
});
const Answer = v.looseObject({
  holder: v.optional(v.looseObject({ id: HexId, host: v.optional(HostId) })),
  at: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 48)), 0),
});

/** @throws ParseError */
export function parseClaimQuestion(
  json: unknown,
  from: string,
): { readonly place: Place; readonly claim: Claim | undefined } {
  const { scope, key, claim } = parseRecord(Question, json, 'the question');
  const [, network] = /^network:([0-9a-f]{64})$/.exec(scope) ?? [];
  if (network === undefined && scope !== 'catalog')
    throw new ParseError(`the question: ${scope.slice(0, 80)} has no names`);
  const place: Place = { scope: network === undefined ? 'catalog' : `network:${network}`, key };
  return { place, claim: claim === undefined ? undefined : parseClaim(claim, key, from) };
}

/** Who has the name at its home. @throws ParseError */
export function parseClaimAnswer(json: unknown): { readonly holder: Holder | undefined; readonly at: number } {
  const { holder, at } = parseRecord(Answer, json, 'the answer');
  if (holder === undefined) return { holder, at };
  return { holder: { id: holder.id, ...(holder.host !== undefined && { host: holder.host }) }, at };
}

/** A name belongs to the earliest claim that is not over. Claims of a name meet at its home. */
export function openClaims(options: OpenClaims): MeshClaims {
  const { sheets, members, standing, now, nonce, inherits } = options;
  const changes = new Changes();
  const pending = new Pending<Claim>(now);
  const serial = new Serial();
  const entries = new ClaimEntries(sheets, (place) => {
    // What was let through has come.
    const waiting = pending.get(nameIn(place));
    if (waiting && entries.isMade(place, waiting.stamp)) pending.delete(nameIn(place));
    changes.tell(nameIn(place));
  });

  // The cluster's names are carried on when their host is removed, also where nobody asks for them.
  entries.keys('catalog');

  const isLost = (host: string): boolean => {
    const state = members.state(host);
    return state === 'lost' || state === 'left' || standing.removals().some((removal) => removal.host === host);
  };
  /** The claim that counts, as far as this host knows. */
  const winner = (place: Place): Claim | undefined => {
    const [first] = entries.claims(place);
    const waiting = pending.get(nameIn(place));
    if (waiting === undefined || entries.over(place).has(waiting.stamp) || first?.stamp === waiting.stamp) return first;
    return first && isEarlier(first, waiting) && !waiting.over.includes(first.stamp) ? first : waiting;
  };
  /**
   * Who stands in the way of a claim. A claim says itself whose host it judged lost; the home objects when it sees that
   * host live.
   */
  const rival = (place: Place, claim: Claim): Claim | undefined => {
    const there = winner(place);
    if (there === undefined || there.holder.id === claim.holder.id) return undefined;
    const { host } = there.holder;
    return claim.over.includes(there.stamp) && host !== undefined && !isAlive(host) ? undefined : there;
  };
  const isAlive = (host: string) => !isLost(host) && members.state(host) === 'alive';
  const answer = (from: string, question: Json): Json => {
    const { place, claim } = parseClaimQuestion(question, from);
    if (claim === undefined) {
      const there = winner(place);
      return there ? { holder: { ...there.holder }, at: there.at } : {};
    }
    entries.saw(claim.at);
    const there = rival(place, claim);
    if (there) return { holder: { ...there.holder }, at: there.at };
    pending.set(nameIn(place), claim);
    return {};
  };
  const ask = async (place: Place, claim?: Claim) => {
    const question: Json = { scope: place.scope, key: place.key, ...(claim && { claim: formatClaim(claim) }) };
    const said = await askHome(nameIn(place), question, { ...options, answer });
    try {
      const parsed = said === undefined ? undefined : parseClaimAnswer(said);
      entries.saw(parsed?.at ?? 0);
      return parsed;
    } catch (error) {
      if (error instanceof ParseError) return undefined;
      throw error;
    }
  };

  return {
    async claim(space, name, holder) {
      const place = placeOf(space, checked(name));
      await serial.run(nameIn(place), async () => {
        const standing = entries.claims(place);
        const mine = entries.mine(place);
        if (standing[0]?.holder.id === holder.id && standing[0].holder.host === holder.host) return;
        const replaced = standing.filter(
          (one) => one.holder.id === holder.id || (one.holder.host !== undefined && isLost(one.holder.host)),
        );
        const own = mine && mine.holder.id === holder.id && replaced.includes(mine) ? mine : undefined;
        const over = [
          ...new Set([...(mine?.over ?? []), ...replaced.filter((one) => one !== own).map(({ stamp }) => stamp)]),
        ];
        const made = { at: own?.at ?? entries.tick(), stamp: own?.stamp ?? nonce() };
        const claim: Claim = { by: sheets.self, holder, ...made, over: over.slice(-64) };
        const there = rival(place, claim);
        if (there) throw new Claimed(name, there.holder);
        const said = await ask(place, claim);
        if (said?.holder && said.holder.id !== holder.id) throw new Claimed(name, said.holder);
        await sheets.change(place.scope, (draft) => draft.put(place.key, formatClaim(claim)));
      });
    },
    async release(space, name, { id }) {
      const place = placeOf(space, checked(name));
      const mine = entries.mine(place);
      const theirs = entries.claims(place).filter(({ by, holder }) => holder.id === id && by !== sheets.self);
      const own = mine?.holder.id === id ? mine : undefined;
      if (pending.get(nameIn(place))?.holder.id === id) pending.delete(nameIn(place));
      // What an own claim replaced stays over, but for those of others: they were away, and have the name again.
      const revived = entries.made(place).filter(({ holder }) => holder.id !== id);
      const replaced = (own?.over ?? []).filter((stamp) => !revived.some((claim) => claim.stamp === stamp));
      const over = [...replaced, ...theirs.map(({ stamp }) => stamp)];
      if (own === undefined && over.length === 0) return;
      await sheets.change(place.scope, (draft) => {
        if (own) draft.delete(place.key);
        if (over.length === 0) return;
        const before = draft.get(unnamedKey(place.key));
        const stamps = Array.isArray(before) ? before : [];
        draft.put(unnamedKey(place.key), [...new Set([...stamps, ...over])].slice(-64));
      });
    },
    async holder(space, name) {
      const place = placeOf(space, checked(name));
      const [first] = entries.claims(place);
      return first?.holder ?? (await ask(place))?.holder;
    },
    async *watch(space, { signal }): AsyncGenerator<ClaimsEvent> {
      const { scope } = placeOf(space, '');
      const holderOf = (key: string) => entries.claims({ scope, key })[0]?.holder;
      let told: Map<string, Holder> | undefined;
      for await (const keys of changes.watch({ signal })) {
        if (told === undefined) {
          const found = entries.keys(scope).flatMap((key) => {
            const [name, holder] = [nameOf(space, key), holderOf(key)];
            return name !== undefined && holder ? [[name, holder] as const] : [];
          });
          told = new Map(found);
          yield { kind: 'snapshot', holders: new Map(told) };
        }
        for (const changed of keys) {
          const key = changed.startsWith(`${scope} `) ? changed.slice(scope.length + 1) : '';
          const name = nameOf(space, key);
          if (name === undefined) continue;
          const [before, holder] = [told.get(name), holderOf(key)];
          if (holder) {
            told.set(name, holder);
            if (before === undefined || !equal(before, holder)) yield { kind: 'put', name, holder };
          } else if (told.delete(name)) yield { kind: 'delete', name };
        }
      }
    },
    isSaidBy: (host) =>
      entries.keys('catalog').some((key) => {
        const [first] = entries.claims({ scope: 'catalog', key });
        return first?.by === host && first.holder.host === undefined;
      }),
    answer,
    async tend() {
      for (const scope of entries.scopes()) {
        const due = entries.keys(scope).flatMap((key) => dueOf({ scope, key }) ?? []);
        const notes = [...(sheets.read(sheets.self, scope)?.entries.keys() ?? [])].filter((key) =>
          key.startsWith('unnamed/'),
        );
        const idle = notes.filter((note) => isIdle({ scope, key: note.replace(/^unnamed\//, 'name/') }, note));
        if (due.length + idle.length === 0) continue;
        await sheets.change(scope, (draft) => {
          for (const { key, json } of due)
            if (json === undefined) draft.delete(key);
            else draft.put(key, json);
          for (const key of idle) draft.delete(key);
        });
      }
    },
    outdone: () =>
      entries.scopes().flatMap((scope) =>
        entries.keys(scope).flatMap((key) => {
          const [first, ...later] = entries.claims({ scope, key });
          const mine = later.find(({ by }) => by === sheets.self);
          const lost = mine ?? taken({ scope, key });
          return first && lost && first.holder.id !== lost.holder.id
            ? [{ name: key.slice('name/'.length), holder: lost.holder, by: first.holder }]
            : [];
        }),
      ),
    close: () => entries.close(),
  };

  /** An own claim that another replaced while this host was away. */
  function taken(place: Place): Claim | undefined {
    const mine = entries.mine(place);
    return mine && entries.over(place).has(mine.stamp) ? mine : undefined;
  }

  /**
   * What this host has to say of a name now: it takes back a claim that is over, and carries on what a removed host
   * said for the cluster.
   */
  function dueOf(place: Place): { readonly key: string; readonly json: Json | undefined } | undefined {
    const [first] = entries.claims(place);
    if (!first) return taken(place) && { key: place.key, json: undefined };
    if (first.by === sheets.self || first.holder.host !== undefined || !inherits(first.by)) return undefined;
    return { key: place.key, json: formatClaim({ ...first, stamp: nonce(), over: [first.stamp] }) };
  }

  /** Whether nobody makes the claims any more that the note is about. */
  function isIdle(place: Place, note: string): boolean {
    const stamps = sheets.read(sheets.self, place.scope)?.entries.get(note);
    return !Array.isArray(stamps) || !stamps.some((stamp) => typeof stamp === 'string' && entries.isMade(place, stamp));
  }
}

function nameIn({ scope, key }: Place): string {
  return `${scope} ${key}`;
}

/** @throws Refusal 'invalid' */
function checked(name: string): string {
  try {
    return parseRecord(Name, name, JSON.stringify(name.slice(0, 128)));
  } catch (cause) {
    throw new Refusal('invalid', messageOf(cause), { cause });
  }
}
