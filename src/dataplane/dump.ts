import { addresses, type IfAddress } from '../kernel/route/addresses.ts';
import { IFF, type Link } from '../kernel/route/link.ts';
import { links } from '../kernel/route/links.ts';
import { fdb, NTF, NUD, neighbours } from '../kernel/route/neighbours.ts';
import { redirects } from '../kernel/route/redirects.ts';
import { type Route, RT_SCOPE, RTPROT, routes } from '../kernel/route/routes.ts';
import { shortcuts } from '../kernel/route/shortcuts.ts';
import { sysctls } from '../kernel/sysctl.ts';
import { bitsOf, formatAddress, formatPrefix, networkOf, parseAddress, parseInterfaceAddress } from '../lib/prefix.ts';
import { readRules } from './dump-rules.ts';
import { isExitName } from './gateway/exit.ts';
import { GATEWAY_BRIDGE } from './gateway/gateway.ts';
import {
  DEAD_GROUP,
  HOST,
  isNetworkNamespace,
  type KernelObject,
  linkId,
  netnsId,
  type ObjectId,
  object,
  type PortFlags,
  type Sysctl,
  type VethLink,
} from './objects.ts';
import { BRIDGE, VXLAN } from './overlay/network.ts';
import type { Places } from './places.ts';

/**
 * Reads what the kernel holds of ours. A network's namespace is wholly ours: what nothing stands for is read as stray. In
 * the host's only our names are looked at, in a sandbox only the far ends of our links.
 */
export interface DumpNeeds {
  readonly places: Places;
  /** Every object that should be. */
  readonly desired: ReadonlyMap<string, KernelObject>;
  /** Host settings that were changed by us. */
  readonly changed: readonly string[];
  /** Told of links that were cut off and not deleted yet. */
  readonly foundDead: (namespace: string) => void;
  /** Told of namespaces whose pin was gone. */
  readonly again: (name: string) => void;
  /** Called every now and then: what others do to the kernel meanwhile is theirs to remember. */
  readonly pause: () => void;
  /** Whether someone has done something to this object in a pause. */
  readonly isTouched: (id: ObjectId) => boolean;
}

export function dump(needs: DumpNeeds): KernelObject[] {
  const { places, desired } = needs;
  const found: KernelObject[] = [];
  const pinned = places.pinned(needs.again);
  const look = new Namespace(places);
  for (const [name, inode] of pinned) found.push(object.netns(name, inode));
  const settings = Map.groupBy([...desired.values()].filter(isSysctl), ({ namespace }) => namespace);
  const values: Sysctl[] = [];
  // Sandboxes first, each in one visit: there are more of them than are kept open.
  const [networks, sandboxes] = [true, false].map((is) =>
    [...pinned.keys()].filter((n) => isNetworkNamespace(n) === is),
  );
  for (const name of [...(sandboxes ?? []), ...(networks ?? [])]) {
    needs.pause();
    try {
      if (isNetworkNamespace(name)) found.push(...readNetwork(needs, look, name));
      else if (desired.has(`${name} up lo`)) {
        look.all(name);
        found.push(...readLoopback(look, name));
      }
      values.push(...readSysctls(places, name, settings.get(name)));
    } catch (error) {
      // Taken away in a pause, and all that was in it.
      if (!needs.isTouched(netnsId(name))) throw error;
    }
  }
  found.push(...readHost(needs, look));
  const ofHost = settings.get(HOST) ?? [];
  values.push(...readSysctls(places, HOST, ofHost));
  // Those of a link are nothing without it.
  const there = new Set(found.map((o) => `${o.namespace} ${o.key}`));
  for (const value of values) if (value.parent === undefined || there.has(value.parent)) found.push(value);
  const wantedPaths = new Set(ofHost.map(({ path }) => path));
  for (const path of needs.changed) {
    if (!wantedPaths.has(path)) found.push(object.sysctl(HOST, path, sysctls.get(path) ?? ''));
  }
  return found;
}

