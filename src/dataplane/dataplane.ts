/**
 * What the kernel of this host should hold, said in pieces, and the one thing that makes it so.
 *
 * Every piece stands for a set of kernel objects (namespaces, links, addresses, routes, neighbours, FDB entries, sysctls,
 * nftables chains and elements), found by a pure function. One pure diff between those and the kernel's own dump finds
 * the steps: the same for first set-up, a change, repair and restart. A change costs what it touches, not what is there.
 *
 * Pieces may come in any order: one whose network, sandbox, underlay or gateway bridge is missing stands for nothing until
 * it comes. When two ask for one entry (an endpoint's old and new place), the later one has it. What someone takes away in
 * the host's or a network's namespace is put back within a second, and logged; `repair` finds everything else.
 */
export interface Dataplane {
  /**
   * Makes the kernel hold exactly these pieces: reads what is there, and adds, changes and removes. May repeat.
   * @throws KernelError
   */
  set(pieces: readonly Piece[]): Promise<Repaired>;
  /**
   * Puts (adds or replaces) and removes pieces. When it fails, the pieces are as before and what was begun is taken back.
   * A removed port carries no packet any more when this returns; its link may be deleted a little later.
   * @throws KernelError
   */
  change(change: Change): Promise<void>;
  /** Reads the kernel again and puts right what differs. @throws KernelError */
  repair(): Promise<Repaired>;
  /**
   * Opens a network namespace that is not ours and keeps it open, until `change` has put a sandbox piece with this id or
   * the process ends. One that a sandbox has already is `pinned`.
   * @throws Refusal 'invalid' when the path or pid is no network namespace
   */
  adopt(source: { readonly path: string } | { readonly pid: number }): Promise<Adopted>;
  /** Nobody answers at sockets that were told of under these ids: the next repair tells of them again, under others. */
  unanswered(sockets: readonly string[]): Promise<void>;
  /** What the kernel of this host says of itself: interfaces, routes, boot id. */
  look(): Promise<HostView>;
  /** Stops watching and lets go; the kernel keeps what it has. May be called twice. */
  close(): Promise<void>;
}

export interface Change {
  readonly put?: readonly Piece[];
  readonly remove?: readonly PieceKey[];
}

/** What was found wrong and put right, in sentences. */
export interface Repaired {
  readonly steps: readonly string[];
}

export interface Identity {
  readonly bootId: string;
  readonly inode: string;
}

export interface Adopted extends Identity {
  readonly pinned: boolean;
}

export interface HostView {
  readonly bootId: string;
  readonly interfaces: readonly {
    readonly name: string;
    readonly mtu: number;
    readonly up: boolean;
    /** `10.0.0.2/24` */
    readonly addresses: readonly string[];
  }[];
  /** Prefixes of the main table, the default routes left out, with the interface that they leave by. */
  readonly routes: readonly { readonly prefix: string; readonly interface: string }[];
  /**
   * Prefixes of the main table, the default routes left out, that lead nowhere: `blackhole`, `unreachable`, `prohibit`,
   * `throw`.
   */
  readonly closed: readonly { readonly prefix: string; readonly type: string }[];
  /** Addresses that routes of the main table go by, the default routes too. */
  readonly hops: readonly { readonly address: string; readonly interface: string }[];
  /** The namespaces that are pinned, with their inodes. */
  readonly pinned: ReadonlyMap<string, string>;
}

/** The interface that has the data address: the packets of the overlays leave and arrive by it. */
export interface Carrier {
  readonly device: string;
  readonly mtu: number;
  /** `unplugged` is up and has nothing at its other end. */
  readonly state: 'up' | 'unplugged' | 'down';
}

/** Addresses, prefixes and MACs are canonical text. */
export type Piece =
  | UnderlayPiece
  | PeerPiece
  | GatewayPiece
  | SandboxPiece
  | NetworkPiece
  | RemotePiece
  | PortPiece
  | ExitPiece
  | ListenerPiece;

/** How VXLAN packets of this host leave and arrive: the guard, and no connection tracking for them. At most one. */
export interface UnderlayPiece {
  readonly kind: 'underlay';
  /** This host's data address: `local` of every vxlan device. */
  readonly data: string;
  readonly port: number;
}

/** A host whose VXLAN packets are let in. */
export interface PeerPiece {
  readonly kind: 'peer';
  readonly data: string;
}

/**
 * `skein_gwbridge`: the bridge out of this host, its addresses (which are the sandboxes' default gateways), masquerade.
 * At most one.
 */
export interface GatewayPiece {
  readonly kind: 'gateway';
  /** `172.18.0.1/16`, and one IPv6 address. */
  readonly addresses: readonly string[];
  readonly mtu: number;
}

/**
 * A container's network namespace, pinned as `/run/skein/netns/<id>`; or the host itself, which is on a network as a
 * container is.
 */
