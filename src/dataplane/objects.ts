import type { BridgePort } from '../kernel/route/link.ts';
import { equal } from '../lib/equal.ts';

/**
 * Kernel objects as plain values: what pieces stand for and what a dump of the kernel is read into, so that the two can
 * be compared. `spec` is all that is compared; `key` says which thing it is within its namespace. An object whose
 * `parent` goes is gone with it, without a step of its own.
 */
export type KernelObject =
  | Netns
  | Sysctl
  | BridgeLink
  | VxlanLink
  | VethLink
  | StrayLink
  | Up
  | AddressObject
  | RouteObject
  | Neighbour
  | VxlanFdb
  | BridgeFdb
  | Ingress
  | RedirectObject
  | ShortcutObject
  | SocketObject
  | NftTable
  | NftSet
  | NftElement
  | NftChain;

interface Thing<Kind extends string, Spec> {
  readonly kind: Kind;
  /** Name under which it is pinned, or HOST. */
  readonly namespace: string;
  readonly key: string;
  /** Id of the object that it goes with. */
  readonly parent?: ObjectId;
  /** Id of another that it leads to: it does not outlive that either, but has to be removed. */
  readonly leadsTo?: ObjectId;
  readonly spec: Spec;
}

/** Unique on this host. */
export type ObjectId = string;

/** The daemon's own network namespace. */
export const HOST = 'host';

/** A pinned namespace; with an inode, one that others made. */
export type Netns = Thing<'netns', { readonly inode?: string }> & { readonly name: string };
/** `path` as below /proc/sys: `net/ipv4/ip_forward`. */
export type Sysctl = Thing<'sysctl', { readonly value: string }> & { readonly path: string };
export type BridgeLink = Thing<'bridge', { readonly mac: string; readonly mtu: number }> & Named;
export type VxlanLink = Thing<
  'vxlan',
  {
    readonly id: number;
    readonly local: string;
    readonly port: number;
    readonly mac: string;
    readonly mtu: number;
    readonly master: string;
    readonly flags: PortFlags;
    /** Whether it puts packets together that the interface below had its chance to (ethtool's generic-receive-offload). */
    readonly gro: boolean;
  }
> &
  Named;
/** Both ends: the bridge's port here, the interface in a sandbox. */
export type VethLink = Thing<
  'veth',
  {
    readonly mac: string;
    readonly mtu: number;
    readonly master: string;
    readonly flags: PortFlags;
    /** Absent from a dump when the other end is not where it should be. */
    readonly peer?: { readonly namespace: string; readonly name: string; readonly mac: string; readonly mtu: number };
  }
> &
  Named;
/** A link in a namespace of ours that nothing stands for: only in dumps. */
export type StrayLink = Thing<'stray', Record<never, never>> & Named;
export type Up = Thing<'up', Record<never, never>> & Named;
/** In a dump `connected` says when the kernel's own route to its subnet is gone. */
export type AddressObject = Thing<'address', { readonly connected?: false }> & {
  readonly device: string;
  readonly address: string;
};
/** Without `via`, what it leads to is on the link. */
export type RouteObject = Thing<'route', { readonly via?: string; readonly device: string }> & {
  readonly dst: string;
};
export type Neighbour = Thing<'neighbour', { readonly mac: string }> & {
  readonly device: string;
  readonly address: string;
};
/** Where a vxlan device sends frames for a MAC. */
export type VxlanFdb = Thing<'vxlan-fdb', { readonly via: string }> & { readonly device: string; readonly mac: string };
/** Behind which port of a bridge a MAC is. */
export type BridgeFdb = Thing<'bridge-fdb', { readonly port: string }> & {
  readonly bridge: string;
  readonly mac: string;
};
/** That frames which come in by a link, or would leave by it, can be redirected. */
export type Ingress = Thing<'ingress', Record<never, never>> & Named;
/**
 * Frames for a MAC that come in by a link, or would leave by it, leave by this port at once. Absent from a dump's: the
 * port is gone.
 */
export type RedirectObject = Thing<'redirect', { readonly port?: string }> & {
  readonly device: string;
  readonly mac: string;
  /** What the kernel knows it by, once it does. */
  readonly handle?: number;
};

/** TCP from a MAC and its addresses that comes in by a link leaves by another at once. Absent from a dump's: that is gone. */
export type ShortcutObject = Thing<
  'shortcut',
  {
    readonly mac: string;
    /** With a prefix length, only to what is in that subnet. */
    readonly addresses: readonly string[];
    /** How the MACs begin that it leads to. */
    readonly prefix: string;
    readonly to?: string;
  }
> & { readonly device: string };

