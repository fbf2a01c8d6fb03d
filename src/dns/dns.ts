/**
 * Names for containers. The server answers whoever asks by one of the sockets that it was given; who that is, and which
 * networks it sees, follows from the socket's network and the address that the question came from, which the rules at each
 * port guarantee. What it knows it is told; it never asks the store.
 *
 * What an asker may have under way at others is bounded, and what it costs the others. Not bounded is how often it asks:
 * all share one thread, so that whoever floods it with questions slows down the answers to everybody on the host.
 */
export interface NameServer {
  /**
   * Afterwards every question is answered from it. Puts replace what has their key; removing what is not there is no error.
   * @throws Error that names what could not be entered; all else is
   */
  change(change: NameChange): Promise<void>;
  /** What an asker is answered now. @throws ParseError for what is no name or no type */
  lookup(lookup: Lookup): Promise<LookedUp>;
  status(): Promise<NameServerStatus>;
  /**
   * What was read of the sockets is answered first, as far as that takes no second; what waits in them is left to whoever
   * has them besides. May be called twice.
   */
  close(): Promise<void>;
}

export interface NameChange {
  /**
   * What is new or different, each whole, entered in this order and answered from at once: sockets belong behind the names
   * and askers that their first questions are to be answered from.
   */
  readonly put?: readonly NameItem[];
  readonly remove?: readonly NameKey[];
}

export type NameItem = NamedNetwork | NamedEndpoint | Asker | NameSocket;
export type NameKey = {
  readonly [Kind in NameItem['kind']]: { readonly kind: Kind; readonly id: string };
}[NameItem['kind']];

/** What a network is called, which of its names are asked for as `NAME.NETWORK`. */
export interface NamedNetwork {
  readonly kind: 'network';
  readonly id: string;
  /** None, where nobody says it. */
  readonly name?: string | undefined;
  /** Addresses in them are this cluster's: nobody else is asked whose they are. */
  readonly subnets: readonly string[];
}

/** Names on one network: those of an endpoint, or a record made by hand. */
export interface NamedEndpoint {
  readonly kind: 'endpoint';
  readonly id: string;
  readonly network: string;
  /** What its address is called, then its other names. What no message can have is passed over. */
  readonly names: readonly string[];
  /** Without prefix length. What is none is passed over. */
  readonly addresses: readonly string[];
  readonly ports?: readonly NamedPort[];
  /** Its host does not renew its session: nobody is sent there, but the names stay this cluster's. */
  readonly lost?: boolean;
}

/** Answers SRV questions for `_NAME._PROTOCOL.…`. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
}

/** Who may ask, and what it sees. */
export interface Asker {
  readonly kind: 'asker';
  readonly id: string;
  /**
   * Of which network's sockets its questions come, and from which address; without one: from this host itself and its
   * neighbours there, see `Neighbours`.
   */
  readonly places: readonly { readonly network: string; readonly address?: string }[];
  /** The networks that it sees: of several that have a name the first one answers. */
  readonly networks: readonly string[];
  /** Who is asked for other names: the host's resolvers, these, or (an empty list) nobody. */
  readonly resolvers: 'host' | readonly string[];
}

/**
 * A bound socket, listening if it is TCP's. It belongs to the server from now on, and is closed when it is removed or
 * cannot be answered, then or later, which `onLost` is told. One that is put again with its descriptor stays as it is.
 */
export interface NameSocket {
  readonly kind: 'socket';
  readonly id: string;
  readonly network: string;
  readonly transport: 'udp' | 'tcp';
  readonly family: 4 | 6;
  readonly fd: number;
}

export interface Lookup {
  /** The id of one that was put. */
  readonly asker: string;
  readonly name: string;
  /** `AAAA`, or `TYPE28` (RFC 3597). */
  readonly type: string;
}

export interface LookedUp {
  /** `NOERROR`, `NXDOMAIN`, …: `RCODE23` where it has no name. */
  readonly status: string;
  /** It is our own answer; otherwise others gave it, or nobody did. */
  readonly own: boolean;
  /** Those that answer the question. */
  readonly records: readonly LookedUpRecord[];
  /** When nobody outside said anything that helps: who was to be asked. */
  readonly asked?: readonly OtherServer[];
}

export interface OtherServer {
  readonly address: string;
  /** It has said nothing since a question that it left unanswered. */
  readonly silent: boolean;
}

export interface LookedUpRecord {
  readonly name: string;
  /** In seconds. */
  readonly ttl: number;
  readonly type: string;
  /** As zone files have it; of a type that is not known here `\# LENGTH HEX` (RFC 3597). */
  readonly data: string;
}

export interface NameServerStatus {
  readonly endpoints: number;
  /** Questions since the start, and look-ups. */
  readonly questions: number;
  /** Of these, those that others were asked for. */
  readonly forwarded: number;
  /** Of those forwarded, those that nobody answered in time or all with an error, or that were too much at once. */
  readonly failed: number;
  readonly refused: number;
  /** The host's resolvers, as they are asked. */
  readonly resolvers: readonly OtherServer[];
}