export interface SandboxPiece {
  readonly kind: 'sandbox';
  readonly id: string;
  /**
   * The host's own namespace: only the interfaces in it are ours. And the families of which the host forwards packets, for
   * as long as this is there: others may have come to live by that, so it should not go with the last port.
   */
  readonly host?: { readonly forwards: readonly (4 | 6)[] };
  /** Ours to make and to remove, or adopted: `identity` is then what was adopted. */
  readonly adopted?: Identity;
}

/** A network on this host: its namespace with `br0` and `vxlan0`. There only while it has a port. */
export interface NetworkPiece {
  readonly kind: 'network';
  readonly id: string;
  /** `1-3d430f3338`: pinned as `/run/skein/netns/<namespace>`. */
  readonly namespace: string;
  readonly vni: number;
  readonly mtu: number;
  /** Addresses of `br0`, with their prefix length: the same on every host. */
  readonly gateways: readonly string[];
  /**
   * Addresses, without prefix length, at which names are answered: also `br0`'s, with sockets, and on the link for every
   * port that has an address of the family. Of several ports of a sandbox the one with the first interface leads there.
   */
  readonly answers: readonly string[];
  /** Its subnets, `10.0.1.0/24`, where they do not reach each other. There are no gateways then. */
  readonly apart?: readonly string[];
}

/** An endpoint on another host: FDB and neighbour entries. */
export interface RemotePiece {
  readonly kind: 'remote';
  readonly network: string;
  readonly endpoint: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  /** The data address of its host. */
  readonly via: string;
}

/** An endpoint here: a veth from `br0` into a sandbox, with its anti-spoof rules. */
export interface PortPiece {
  readonly kind: 'port';
  readonly network: string;
  readonly endpoint: string;
  readonly sandbox: string;
  /** Name in the network's namespace, `vethN`. */
  readonly port: string;
  /** Name in the sandbox, `ethN`; on the host `skein-` and 9 hexadecimal digits. */
  readonly interface: string;
  readonly mac: string;
  /** `10.0.0.2/24` */
  readonly addresses: readonly string[];
  /**
   * On the host: that it forwards packets onto the network, and whether with its own address there. Unless said, only
   * what was translated.
   */
  readonly forwards?: 'masqueraded' | 'as-it-came';
}

/** A sandbox's way out: a veth from the gateway bridge, default routes. */
export interface ExitPiece {
  readonly kind: 'exit';
  readonly sandbox: string;
  /** Name in the host's namespace, `veth` and 7 hexadecimal digits. */
  readonly port: string;
  readonly interface: string;
  readonly mac: string;
  /** `172.18.0.2/16`, and one IPv6 address. */
  readonly addresses: readonly string[];
}

/**
 * Sockets of the host's namespace at which names are answered besides. Should the kernel refuse them, because another has
 * the place, that fails no change: it is logged, and tried again by every repair.
 */
export interface ListenerPiece {
  readonly kind: 'listener';
  /** Need not be there yet. */
  readonly address: string;
  readonly port: number;
}

/** What became of the sockets: first what is gone. */
export interface SocketChange {
  readonly put: readonly NameSocketPlace[];
  /** Ids. */
  readonly gone: readonly string[];
}

/**
 * A bound socket at which questions come in, listening if it is TCP's. What nobody reads waits in it, also while there is
 * no daemon.
 */
export interface NameSocketPlace {
  /** No other socket ever has it. */
  readonly id: string;
  /** Id of the network; a listener has none. */
  readonly network?: string;
  readonly transport: 'udp' | 'tcp';
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
  /** Belongs to whoever is told. */
  readonly fd: number;
}

declare const brand: unique symbol;
export type PieceKey = string & { readonly [brand]: 'PieceKey' };

/** What names a piece. */
export type PieceRef =
  | Pick<UnderlayPiece | GatewayPiece, 'kind'>
  | Pick<PeerPiece, 'kind' | 'data'>
  | Pick<SandboxPiece, 'kind' | 'id'>
  | Pick<NetworkPiece, 'kind' | 'id'>
  | Pick<RemotePiece, 'kind' | 'network' | 'endpoint'>
  | Pick<PortPiece, 'kind' | 'network' | 'endpoint'>
  | Pick<ExitPiece, 'kind' | 'sandbox'>
  | Pick<ListenerPiece, 'kind' | 'address' | 'port'>;

/** Two pieces with one key are the same thing, the later replacing the earlier. */
export function keyOf(piece: PieceRef): PieceKey {
  return textOf(piece) as PieceKey;
}

function textOf(piece: PieceRef): string {
  switch (piece.kind) {
    case 'underlay':
    case 'gateway':
      return piece.kind;
    case 'peer':
      return `peer ${piece.data}`;
    case 'sandbox':
    case 'network':
      return `${piece.kind} ${piece.id}`;
    case 'remote':
    case 'port':
      return `${piece.kind} ${piece.network} ${piece.endpoint}`;
    case 'exit':
      return `exit ${piece.sandbox}`;
    case 'listener':
      return `listener ${piece.address} ${piece.port}`;
  }
}
