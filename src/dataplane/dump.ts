import type { Link } from '../kernel/route/link.ts';
import { links } from '../kernel/route/links.ts';
import { NUD, neighbours } from '../kernel/route/neighbours.ts';
import { sysctls } from '../kernel/sysctl.ts';
import { type LinkNeeds, namesOf, readFdb, readLink, readLoopback } from './dump-links.ts';
import { readRules } from './dump-rules.ts';
import { SysctlReader } from './dump-sysctls.ts';
import { isExitName } from './gateway/exit.ts';
import { GATEWAY_BRIDGE } from './gateway/gateway.ts';
import { Lists } from './lists.ts';
import {
  DEAD_GROUP,
  HOST,
  idOf,
  isNetworkNamespace,
  type KernelObject,
  linkId,
  netnsId,
  object,
  type Sysctl,
} from './objects.ts';
import { BRIDGE, VXLAN } from './overlay/network.ts';
import type { Places } from './places.ts';
import type { Sockets } from './sockets.ts';

/**
 * Reads what the kernel holds of ours. A network's namespace is wholly ours: what nothing stands for is read as stray. In
 * the host's only our names are looked at, in a sandbox only the far ends of our links.
 */
export interface DumpNeeds extends Omit<LinkNeeds, 'lists'> {
  /** Host settings that were changed by us. */
  readonly changed: readonly string[];
  readonly sockets: Sockets;
  /** Told of links that were cut off and not deleted yet. */
  readonly foundDead: (namespace: string) => void;
  /** Told of namespaces whose pin was gone. */
  readonly again: (name: string) => void;
  /** Called every now and then: what others do to the kernel meanwhile is theirs to remember. */
  readonly pause: () => void;
}

export function dump(needs: DumpNeeds): KernelObject[] {
  const lists = new Lists(needs.places);
  const settings = new SysctlReader(needs.places, lists);
  try {
    return read({ ...needs, lists, settings });
  } finally {
    settings.close();
  }
}

interface Reading extends DumpNeeds, LinkNeeds {
  readonly settings: SysctlReader;
}

function read(needs: Reading): KernelObject[] {
  const { places, sockets, lists, desired, settings } = needs;
  const found: KernelObject[] = [];
  sockets.renew();
  const pinned = places.pinned(needs.again, sockets.namespaces());
  for (const [name, inode] of pinned) found.push(object.netns(name, inode));
  found.push(...sockets.list(pinned));
  const wanted = Map.groupBy([...desired.values()].filter(isSysctl), ({ namespace }) => namespace);
  const values: Sysctl[] = [];
  // Sandboxes first, each in one visit: there are more of them than are kept open.
  const inOrder = [...pinned.keys()].toSorted((a, b) => Number(isNetworkNamespace(a)) - Number(isNetworkNamespace(b)));
  for (const name of inOrder) {
    needs.pause();
    try {
      if (isNetworkNamespace(name)) found.push(...readNetwork(needs, name));
      else if (desired.has(netnsId(name))) {
        lists.all(name);
        if (desired.has(`${name} up lo`)) found.push(...readLoopback(lists, name));
      }
      values.push(...settings.read(name, wanted.get(name)));
    } catch (error) {
      // Taken away in a pause, and all that was in it.
      if (!needs.isTouched(netnsId(name))) throw error;
    }
  }
  found.push(...readHost(needs));
  const ofHost = wanted.get(HOST) ?? [];
  values.push(...settings.read(HOST, ofHost));
  // Those of a link are nothing without it.
  const there = new Set(found.map(idOf));
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
    found.push(...readRules(places, namespace, names));
  }
  return found;
}

function isSysctl(o: KernelObject): o is Sysctl {
  return o.kind === 'sysctl';
}

function readNetwork(needs: Reading, namespace: string): KernelObject[] {
  const { places, lists } = needs;
  const nl = places.netlink(namespace);
  const all = lists.links(namespace);
  const found: KernelObject[] = [...readLoopback(lists, namespace)];
  const names = namesOf(all);
  for (const link of all) {
    if (link.name === 'lo') continue;
    if (link.group === DEAD_GROUP) {
      needs.foundDead(namespace);
      continue;
    }
    found.push(...readLink(needs, namespace, link, names));
    needs.pause();
  }
  const bridge = all.find((link) => link.name === BRIDGE);
  const vxlan = all.find((link) => link.name === VXLAN);
  if (vxlan) {
    for (const { address, mac, state } of neighbours.list(nl, { index: vxlan.index })) {
      if (state === NUD.PERMANENT && mac) found.push(object.neighbour(namespace, VXLAN, address, mac));
    }
  }
  if (bridge) found.push(...readFdb(places, namespace, bridge, names));
  needs.pause();
  found.push(...readRules(places, namespace, new Set(names.values())));
  return found;
}

function readHost(needs: Reading): KernelObject[] {
  const { places, lists } = needs;
  const all = lists.links(HOST);
  const names = namesOf(all);
  const found: KernelObject[] = [];
  const bridge = all.find((link) => link.name === GATEWAY_BRIDGE);
  for (const link of all) {
    if (link.group === DEAD_GROUP) needs.foundDead(HOST);
    else if (link === bridge || isExit(needs, link, bridge)) {
      found.push(...readLink(needs, HOST, link, names));
      needs.pause();
    }
  }
  if (bridge) found.push(...readFdb(places, HOST, bridge, names));
  needs.pause();
  found.push(...readRules(places, HOST, new Set(names.values())));
  return found;
}

/** Ours are the ports of our bridge, and what we want under that name. */
function isExit({ desired }: LinkNeeds, link: Link, bridge: Link | undefined): boolean {
  if (link.info?.kind !== 'veth' || !isExitName(link.name)) return false;
  return (bridge !== undefined && link.master === bridge.index) || desired.has(linkId(HOST, link.name));
}
