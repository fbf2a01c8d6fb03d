import { isDeepStrictEqual } from 'node:util';
import type { Holder } from '../../src/state/claims.ts';
import { numbersOf } from '../../src/state/mesh/owned.ts';
import { parseRing, parseSaid } from '../../src/state/mesh/ring.ts';
import { Spans } from '../../src/state/mesh/spans.ts';
import type { Users } from './users.ts';
import type { SimulatedHost, World } from './world.ts';

/** What must hold of numbers, names and records once all have heard of everything; nothing when it does. */
export async function unsettled(world: World, users: Users): Promise<string[]> {
  const truth = world.truth();
  const there = world.running.filter(({ id }) => truth.hosts.has(id) && !world.liars.has(id));
  const found: string[] = [];
  const [first] = there;
  if (first === undefined) return found;
  await catalogs(users, there, found);
  for (const network of users.networks)
    await onNetwork(
      users,
      there.filter((host) => follows(host, network)),
      network,
      found,
    );
  for (const { pool, item, owner } of users.uses) {
    const host = there.find(({ id }) => id === owner.host);
    const held = await host?.above?.state.allocator.held(pool);
    if (held?.some((one) => one.item === item && one.owner.id === owner.id) === false)
      found.push(`${host?.name} was told to have ${item}, and holds it no more`);
  }
  if (world.liars.size === 0 && there.length === truth.hosts.size) found.push(...whole(world, there));
  return found;
}

async function catalogs(users: Users, there: readonly SimulatedHost[], found: string[]): Promise<void> {
  let before: unknown;
  for (const host of there) {
    const list = (await host.above?.state.catalog.list())?.toSorted((a, b) => (a.id < b.id ? -1 : 1)) ?? [];
    if (before !== undefined && !isDeepStrictEqual(list, before))
      found.push(`${host.name} sees other networks than ${there[0]?.name}`);
    before ??= list;
    for (const [id, maker] of users.made)
      if (!users.isOut(maker) && !list.some((network) => network.id === id))
        found.push(`${host.name} does not see network ${id.slice(0, 6)}`);
  }
}

/** One holder of each name everywhere, who else was told to have it knows; and all see the same endpoints. */
async function onNetwork(
  users: Users,
  there: readonly SimulatedHost[],
  network: string,
  found: string[],
): Promise<void> {
  const claimed = [...users.names.values()].filter((one) => one.network === network);
  for (const name of new Set(claimed.map((one) => one.name))) {
    const holders = new Map<string, string>();
    for (const host of there) {
      const holder = (await namesOn(host, network)).get(name);
      holders.set(holder?.id ?? 'nobody', host.name);
    }
    if (holders.size > 1)
      found.push(`${name} belongs to ${[...holders].map(([id, by]) => `${id.slice(0, 6)} on ${by}`).join(', ')}`);
    for (const one of claimed.filter((claim) => claim.name === name)) {
      const host = there.find(({ id }) => id === one.host);
      if (host === undefined || holders.has(one.id)) continue;
      const told = host.above?.state.claims.outdone().some(({ holder }) => holder.id === one.id);
      if (told !== true) found.push(`${host.name} lost the name ${name} and does not know it`);
    }
  }
  for (const host of there) {
    const entries = await host.above?.state.registry.list({ kind: 'endpoints', network });
    for (const { endpoint } of users.places.values()) {
      if (endpoint.network !== network || !there.some(({ id }) => id === endpoint.host)) continue;
      const seen = entries?.find(({ record }) => record.kind === 'endpoint' && record.endpoint.id === endpoint.id);
      if (seen === undefined) found.push(`${host.name} does not see endpoint ${endpoint.name}`);
      else if (seen.lost) found.push(`${host.name} sees endpoint ${endpoint.name} of a host that lives as lost`);
    }
  }
}

/** Every number belongs to somebody, and what removed hosts had was taken over once. */
function whole(world: World, there: readonly SimulatedHost[]): string[] {
  const truth = world.truth();
  const found: string[] = [];
  for (const host of truth.removed.keys()) {
    const heirs = there.filter((one) => one.sheets.read(one.id, 'ring')?.entries.has(`taken/${host}`));
    if (heirs.length !== 1 && !heirs.some(({ id }) => truth.removed.has(id)))
      found.push(`${world.nameOf(host)} was taken over by ${heirs.map(({ name }) => name).join(' and ') || 'nobody'}`);
  }
  for (const [ring, owners] of ownersOf(there)) {
    const { last } = parseRing(ring);
    if (!owners.covered(0n, last, () => true)) found.push(`some numbers of ring ${ring.slice(0, 12)} are nobody's`);
  }
  return found;
}

/** Numbers that two say are theirs, or that two say are held. Looks at what hosts say themselves, dead ones too. */
export function doubled(world: World): string[] {
  const truth = world.truth();
  const counting = world.hosts.filter(({ id }) => truth.hosts.has(id));
  const found: string[] = [];
  ownersOf(counting, (ring, one, other) => found.push(`${one} and ${other} both own numbers of ring ${ring}`));
  const held = new Map<string, { readonly by: string; readonly first: bigint; readonly last: bigint }[]>();
  for (const host of counting) {
    for (const { owner, scope, entries } of host.own()) {
      if (owner !== host.id || (scope !== 'ring' && !scope.startsWith('network:'))) continue;
      for (const [key, json] of entries) {
        const [, id = '', item = ''] = /^held\/([^/]+)\/(.+)$/.exec(key) ?? [];
        if (id === '' || Object(json).released !== undefined) continue;
        const [first, last] = numbersOf(parseRing(id), item);
        const list = held.get(id) ?? [];
        const other = list.find((one) => one.first <= last && one.last >= first);
        if (other) found.push(`${item} is held by ${host.name} and by ${other.by}`);
        held.set(id, [...list, { by: host.name, first, last }]);
      }
    }
  }
  return found;
}

function ownersOf(
  hosts: readonly SimulatedHost[],
  twice: (ring: string, one: string, other: string) => void = () => undefined,
): ReadonlyMap<string, Spans<string>> {
  const rings = new Map<string, Spans<string>>();
  for (const host of hosts) {
    for (const { owner, scope, entries } of host.own()) {
      if (owner !== host.id || scope !== 'ring') continue;
      for (const [key, json] of entries) {
        if (!key.startsWith('own/')) continue;
        const { ring, first, last, said } = parseSaid(key, json);
        if (said.owner !== host.id) continue;
        const spans = rings.get(ring) ?? new Spans<string>((a, b) => a === b);
        rings.set(ring, spans);
        const [other] = spans.within(first, last);
        if (other) twice(ring.slice(0, 12), host.name, other.value);
        spans.set(first, last, host.name);
      }
    }
  }
  return rings;
}

/** As a watch begins with them. */
async function namesOn(host: SimulatedHost, network: string): Promise<ReadonlyMap<string, Holder>> {
  const abort = new AbortController();
  const space = { kind: 'endpoints', network } as const;
  for await (const event of host.above?.state.claims.watch(space, { signal: abort.signal }) ?? []) {
    abort.abort();
    if (event.kind === 'snapshot') return event.holders;
  }
  return new Map();
}

function follows(host: SimulatedHost, network: string): boolean {
  const list = host.sheets.read(host.id, 'host')?.entries.get('networks');
  return Array.isArray(list) && list.includes(network);
}
