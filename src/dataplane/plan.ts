import { diff } from '../lib/diff.ts';
import type { ObjectMap } from './object-map.ts';
import { formatObject, idOf, type KernelObject, netnsId, type ObjectId, recreates, same } from './objects.ts';
import { BRIDGE, VXLAN } from './overlay/network.ts';

/** One thing to do to the kernel. */
export type Step =
  | { readonly do: 'add'; readonly object: KernelObject }
  | { readonly do: 'change'; readonly from: KernelObject; readonly object: KernelObject }
  | { readonly do: 'remove'; readonly object: KernelObject };

/** What should be, by id. */
export interface Desired {
  get(id: ObjectId): KernelObject | undefined;
}

/**
 * The steps that make these ids of the kernel what they should be, in an order in which each can be done and no packet
 * passes a port before its rules are there. Pure; costs what is touched.
 */
export function plan(touched: Iterable<ObjectId>, desired: Desired, actual: ObjectMap): readonly Step[] {
  // Where nothing differs, of thousands, nothing more is looked at.
  const ids = new Set<ObjectId>();
  for (const id of touched) if (differs(desired.get(id), actual.get(id))) ids.add(id);
  const gone = new Set<ObjectId>();
  // What cannot be changed in place goes with all that hangs on it, and what of that is wanted is made anew.
  for (const id of ids) {
    const is = actual.get(id);
    const wanted = desired.get(id);
    if (is === undefined || gone.has(id) || (wanted !== undefined && !mustGo(wanted, is))) continue;
    for (const object of actual.tree(id)) {
      gone.add(idOf(object));
      ids.add(idOf(object));
    }
  }
  const moved = new Set([...gone].filter((id) => movesToAnother(desired.get(id), desired, actual, gone)));
  for (const id of moved) gone.delete(id);
  const wanted = new Map<ObjectId, KernelObject>();
  const kept = new Map<ObjectId, KernelObject>();
  const steps: Step[] = [];
  for (const id of ids) {
    const object = desired.get(id);
    const is = actual.get(id);
    if (object) wanted.set(id, object);
    if (is && gone.has(id)) {
      if (needsRemoval(is, gone)) steps.push({ do: 'remove', object: is });
    } else if (is) kept.set(id, is);
  }
  const { add, change } = diff(wanted, kept, same);
  for (const object of add) steps.push({ do: 'add', object });
  for (const { from, to } of change) steps.push({ do: 'change', from, object: to });
  const order = (step: Step) => (moved.has(idOf(step.object)) ? MOVES_FROM : stage(step));
  return steps.toSorted(
    (a, b) => order(a) - order(b) || byText(a.object.namespace, b.object.namespace) || needing(a) - needing(b),
  );
}

/** A route on the link that would go with its interface, and leads by another one that is up and stays. */
function movesToAnother(
  wanted: KernelObject | undefined,
  desired: Desired,
  actual: ObjectMap,
  gone: ReadonlySet<ObjectId>,
): boolean {
  if (wanted?.kind !== 'route' || wanted.spec.via !== undefined || wanted.parent === undefined) return false;
  const up = `${wanted.namespace} up ${wanted.spec.device}`;
  return [wanted.parent, up].every((id) => !gone.has(id) && !differs(desired.get(id), actual.get(id)));
}

function differs(wanted: KernelObject | undefined, is: KernelObject | undefined): boolean {
  return wanted === undefined || is === undefined ? wanted !== is : !same(wanted, is);
}

function mustGo(wanted: KernelObject, is: KernelObject): boolean {
  return !same(wanted, is) && recreates(is, wanted);
}

/** What goes with something else needs no step, except sockets, and rules: they can outlive the device that they hung on. */
function needsRemoval(object: KernelObject, gone: ReadonlySet<ObjectId>): boolean {
  // Somebody may hold it, and then it holds its namespace.
  if (object.kind === 'socket') return true;
  if (object.parent === undefined || !gone.has(object.parent)) return true;
  return object.kind === 'nft-chain' && !gone.has(netnsId(object.namespace)) && !goneTable(object, gone);
}

function goneTable(object: Extract<KernelObject, { kind: 'nft-chain' }>, gone: ReadonlySet<ObjectId>): boolean {
  return gone.has(`${object.namespace} nft-table ${object.family} ${object.table}`);
}

/** Removals first, so that names are free; namespaces last, after what has an end in them. */
export function stage(step: Step): number {
  const { object } = step;
  if (object.kind.startsWith('nft-')) return RULES;
  if (object.kind === 'redirect') return step.do === 'remove' ? REDIRECTS_GO : REDIRECTS;
  if (object.kind === 'shortcut') return step.do === 'remove' ? SHORTCUTS_GO : SHORTCUTS;
  if (step.do === 'remove') return object.kind === 'netns' ? NAMESPACES : object.kind === 'veth' ? 0 : 1;
  switch (object.kind) {
    case 'netns':
      return 2;
    case 'sysctl':
      return object.parent?.includes(' link ') ? 6 : 3;
    case 'bridge':
      return 4;
    case 'vxlan':
    case 'veth':
    case 'stray':
      return 5;
    case 'ingress':
      return 6;
    case 'address':
    case 'neighbour':
    case 'vxlan-fdb':
    case 'bridge-fdb':
      return 7;
    case 'up':
      return object.name === VXLAN || object.name === BRIDGE ? TUNNEL_UP : UP;
    case 'route':
      if (object.spec.via !== undefined) return ROUTES;
      return step.do === 'change' ? MOVES_THERE : UP;
    case 'socket':
      return SOCKETS;
    case 'nft-table':
    case 'nft-set':
    case 'nft-element':
    case 'nft-chain':
      return RULES;
  }
}

const RULES = 8;
/** From an interface that goes. */
const MOVES_FROM = -3;
/** What a shortcut leads to finds its way to ports of this host by the redirects: they are there before it, and after it. */
const SHORTCUTS_GO = -2;
const REDIRECTS_GO = -1;
const REDIRECTS = 9;
/** Before what leads there: a link that is down drops it. The bridge with it, see overlay/network.ts. */
const TUNNEL_UP = 10;
/** Before the port is up: then the kernel would wait for its readers. */
const SHORTCUTS = 11;
const UP = 12;
const ROUTES = 13;
const SOCKETS = 14;
/** To an interface that may have come with its network: what is asked there finds who answers. */
const MOVES_THERE = 15;
const NAMESPACES = 16;

/** Of one stage: a route on a link needs no more than that the link is up, and goes with it. */
function needing({ object }: Step): number {
  return object.kind === 'route' ? 1 : 0;
}

export function formatStep(step: Step): string {
  return `${step.do} ${formatObject(step.object)}`;
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
