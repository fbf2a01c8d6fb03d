import { isIP, isIPv4 } from 'node:net';
import { contains, type Prefix, parseAddress, parsePrefix } from '../lib/prefix.ts';
import type { NamedEndpoint, NamedNetwork } from './dns.ts';
import { firstLabel, suffixStart, toWireName, type WireName } from './wire-name.ts';

/**
 * Every name that this host's containers may ask for, by network. A question costs a look-up or two in each network of the
 * asker, a change what it changes; nothing is kept that is made of several networks, so that nothing can be out of date.
 */

/** What a message's RDATA has for an address, one character a byte. */
export type PackedAddress = string;

/** An endpoint on a network. */
export interface Holder {
  readonly id: string;
  readonly zone: Zone;
  /** The first is what its addresses are called. */
  readonly names: readonly WireName[];
  readonly v4: readonly PackedAddress[];
  readonly v6: readonly PackedAddress[];
  readonly ports: readonly HeldPort[];
  readonly lost: boolean;
}

export interface HeldPort {
  /** `_NAME._PROTOCOL` */
  readonly service: WireName;
  readonly port: number;
}

/** One is the rule, and takes no list. */
export type Holders = Holder | readonly Holder[];
type OpenHolders = Holder | Holder[];

/** One network. */
export interface Zone {
  readonly id: string;
  /** Undefined until the network is known. */
  readonly name: WireName | undefined;
  readonly subnets: readonly Prefix[];
  readonly byName: ReadonlyMap<WireName, Holders>;
  readonly byAddress: ReadonlyMap<PackedAddress, Holders>;
  /** What names of several labels end in, each with how many do. */
  readonly parents: ReadonlyMap<WireName, number>;
}

interface OpenZone extends Zone {
  name: WireName | undefined;
  subnets: readonly Prefix[];
  readonly byName: Map<WireName, OpenHolders>;
  readonly byAddress: Map<PackedAddress, OpenHolders>;
  readonly parents: Map<WireName, number>;
  /** What keeps it: the network, its endpoints, askers that see it. */
  uses: number;
  known: boolean;
}

const none: readonly never[] = [];

export class Names {
  readonly #zones = new Map<string, OpenZone>();
  readonly #holders = new Map<string, Holder>();

  get size(): number {
    return this.#holders.size;
  }

  putNetwork({ id, name, subnets }: Omit<NamedNetwork, 'kind'>): void {
    const parsed = subnets.map(parsePrefix);
    const zone = this.#use(id);
    zone.name = name === undefined ? undefined : toWireName(name);
    zone.subnets = parsed;
    if (zone.known) this.#drop(zone);
    zone.known = true;
  }

  removeNetwork(id: string): void {
    const zone = this.#zones.get(id);
    if (!zone?.known) return;
    zone.known = false;
    zone.name = undefined;
    zone.subnets = none;
    this.#drop(zone);
  }

  put(endpoint: Omit<NamedEndpoint, 'kind'>): void {
    const addresses = endpoint.addresses.filter(isAddress).map(packAddress);
    const names = endpoint.names.map(toWireName).filter((name) => name !== undefined);
    this.remove(endpoint.id);
    const zone = this.#use(endpoint.network);
    const holder: Holder = {
      id: endpoint.id,
      zone,
      names: exact([...new Set(names)]),
      v4: exact(addresses.filter((address) => address.length === 4)),
      v6: exact(addresses.filter((address) => address.length === 16)),
      ports: exact((endpoint.ports ?? none).flatMap(heldPort)),
      lost: endpoint.lost ?? false,
    };
    this.#holders.set(holder.id, holder);
    for (const name of holder.names) {
      enter(zone.byName, name, holder);
      for (const parent of parentsOf(name)) zone.parents.set(parent, (zone.parents.get(parent) ?? 0) + 1);
    }
    for (const address of addresses) enter(zone.byAddress, address, holder);
  }

  remove(id: string): void {
    const holder = this.#holders.get(id);
    if (holder === undefined) return;
    this.#holders.delete(id);
    const zone = this.#zones.get(holder.zone.id);
    if (zone === undefined) return;
    for (const name of holder.names) {
      leave(zone.byName, name, holder);
      for (const parent of parentsOf(name)) {
        const left = (zone.parents.get(parent) ?? 1) - 1;
        if (left === 0) zone.parents.delete(parent);
        else zone.parents.set(parent, left);
      }
    }
    for (const list of [holder.v4, holder.v6]) for (const address of list) leave(zone.byAddress, address, holder);
    this.#drop(zone);
  }

  /** For who sees the network, whether it is known or not. To be given back to `release`. */
  see(network: string): Zone {
    return this.#use(network);
  }

  release(zone: Zone): void {
    const open = this.#zones.get(zone.id);
    if (open !== undefined) this.#drop(open);
  }