/** A bound socket for questions. Of a namespace that is none of those pinned, only in dumps. */
export type SocketObject = Thing<'socket', Record<never, never>> & {
  readonly transport: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
  /** Id of the network that it is of. */
  readonly network?: string;
  /** Of the namespace that it is in, where that is not the one which has the name. */
  readonly inode?: string;
};

export type NftFamily = 'ip' | 'ip6' | 'netdev';
interface InTable {
  /** Of a stray table any. */
  readonly family: string;
  readonly table: string;
}
export type NftTable = Thing<'nft-table', Record<never, never>> & InTable;
/** `definition` is what stands between the braces. */
export type NftSet = Thing<'nft-set', Record<never, never>> &
  InTable & { readonly set: string; readonly definition: string };
export type NftElement = Thing<'nft-element', Record<never, never>> &
  InTable & { readonly set: string; readonly element: string };
/** Compared by the hooks and by each rule's hash, which its comment carries: nobody has to understand nft's own listing. */
export type NftChain = Thing<'nft-chain', ChainSpec> &
  InTable & { readonly chain: string; readonly rules: readonly string[] };
export interface ChainSpec {
  readonly hook?: ChainHook;
  readonly rules: readonly string[];
}
export interface ChainHook {
  readonly type: string;
  readonly hook: string;
  readonly priority: number;
  readonly policy: string;
  readonly device?: string;
}

interface Named {
  readonly name: string;
}

/** The group of links that are cut off and wait to be deleted, see `apply.ts`. */
export const DEAD_GROUP = 0x5ce1;

/** `1-3d430f3338`; names of sandboxes have no dash. */
export function isNetworkNamespace(name: string): boolean {
  return /^\d+-/.test(name);
}

/** What we set of a bridge port, all of it always. */
export type PortFlags = Readonly<Required<Pick<BridgePort, 'learning' | 'unicastFlood' | 'isolated' | 'locked'>>>;

export function idOf({ namespace, key }: Pick<KernelObject, 'namespace' | 'key'>): ObjectId {
  return `${namespace} ${key}`;
}

export function linkId(namespace: string, name: string): ObjectId {
  return `${namespace} link ${name}`;
}

export function netnsId(name: string): ObjectId {
  return `${HOST} netns ${name}`;
}

/** Whether nothing has to be done. A namespace of ours may have any inode. */
export function same(desired: KernelObject, actual: KernelObject): boolean {
  if (desired === actual) return true;
  if (desired.kind !== actual.kind) return false;
  if (desired.kind === 'netns' && desired.spec.inode === undefined) return true;
  return equal(desired.spec, actual.spec);
}

/** Whether `from` has to go before `to` can be made: what cannot be changed in place. */
export function recreates(from: KernelObject, to: KernelObject): boolean {
  if (from.kind !== to.kind) return true;
  if (from.kind === 'netns') return true;
  // What it lets pass is not to pass one moment longer.
  if (from.kind === 'shortcut') return true;
  if (from.kind === 'vxlan' && to.kind === 'vxlan') {
    return from.spec.id !== to.spec.id || from.spec.local !== to.spec.local || from.spec.port !== to.spec.port;
  }
  if (from.kind === 'veth' && to.kind === 'veth') {
    return from.spec.peer?.namespace !== to.spec.peer?.namespace || from.spec.peer?.name !== to.spec.peer?.name;
  }
  return false;
}

/** One line for people, logs and tests: `1-3d430f3338 neighbour vxlan0 10.0.0.3 {"mac":"02:42:0a:00:00:03"}`. */
export function formatObject(object: KernelObject): string {
  const spec = JSON.stringify(object.spec);
  return spec === '{}' ? idOf(object) : `${idOf(object)} ${spec}`;
}

/** An object in a namespace goes with it at the latest. */
function within(namespace: string, parent?: ObjectId): { readonly parent?: ObjectId } {
  if (parent !== undefined) return { parent };
  return namespace === HOST ? {} : { parent: netnsId(namespace) };
}

