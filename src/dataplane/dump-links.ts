import { IFF, type Link } from '../kernel/route/link.ts';
import { fdb, NTF, NUD } from '../kernel/route/neighbours.ts';
import { redirects } from '../kernel/route/redirects.ts';
import { shortcuts } from '../kernel/route/shortcuts.ts';
import { GATEWAY_BRIDGE } from './gateway/gateway.ts';
import type { Lists } from './lists.ts';
import { HOST, type KernelObject, linkId, type ObjectId, object, type PortFlags, type VethLink } from './objects.ts';
import { BRIDGE, VXLAN } from './overlay/network.ts';
import type { Places } from './places.ts';

/** What is read of links, and of what hangs on them. */
export interface LinkNeeds {
  readonly places: Places;
  readonly lists: Lists;
  /** Every object that should be. */
  readonly desired: ReadonlyMap<ObjectId, KernelObject>;
  /** Whether someone has done something to this object since reading began. */
  readonly isTouched: (id: ObjectId) => boolean;
}

export function readLoopback(lists: Lists, namespace: string): KernelObject[] {
  const lo = lists.link(namespace, 'lo');
  return lo && isUp(lo) ? [object.up(namespace, 'lo')] : [];
}

export function readLink(
  needs: LinkNeeds,
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
    // On the host others may have them for their own ends.
    const routes = name === BRIDGE ? readRoutes(needs, namespace, link, id) : [];
    const there = readAddresses(needs.lists, namespace, link, id);
    return [object.bridge(namespace, name, { mac, mtu }), ...up, ...there, ...routes];
  }
  if (info?.kind === 'vxlan' && 'vxlan' in info && name === VXLAN) {
    const { id: vni, port, local = '' } = info.vxlan;
    const gro = needs.places.gro(namespace, name);
    const spec = { id: vni, local, port, mac, mtu, master, flags, gro };
    return [object.vxlan(namespace, name, spec), ...up, ...readRedirects(needs, namespace, link, names)];
  }
  if (info?.kind === 'veth') {
    const { peer, inside } = readPeer(needs, namespace, link);
    const veth = object.veth(namespace, name, { mac, mtu, master, flags, ...(peer && { peer }) });
    return [veth, ...up, ...inside, ...readShortcut(needs, namespace, link, names)];
  }
  return [object.stray(namespace, name)];
}

/** A kernel that cannot redirect needs no redirects: all goes over the bridge. */
function readRedirects(
  { places, desired }: LinkNeeds,
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
  { places }: LinkNeeds,
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
function readPeer(needs: LinkNeeds, namespace: string, link: Link) {
  const { lists } = needs;
  const id = linkId(namespace, link.name);
  const wanted = needs.desired.get(id);
  const at = wanted?.kind === 'veth' && !needs.isTouched(id) ? wanted.spec.peer : undefined;
  const end = at && far(lists, link, at);
  if (at === undefined || end === undefined) return { inside: [] };
  const { name } = end;
  const inside: KernelObject[] = [
    ...readAddresses(lists, at.namespace, end, id),
    ...(isUp(end) ? [object.up(at.namespace, name, id)] : []),
    ...readRoutes(needs, at.namespace, end, id),
  ];
  return { peer: { namespace: at.namespace, name, mac: end.address, mtu: end.mtu }, inside };
}

function far(lists: Lists, link: Link, { namespace, name }: NonNullable<VethLink['spec']['peer']>): Link | undefined {
  let there: readonly Link[];
  try {
    there = lists.links(namespace);
  } catch {
    // The sandbox is gone.
    return undefined;
  }
  return there.find((end) => end.name === name && end.index === link.link && end.link === link.index);
}

/** Of the host's own routes only those that we want are ours. */
function isOurs({ desired }: LinkNeeds, namespace: string, dst: string): boolean {
  return namespace !== HOST || desired.has(`${HOST} route ${dst}`);
}

/** A link that is down has no routes: they come when it is up. */
function readAddresses(lists: Lists, namespace: string, link: Link, parent: string): KernelObject[] {
  const { name, index } = link;
  return lists.addresses(namespace, index).map((text) => {
    const connected = !isUp(link) || lists.isConnected(namespace, index, text);
    return object.address(namespace, name, text, parent, { connected });
  });
}

function readRoutes(needs: LinkNeeds, namespace: string, { index, name }: Link, parent: string): KernelObject[] {
  return needs.lists
    .routes(namespace)
    .filter(({ oif, dst }) => oif === index && isOurs(needs, namespace, dst))
    .map(({ dst, via }) => {
      const spec = { ...(via === undefined ? {} : { via }), device: name };
      return object.route(namespace, dst, spec, parent);
    });
}

/** Static entries; those without age that are a port's own MAC are the kernel's. VXLAN devices of the host are others'. */
export function readFdb(
  places: Places,
  namespace: string,
  bridge: Link,
  names: ReadonlyMap<number, string>,
): KernelObject[] {
  const found: KernelObject[] = [];
  for (const { index, mac, dst, master, state, flags } of fdb.list(places.netlink(namespace))) {
    const port = names.get(index);
    if (port === undefined) continue;
    if (dst !== undefined && (flags & NTF.SELF) !== 0) {
      if (namespace !== HOST) found.push(object.vxlanFdb(namespace, port, mac, dst));
    } else if (master === bridge.index && state === NUD.NOARP) {
      found.push(object.bridgeFdb(namespace, bridge.name, mac, port));
    }
  }
  return found;
}

export function namesOf(all: readonly Link[]): ReadonlyMap<number, string> {
  return new Map(all.map(({ index, name }) => [index, name]));
}

function isUp({ flags }: Link): boolean {
  return (flags & IFF.UP) !== 0;
}