  #use(id: string): OpenZone {
    let zone = this.#zones.get(id);
    if (zone === undefined) {
      zone = {
        id,
        name: undefined,
        subnets: none,
        byName: new Map(),
        byAddress: new Map(),
        parents: new Map(),
        uses: 0,
        known: false,
      };
      this.#zones.set(id, zone);
    }
    zone.uses++;
    return zone;
  }

  #drop(zone: OpenZone): void {
    zone.uses--;
    if (zone.uses === 0) this.#zones.delete(zone.id);
  }
}

/**
 * Who has a name, as seen by who sees these networks: the first network that has the whole of it, else the one that is
 * called as its end is, and has the rest. As Docker does, the longest rest wins: `a.b` on a network `c` comes before `a` on
 * a network `b.c`, and a container called `a.b` before both. A zone that is called nothing (names of the whole cluster) is
 * asked after all of that: it stands before no container. Where all are lost hides nobody: it is told of last.
 */
export function findName(zones: readonly Zone[], name: WireName): Holders | undefined {
  const found: Found = { live: undefined, lost: undefined };
  for (const zone of zones) if (zone.name !== undefined && look(zone, name, found)) return found.live;
  let longest = 0;
  for (const zone of zones) {
    const start = zone.name === undefined ? undefined : suffixStart(name, zone.name);
    if (start !== undefined && start > longest && look(zone, name.slice(0, start), found)) longest = start;
  }
  if (found.live !== undefined) return found.live;
  for (const zone of zones) if (zone.name === undefined && look(zone, name, found)) return found.live;
  return found.lost;
}

interface Found {
  live: Holders | undefined;
  /** The first of which all are lost. */
  lost: Holders | undefined;
}

/** Whether the network has a live one, which `found` has then. */
function look(zone: Zone, name: WireName, found: Found): boolean {
  const holders = zone.byName.get(name);
  if (holders === undefined) return false;
  if (!isLive(holders)) {
    found.lost ??= holders;
    return false;
  }
  found.live = holders;
  return true;
}

export function isLive(holders: Holders): boolean {
  return isList(holders) ? holders.some(({ lost }) => !lost) : !holders.lost;
}

/** Whether names that are seen have this one at their end (RFC 8020: then it must not be denied). */
export function hasBelow(zones: readonly Zone[], name: WireName): boolean {
  if (name === '') return true;
  return zones.some(({ name: network, parents }) => {
    if (parents.has(name)) return true;
    if (network === undefined) return false;
    if (suffixStart(network, name) !== undefined) return true;
    const start = suffixStart(name, network);
    return start !== undefined && parents.has(name.slice(0, start));
  });
}

function parentsOf(name: WireName): readonly WireName[] {
  const parents: WireName[] = [];
  for (let at = firstLabel(name); at < name.length; at += 1 + name.charCodeAt(at)) parents.push(name.slice(at));
  return parents;
}

/** Who has an address; 'nobody' when it is one of a network that is seen, undefined when that is another's to say. */
export function findAddress(zones: readonly Zone[], address: PackedAddress): Holders | 'nobody' | undefined {
  let lost: Holders | undefined;
  for (const zone of zones) {
    const holders = zone.byAddress.get(address);
    if (holders === undefined) continue;
    if (isLive(holders)) return holders;
    lost ??= holders;
  }
  if (lost !== undefined) return lost;
  const value = unpackAddress(address);
  return zones.some(({ subnets }) => subnets.some((subnet) => contains(subnet, value))) ? 'nobody' : undefined;
}

/** One that a message can have: not with a zone. */
function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%');
}

/** @throws ParseError */
export function packAddress(text: string): PackedAddress {
  if (isIPv4(text)) return String.fromCharCode(...text.split('.').map(Number));
  return Buffer.from(parseAddress(text).value.toString(16).padStart(32, '0'), 'hex').toString('latin1');
}

function unpackAddress(address: PackedAddress): ReturnType<typeof parseAddress> {
  const hex = Buffer.from(address, 'latin1').toString('hex');
  return { family: address.length === 4 ? 4 : 6, value: BigInt(`0x${hex}`) };
}

function heldPort({ name, protocol, port }: { name: string; protocol: string; port: number }): HeldPort[] {
  const service = toWireName(`_${name}._${protocol}`);
  return service === undefined ? [] : [{ service, port }];
}

/** Without the room to grow that a list made by filtering has: there are many, and they stay as they are. */
function exact<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? none : list.slice();
}

function enter(map: Map<string, OpenHolders>, key: string, holder: Holder): void {
  const held = map.get(key);
  if (held === undefined) map.set(key, holder);
  else if (Array.isArray(held)) held.push(holder);
  else map.set(key, [held, holder]);
}

/** The order of several is nobody's: the last one takes the place. */
function leave(map: Map<string, OpenHolders>, key: string, holder: Holder): void {
  const held = map.get(key);
  if (held === holder) map.delete(key);
  if (!Array.isArray(held)) return;
  const at = held.indexOf(holder);
  const last = held.at(-1);
  if (at < 0 || last === undefined) return;
  held[at] = last;
  held.pop();
  const [only] = held;
  if (held.length === 1 && only !== undefined) map.set(key, only);
}

export function isList(holders: Holders): holders is readonly Holder[] {
  return Array.isArray(holders);
}