/** Packet rules alone, of the host and of these networks' namespaces. */
export function dumpRules(places: Places, networks: Iterable<string>, pause: () => void): KernelObject[] {
  const found: KernelObject[] = [];
  for (const namespace of [...networks, HOST]) {
    pause();
    const names = new Set(links.list(places.netlink(namespace)).map(({ name }) => name));
    found.push(...readRulesOf(places, namespace, names));
  }
  return found;
}

function isSysctl(o: KernelObject): o is Sysctl {
  return o.kind === 'sysctl';
}

/** Links, addresses and routes of each namespace, listed once. */
class Namespace {
  readonly #places: Places;
  readonly #links = new Map<string, readonly Link[]>();
  readonly #addresses = new Map<string, ReadonlyMap<number, readonly IfAddress[]>>();
  readonly #routes = new Map<string, readonly Route[]>();

  constructor(places: Places) {
    this.#places = places;
  }

  links(namespace: string): readonly Link[] {
    const known = this.#links.get(namespace);
    if (known) return known;
    const all = links.list(this.#places.netlink(namespace));
    for (const { name, index } of all) this.#places.learnIndex(namespace, name, index);
    this.#links.set(namespace, all);
    return all;
  }

  /** Lists it all now. */
  all(namespace: string): void {
    this.links(namespace);
    this.addresses(namespace, 0);
    this.#all(namespace);
  }

  addresses(namespace: string, index: number): readonly string[] {
    const known =
      this.#addresses.get(namespace) ?? Map.groupBy(addresses.list(this.#places.netlink(namespace)), (a) => a.index);
    this.#addresses.set(namespace, known);
    return (known.get(index) ?? []).filter((a) => a.scope === RT_SCOPE.UNIVERSE).map((a) => a.address);
  }

  /** Default routes, and those that are static and on a link. */
  routes(namespace: string): readonly Route[] {
    return this.#all(namespace).filter(({ dst, via, protocol }) => {
      return via === undefined ? protocol === RTPROT.STATIC : dst.endsWith('/0');
    });
  }

  /** Whether the subnet of an address is on its link, as the kernel makes it with the address. */
  isConnected(namespace: string, index: number, text: string): boolean {
    const address = parseInterfaceAddress(text);
    if (address.length === bitsOf(address.address.family)) return true;
    const subnet = formatPrefix(networkOf(address));
    const leads = ({ dst, oif, via }: Route) => oif === index && via === undefined && canonical(dst) === subnet;
    return this.#all(namespace).some(leads);
  }

  #all(namespace: string): readonly Route[] {
    const known = this.#routes.get(namespace) ?? routes.list(this.#places.netlink(namespace));
    this.#routes.set(namespace, known);
    return known;
  }
}

function readNetwork(needs: DumpNeeds, look: Namespace, namespace: string): KernelObject[] {
  const { places } = needs;
  const nl = places.netlink(namespace);
  const all = look.links(namespace);
  const found: KernelObject[] = [...readLoopback(look, namespace)];
  const names = namesOf(all);
  for (const link of all) {
    if (link.name === 'lo') continue;
    if (link.group === DEAD_GROUP) {
      needs.foundDead(namespace);
      continue;
    }
    found.push(...readLink(needs, look, namespace, link, names));
    needs.pause();
  }
  const bridge = all.find((link) => link.name === BRIDGE);
  const vxlan = all.find((link) => link.name === VXLAN);
  if (vxlan) {
    for (const { address, mac, state } of neighbours.list(nl, { index: vxlan.index })) {
      if (state === NUD.PERMANENT && mac) found.push(object.neighbour(namespace, VXLAN, canonical(address), mac));
    }
  }
  if (bridge) found.push(...readFdb(places, namespace, bridge, names));
  needs.pause();
  found.push(...readRulesOf(places, namespace, new Set(names.values())));
  return found;
}

/** Of the host only our tables are of interest. */
function readRulesOf(places: Places, namespace: string, names: ReadonlySet<string>): KernelObject[] {
  const lists = namespace === HOST ? ['table ip skein', 'table ip6 skein', 'table netdev skein'] : ['ruleset'];
  return lists.flatMap((what) => {
    const rules = places.nft(namespace).list(what);
    return rules ? readRules(namespace, rules, names) : [];
  });
}