/** One way to write each kind, for what is wanted and what is there: fields in one order. */
export const object = {
  netns(name: string, inode?: string): Netns {
    return { kind: 'netns', namespace: HOST, key: `netns ${name}`, name, spec: inode === undefined ? {} : { inode } };
  },
  sysctl(namespace: string, path: string, value: string, parent?: ObjectId): Sysctl {
    return { kind: 'sysctl', namespace, key: `sysctl ${path}`, path, ...within(namespace, parent), spec: { value } };
  },
  bridge(namespace: string, name: string, { mac, mtu }: BridgeLink['spec']): BridgeLink {
    return { kind: 'bridge', namespace, key: `link ${name}`, name, ...within(namespace), spec: { mac, mtu } };
  },
  vxlan(namespace: string, name: string, spec: VxlanLink['spec']): VxlanLink {
    const { id, local, port, mac, mtu, master, flags, gro } = spec;
    const ordered = { id, local, port, mac, mtu, master, flags: orderFlags(flags), gro };
    return { kind: 'vxlan', namespace, key: `link ${name}`, name, ...within(namespace), spec: ordered };
  },
  veth(namespace: string, name: string, spec: VethLink['spec']): VethLink {
    const { mac, mtu, master, flags, peer } = spec;
    const far = peer && { namespace: peer.namespace, name: peer.name, mac: peer.mac, mtu: peer.mtu };
    const ordered = { mac, mtu, master, flags: orderFlags(flags), ...(far && { peer: far }) };
    return { kind: 'veth', namespace, key: `link ${name}`, name, ...within(namespace), spec: ordered };
  },
  stray(namespace: string, name: string): StrayLink {
    return { kind: 'stray', namespace, key: `link ${name}`, name, ...within(namespace), spec: {} };
  },
  up(namespace: string, name: string, parent?: ObjectId): Up {
    return { kind: 'up', namespace, key: `up ${name}`, name, ...within(namespace, parent), spec: {} };
  },
  address(
    namespace: string,
    device: string,
    address: string,
    parent: ObjectId,
    { connected } = { connected: true },
  ): AddressObject {
    const spec = connected ? {} : ({ connected: false } as const);
    return { kind: 'address', namespace, key: `address ${device} ${address}`, device, address, parent, spec };
  },
  route(namespace: string, dst: string, { via, device }: RouteObject['spec'], parent: ObjectId): RouteObject {
    const spec = { ...(via === undefined ? {} : { via }), device };
    return { kind: 'route', namespace, key: `route ${dst}`, dst, parent, spec };
  },
  neighbour(namespace: string, device: string, address: string, mac: string): Neighbour {
    const parent = linkId(namespace, device);
    return {
      kind: 'neighbour',
      namespace,
      key: `neighbour ${device} ${address}`,
      device,
      address,
      parent,
      spec: { mac },
    };
  },
  vxlanFdb(namespace: string, device: string, mac: string, via: string): VxlanFdb {
    const parent = linkId(namespace, device);
    return { kind: 'vxlan-fdb', namespace, key: `vxlan-fdb ${device} ${mac}`, device, mac, parent, spec: { via } };
  },
  bridgeFdb(namespace: string, bridge: string, mac: string, port: string): BridgeFdb {
    const parent = linkId(namespace, port);
    return { kind: 'bridge-fdb', namespace, key: `bridge-fdb ${bridge} ${mac}`, bridge, mac, parent, spec: { port } };
  },
  ingress(namespace: string, name: string): Ingress {
    const parent = linkId(namespace, name);
    return { kind: 'ingress', namespace, key: `ingress ${name}`, name, parent, spec: {} };
  },
  redirect(namespace: string, device: string, mac: string, port?: string, handle?: number): RedirectObject {
    return {
      kind: 'redirect',
      namespace,
      key: `redirect ${device} ${mac}`,
      device,
      mac,
      parent: `${namespace} ingress ${device}`,
      ...(port !== undefined && { leadsTo: linkId(namespace, port) }),
      ...(handle !== undefined && { handle }),
      spec: port === undefined ? {} : { port },
    };
  },
  shortcut(namespace: string, device: string, { mac, addresses, prefix, to }: ShortcutObject['spec']): ShortcutObject {
    return {
      kind: 'shortcut',
      namespace,
      key: `shortcut ${device}`,
      device,
      parent: linkId(namespace, device),
      ...(to !== undefined && { leadsTo: linkId(namespace, to) }),
      spec: { mac, addresses: addresses.toSorted(), prefix, ...(to !== undefined && { to }) },
    };
  },
  socket(namespace: string, { transport, address, port, network, inode }: SocketPlace): SocketObject {
    const key = `socket ${transport} ${address} ${port}`;
    const place = { transport, address, port, ...(network !== undefined && { network }) };
    if (inode !== undefined) return { kind: 'socket', namespace, key: `${key} of ${inode}`, ...place, inode, spec: {} };
    return { kind: 'socket', namespace, key, ...place, ...within(namespace), spec: {} };
  },
} as const;

export type SocketPlace = Pick<SocketObject, 'transport' | 'address' | 'port' | 'network' | 'inode'>;

function orderFlags({ learning, unicastFlood, isolated, locked }: PortFlags): PortFlags {
  return { learning, unicastFlood, isolated, locked };
}
