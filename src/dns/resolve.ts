import { CLASS, headerSize, type Query, RCODE, TYPE } from './message.ts';
import { findAddress, findName, type Holder, type Holders, hasBelow, isList, isLive, type Zone } from './names.ts';
import { farthestPointed, type Reply, text16 } from './reply.ts';
import { addressOf } from './reverse-name.ts';
import { firstLabel, longestName, suffixStart, type WireName } from './wire-name.ts';

/**
 * What is answered from our own names. Other names are others' to answer, also those of one label: the host's resolvers
 * may know names of the house that nobody else does.
 */

export interface Seen {
  /** In the order in which they are asked. */
  readonly zones: readonly Zone[];
  /** Ours alone: what is not in them is nowhere. */
  readonly domains: readonly WireName[];
  /** From 0 to below 1: which of several comes first. */
  readonly chance?: () => number;
}

/**
 * In seconds, of answers that there is something and of those that there is not. Nothing is gained by more: who asks again
 * asks this host.
 */
export const answerTtl = 1;

const authoritative = { authoritative: true } as const;

/** Writes the answer. @returns its length, undefined when it is others' to give */
export function answer(reply: Reply, request: Buffer, query: Query, limit: number, seen: Seen): number | undefined {
  if (query.class !== CLASS.IN) {
    reply.begin(request, query, limit);
    return reply.end(RCODE.REFUSED, { authoritative: false });
  }
  const place = locate(seen, query.name);
  if (place === undefined) return undefined;
  reply.begin(request, query, limit);
  if (place.kind === 'address') return answerAddress(reply, query, place.holders);
  return answerName(reply, query, place, seen.chance ?? Math.random);
}

type Place =
  | { readonly kind: 'address'; readonly holders: Holders | 'nobody' }
  /** `apex` is where our zone begins in the name. */
  | { readonly kind: 'name'; readonly holders: Holders; readonly apex: number; readonly domain: WireName }
  | {
      readonly kind: 'service';
      readonly holders: Holders;
      readonly apex: number;
      readonly domain: WireName;
      readonly service: WireName;
    }
  /** Nobody has it, but there are names below it, so that it must not be denied (RFC 8020). */
  | { readonly kind: 'parent'; readonly apex: number }
  | { readonly kind: 'nothing'; readonly apex: number };

type NamePlace = Exclude<Place, { readonly kind: 'address' }>;

function locate(seen: Seen, name: WireName): Place | undefined {
  const place = locateName(seen, name);
  if (place !== undefined && place.kind !== 'nothing') return place;
  const address = addressOf(name);
  if (address !== undefined) {
    const holders = findAddress(seen.zones, address);
    return holders && { kind: 'address', holders };
  }
  return locateService(seen, name) ?? place;
}

function locateName({ zones, domains }: Seen, name: WireName): NamePlace | undefined {
  const whole = findName(zones, name);
  if (whole !== undefined && isLive(whole)) return { kind: 'name', holders: whole, apex: 0, domain: '' };
  let nobody = whole && nobodyHas(zones, name, 0);
  for (const domain of domains) {
    const apex = suffixStart(name, domain);
    if (apex === undefined) continue;
    const rest = name.slice(0, apex);
    const holders = findName(zones, rest);
    if (holders !== undefined && isLive(holders)) return { kind: 'name', holders, apex, domain };
    if (nobody?.kind === 'parent') continue;
    const here = nobodyHas(zones, rest, apex);
    if (nobody === undefined || here.kind === 'parent') nobody = here;
  }
  return nobody;
}

function nobodyHas(zones: readonly Zone[], name: WireName, apex: number): NamePlace {
  return { kind: hasBelow(zones, name) ? 'parent' : 'nothing', apex };
}

/** `_name._protocol` or `_protocol` before a name that somebody has (RFC 2782). */
function locateService(seen: Seen, name: WireName): NamePlace | undefined {
  let start = 0;
  while (start < name.length && name[start + 1] === '_') start += firstLabel(name.slice(start));
  if (start === 0) return undefined;
  const service = name.slice(0, start);
  const place = locateName(seen, name.slice(start));
  const apex = start + (place?.apex ?? 0);
  return place?.kind === 'name' ? { ...place, kind: 'service', apex, service } : place && { kind: 'nothing', apex };
}

function answerName(reply: Reply, query: Query, place: NamePlace, chance: () => number): number {
  const apex = headerSize + place.apex;
  switch (place.kind) {
    case 'name': {
      const { holders } = place;
      const { type } = query;
      let any = false;
      if (type === TYPE.A || type === TYPE.ANY) any = addresses(reply, TYPE.A, holders, chance);
      if (type === TYPE.AAAA || type === TYPE.ANY) any = addresses(reply, TYPE.AAAA, holders, chance) || any;
      return any ? reply.end(RCODE.NOERROR, authoritative) : empty(reply, apex);
    }
    case 'service':
      return answerService(reply, query, place, chance);
    case 'parent':
      return empty(reply, apex);
    case 'nothing':
      return denied(reply, query, apex);
  }
}