function readHost(needs: DumpNeeds, look: Namespace): KernelObject[] {
  const { places } = needs;
  const all = look.links(HOST);
  const names = namesOf(all);
  const found: KernelObject[] = [];
  const bridge = all.find((link) => link.name === GATEWAY_BRIDGE);
  for (const link of all) {
    if (link.group === DEAD_GROUP) needs.foundDead(HOST);
    else if (link === bridge || isExit(needs, link, bridge)) {
      found.push(...readLink(needs, look, HOST, link, names));
      needs.pause();
    }
  }
  if (bridge) found.push(...readFdb(places, HOST, bridge, names));
  needs.pause();
  found.push(...readRulesOf(places, HOST, new Set(names.values())));
  return found;
}

/** Ours are the ports of our bridge, and what we want under that name. */
function isExit({ desired }: DumpNeeds, link: Link, bridge: Link | undefined): boolean {
  if (link.info?.kind !== 'veth' || !isExitName(link.name)) return false;
  return (bridge !== undefined && link.master === bridge.index) || desired.has(linkId(HOST, link.name));
}

function readLoopback(look: Namespace, namespace: string): KernelObject[] {
  const lo = look.links(namespace).find((link) => link.name === 'lo');
  return lo && isUp(lo) ? [object.up(namespace, 'lo')] : [];
}

function readLink(
  needs: DumpNeeds,
  look: Namespace,
  namespace: string,
  link: Link,
  names: ReadonlyMap<number, string>,
): KernelObject[] {
  const { name, address: mac, mtu, info, bridgePort } = link;
  const id = linkId(namespace, name);
  const up = isUp(link) ? [object.up(namespace, name, id)] : [];
  const master = names.get(link.master ?? 0) ?? '';
  const flags: PortFlags = {
    learning: bridgePort?.learning ?? true,
    unicastFlood: bridgePort?.unicastFlood ?? true,
    isolated: bridgePort?.isolated ?? false,
    locked: bridgePort?.locked ?? false,
  };
  if (info?.kind === 'bridge' && (name === BRIDGE || name === GATEWAY_BRIDGE)) {
    return [object.bridge(namespace, name, { mac, mtu }), ...up, ...readAddresses(look, namespace, link, id)];
  }
  if (info?.kind === 'vxlan' && 'vxlan' in info && name === VXLAN) {
    const { id: vni, port, local = '' } = info.vxlan;
    const gro = needs.places.gro(namespace, name);
    const spec = { id: vni, local: local && canonical(local), port, mac, mtu, master, flags, gro };
    return [object.vxlan(namespace, name, spec), ...up, ...readRedirects(needs, namespace, link, names)];
  }
  if (info?.kind === 'veth') {
    const { peer, inside } = readPeer(needs, look, namespace, link);
    const veth = object.veth(namespace, name, { mac, mtu, master, flags, ...(peer && { peer }) });
    return [veth, ...up, ...inside, ...readShortcut(needs, namespace, link, names)];
  }
  return [object.stray(namespace, name)];
}

/** A kernel that cannot redirect needs no redirects: all goes over the bridge. */
function readRedirects(
  { places, desired }: DumpNeeds,
  namespace: string,
  { index, name }: Link,
  names: ReadonlyMap<number, string>,
): KernelObject[] {
  if (!places.canRedirect) {
    return [...desired.values()].filter((o) => isRedirecting(o) && o.namespace === namespace);
  }
  const found = redirects.list(places.netlink(namespace), index);
  if (found === undefined) return [];
  const each = found.map(({ mac, to, handle }) => object.redirect(namespace, name, mac, names.get(to), handle));
  return [object.ingress(namespace, name), ...each];
}

function isRedirecting({ kind }: KernelObject): boolean {
  return kind === 'ingress' || kind === 'redirect' || kind === 'shortcut';
}