function addresses(reply: Reply, type: number, holders: Holders, chance: () => number): boolean {
  const of = (holder: Holder) => (type === TYPE.A ? holder.v4 : holder.v6);
  const list = isList(holders) ? holders.flatMap((holder) => (holder.lost ? [] : of(holder))) : of(holders);
  // What does not fit is another one the next time.
  for (const address of shuffled(list, chance)) {
    if (reply.record(0, headerSize, type, answerTtl, address) === undefined) break;
  }
  return list.length > 0;
}

function answerService(
  reply: Reply,
  query: Query,
  place: NamePlace & { kind: 'service' },
  chance: () => number,
): number {
  const apex = headerSize + place.apex;
  const live = listed(place.holders).filter(({ lost }) => !lost);
  const offers = live.flatMap((holder) =>
    holder.ports.filter(({ service }) => service === place.service).map(({ port }) => ({ holder, port })),
  );
  if (offers.length === 0) {
    const isProtocol = live.some(({ ports }) => ports.some(({ service }) => suffixStart(service, place.service)));
    return isProtocol ? empty(reply, apex) : denied(reply, query, apex);
  }
  if (query.type !== TYPE.SRV && query.type !== TYPE.ANY) return empty(reply, apex);
  const targets: { readonly at: number; readonly holder: Holder }[] = [];
  for (const { holder, port } of shuffled(offers, chance)) {
    const target = fullName(holder, place.domain);
    if (target === undefined) continue;
    const at = reply.record(0, headerSize, TYPE.SRV, answerTtl, `\0\0\0\0${text16(port)}${target}\0`);
    if (at === undefined) break;
    // A pointer reaches no further.
    if (at + 6 < farthestPointed) targets.push({ at: at + 6, holder });
  }
  for (const { at, holder } of targets) {
    for (const address of holder.v4) reply.record(2, at, TYPE.A, answerTtl, address);
    for (const address of holder.v6) reply.record(2, at, TYPE.AAAA, answerTtl, address);
  }
  return reply.end(RCODE.NOERROR, authoritative);
}

/** `name.network`, as Docker calls an address. */
function answerAddress(reply: Reply, query: Query, holders: Holders | 'nobody'): number {
  const live = holders === 'nobody' ? [] : listed(holders).filter(({ lost }) => !lost);
  const names = live.map((holder) => fullName(holder, '')).filter((name) => name !== undefined);
  if (names.length === 0) return denied(reply, query, headerSize);
  if (query.type !== TYPE.PTR && query.type !== TYPE.ANY) return empty(reply, headerSize);
  for (const name of names) reply.record(0, headerSize, TYPE.PTR, answerTtl, `${name}\0`);
  return reply.end(RCODE.NOERROR, authoritative);
}

function fullName({ names: [name], zone }: Holder, domain: WireName): WireName | undefined {
  if (name === undefined) return undefined;
  const full = name + (zone.name ?? '') + domain;
  return full.length > longestName ? undefined : full;
}

/** There is such a name, but nothing of this type (RFC 2308 §2.2). */
function empty(reply: Reply, apex: number): number {
  reply.soa(apex, answerTtl);
  return reply.end(RCODE.NOERROR, authoritative);
}

/** There is no such name (RFC 2308 §2.1). One that is not there cannot be a zone: then the zone is what it would be in. */
function denied(reply: Reply, { name }: Query, apex: number): number {
  reply.soa(apex === headerSize ? headerSize + firstLabel(name) : apex, answerTtl);
  return reply.end(RCODE.NXDOMAIN, authoritative);
}

/** For who may not ask others: outside there is nothing. Unlike REFUSED it is believed at once by every resolver. */
export function answerNothingOutside(
  reply: Reply,
  request: Buffer,
  query: Query,
  limit: number,
  { zones, domains }: Seen,
): number {
  const { name } = query;
  const isAbove = hasBelow(zones, name) || domains.some((domain) => suffixStart(domain, name) !== undefined);
  reply.begin(request, query, limit);
  // The root, whose name is the last byte of the question's.
  reply.soa(query.questionEnd - 5, answerTtl);
  return reply.end(isAbove ? RCODE.NOERROR : RCODE.NXDOMAIN, { authoritative: false });
}

function listed(holders: Holders): readonly Holder[] {
  return isList(holders) ? holders : [holders];
}

/** Fisher and Yates. One or none is the rule. */
function shuffled<T>(list: readonly T[], chance: () => number): readonly T[] {
  if (list.length < 2) return list;
  const items = [...list];
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(chance() * (last + 1));
    const [a, b] = [items[last], items[other]];
    if (a === undefined || b === undefined) continue;
    items[last] = b;
    items[other] = a;
  }
  return items;
}