/** Ports of the gateway bridge have none. */
function readShortcut(
  { places }: DumpNeeds,
  namespace: string,
  { index, name }: Link,
  names: ReadonlyMap<number, string>,
): KernelObject[] {
  if (!places.canRedirect || namespace === HOST) return [];
  const found = shortcuts.get(places.netlink(namespace), index);
  if (found === undefined) return [];
  const { to: target, ...rest } = found;
  const to = names.get(target);
  return [object.shortcut(namespace, name, { ...rest, ...(to !== undefined && { to }) })];
}

/** The far end of a veth, where it should be: both ends know each other's index. */
function readPeer(needs: DumpNeeds, look: Namespace, namespace: string, link: Link) {
  const id = linkId(namespace, link.name);
  const wanted = needs.desired.get(id);
  const at = wanted?.kind === 'veth' && !needs.isTouched(id) ? wanted.spec.peer : undefined;
  const end = at && far(look, link, at);
  if (at === undefined || end === undefined) return { inside: [] };
  const { name } = end;
  const inside: KernelObject[] = [
    ...readAddresses(look, at.namespace, end, id),
    ...(isUp(end) ? [object.up(at.namespace, name, id)] : []),
    ...readRoutes(look, at.namespace, end, id),
  ];
  return { peer: { namespace: at.namespace, name, mac: end.address, mtu: end.mtu }, inside };
}

function far(
  look: Namespace,
  link: Link,
  { namespace, name }: NonNullable<VethLink['spec']['peer']>,
): Link | undefined {
  let there: readonly Link[];
  try {
    there = look.links(namespace);
  } catch {
    // The sandbox is gone.
    return undefined;
  }
  return there.find((end) => end.name === name && end.index === link.link && end.link === link.index);
}

/** A link that is down has no routes: they come when it is up. */
function readAddresses(look: Namespace, namespace: string, link: Link, parent: string): KernelObject[] {
  const { name, index } = link;
  return look.addresses(namespace, index).map((text) => {
    const connected = !isUp(link) || look.isConnected(namespace, index, text);
    return object.address(namespace, name, canonical(text), parent, { connected });
  });
}

function readRoutes(look: Namespace, namespace: string, { index, name }: Link, parent: string): KernelObject[] {
  return look
    .routes(namespace)
    .filter(({ oif }) => oif === index)
    .map(({ dst, via }) => {
      const spec = { ...(via === undefined ? {} : { via: canonical(via) }), device: name };
      return object.route(namespace, canonical(dst), spec, parent);
    });
}

/** Static entries; those without age that are a port's own MAC are the kernel's. */
function readFdb(places: Places, namespace: string, bridge: Link, names: ReadonlyMap<number, string>): KernelObject[] {
  const found: KernelObject[] = [];
  for (const { index, mac, dst, master, state, flags } of fdb.list(places.netlink(namespace))) {
    const port = names.get(index);
    if (port === undefined) continue;
    if (dst !== undefined && (flags & NTF.SELF) !== 0)
      found.push(object.vxlanFdb(namespace, port, mac, canonical(dst)));
    else if (master === bridge.index && state === NUD.NOARP) {
      found.push(object.bridgeFdb(namespace, bridge.name, mac, port));
    }
  }
  return found;
}

/** What this kernel does not have needs no value. */
function readSysctls(places: Places, namespace: string, wanted: readonly Sysctl[] = []): Sysctl[] {
  if (wanted.length === 0) return [];
  return places.inside(namespace, () => {
    return wanted.map(({ path, spec, parent }) => {
      return object.sysctl(namespace, path, sysctls.get(path) ?? spec.value, parent);
    });
  });
}

function namesOf(all: readonly Link[]): ReadonlyMap<number, string> {
  return new Map(all.map(({ index, name }) => [index, name]));
}

function isUp({ flags }: Link): boolean {
  return (flags & IFF.UP) !== 0;
}

/** With or without a prefix length. */
function canonical(text: string): string {
  const [address = '', length] = text.split('/');
  return formatAddress(parseAddress(address)) + (length === undefined ? '' : `/${length}`);
}
