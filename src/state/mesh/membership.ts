/**
 * What people do to a mesh, and ask of it, on one host of it or on one that waits for others with its token. On a store
 * there is none of it: there the store says who belongs to the cluster.
 *
 * Questions are answered from memory, at once and without a promise: they are asked once a second by people who look. All
 * times are ISO 8601 in UTC; durations are in milliseconds; links and places are written `192.0.2.1:6783`,
 * `[2001:db8::1]:6783` or `h1.example:6783`.
 */
export interface Membership extends Joining, Admission, Departing, Sight {}

/** How this host comes to its cluster and to the others. Works while it waits, too. */
export interface Joining {
  standing(): MeshStanding;
  /**
   * Dials these places from now on, also after a restart; with `replace` these alone. A host whose cluster is empty, or that
   * has none, joins the cluster that it finds there; `token` is the text of one, needed where the host has none yet.
   *
   * Resolves when all that was asked is on disk and each place was tried, for at most 5 s. May repeat.
   * @throws Refusal 'invalid' for a place or a token that is none; 'forbidden' when nobody there takes the token, with their
   *   reason; 'conflict' when this host's cluster is not empty and another answers: the sentence holds the one command that
   *   gets out of it; 'unavailable' when the disk is full. Nothing has changed then, no target either
   */
  connect(request: ConnectRequest): Promise<Connected>;
  /**
   * Dials these places no more, also after a restart; links that stand go on.
   * @throws Refusal 'not-found' for one that is no target by hand: then none is dropped
   */
  disconnect(targets: readonly string[]): Promise<void>;
  /** Places that are dialled: those given by hand, and while this host waits those that it heard of. */
  targets(): readonly TargetState[];
}

/** How this host goes for good. */
export interface Departing {
  /**
   * Hands what this host owns on to another that can be reached, and says no more that it is there: before its state is
   * removed. Who was the only admin makes that one an admin first. None can be reached, or there is none: nothing is handed
   * on, and an admin has to remove this host. @returns who has it now
   */
  depart(): Promise<HostName | undefined>;
}

/** What an admin does. Hosts are named by name, id, or the beginning of an id that is no other's. */
export interface Admission {
  /** The text that lets a host in. @throws Refusal 'forbidden' when this host is no admin or does not know it, naming who does */
  token(): Promise<string>;
  /** Makes another; the old one is refused by name from then on, everywhere. @throws Refusal 'forbidden' | 'unavailable' */
  rotateToken(): Promise<string>;
  /**
   * Locks a host out for good; what it held is taken over. With `force` at once, without waiting for the other hosts.
   * `token` is the new one, when the old had to be replaced.
   * @throws Refusal 'not-found'; 'forbidden' when this host is no admin; 'conflict' when the host lives and `force` was
   * not given, or is this one
   */
  remove(host: string, options: { readonly force: boolean }): Promise<HostName & { readonly token?: string }>;
  /** Makes a member an admin. May repeat. @throws Refusal 'not-found' | 'forbidden' */
  promote(host: string): Promise<HostName>;
}

/** What this host knows of the mesh. */
export interface Sight {
  /** Every admitted host, by name; of a host that waits those that it has met. */
  peers(): readonly PeerState[];
  /** The links of this host, and what it tries to have links with. */
  connections(): readonly ConnectionState[];
  /** Who owns which numbers, as far as this host holds the sheets: by ring, then owner. */
  ranges(): readonly RangeState[];
}

export interface ConnectRequest {
  readonly targets: readonly string[];
  readonly token?: string;
  readonly replace: boolean;
}

export interface Connected {
  /** The id of the cluster that this host belongs to, or does as soon as it has begun anew; none while it goes on waiting. */
  readonly cluster?: string;
  /**
   * Lets the daemon's parts begin anew, in that cluster: the API goes away for a moment, so it is called when the asker has
   * been answered or has gone. None where nothing changes. Whoever dies before begins there anyway: it is on disk.
   */
  readonly restart?: () => void;
  /** One for each place of the request, in its order. */
  readonly reached: readonly Reached[];
}

export interface Reached {
  readonly target: string;
  /** Who answered. */
  readonly host?: HostName;
  /** Why nobody did, or what is wrong with it all the same, such as a blocked UDP port: a sentence that says what to do. */
  readonly why?: string;
}

export type MeshStanding = Member | Waiting;

export interface Member {
  readonly kind: 'member';
  /** 64 hexadecimal digits. */
  readonly cluster: string;
  readonly role: Role;
  /** Nothing runs in it yet: it may be left for another without asking. */
  readonly empty: boolean;
  /** Where other hosts connect to this one. */
  readonly place: string;
  /** What is wrong, and what to do. */
  readonly problem?: string;
}

/** It has a token and no cluster. */
export interface Waiting {
  readonly kind: 'waiting';
  /** Others that wait with the same token. */
  readonly met: readonly HostName[];
  readonly place: string;
  readonly problem?: string;
}

export type Role = 'admin' | 'member';

export interface HostName {
  readonly id: string;
  /** None as long as it is known by its id alone. */
  readonly name?: string;
}

export interface PeerState extends HostName {
  readonly role: Role;
  /** `suspect`: does not answer and is given a moment; `left`: said so itself. */
  readonly state: 'alive' | 'suspect' | 'lost' | 'left';
  readonly self: boolean;
  /** Where it takes links. */
  readonly addresses: readonly string[];
  /** As it says itself; the round-trip time of this host's own links only. */
  readonly links: readonly (HostName & { readonly rtt?: number })[];
}

export interface ConnectionState {
  /** None while nobody has answered at the address. */
  readonly peer?: HostName;
  readonly address: string;
  /** By this host; else the other did. */
  readonly dialled: boolean;
  readonly state: LinkState;
  /** When it came to this state. */
  readonly since: string;
  readonly rtt?: number;
  /** Why it is not established, or what is wrong with it all the same. */
  readonly why?: string;
}

/** `retrying`: after a pause it is tried again; `refused`: one of the two will not have it, and time alone changes nothing. */
export type LinkState = 'established' | 'connecting' | 'retrying' | 'refused';

export interface TargetState {
  readonly address: string;
  /** Given by hand; else heard of. */
  readonly byHand: boolean;
  /** Who answered there last. */
  readonly host?: HostName;
  readonly state: LinkState;
  readonly why?: string;
  /** When it is tried again. */
  readonly next?: string;
}

/** What one host owns of one ring. */
export interface RangeState {
  readonly numbers: Numbers;
  readonly owner: HostName;
  /** Both ends included, in order: addresses as text, VNIs as decimals. At most 64; `more` says how many are left out. */
  readonly spans: readonly { readonly first: string; readonly last: string }[];
  readonly more: number;
  /** How many numbers there are in all spans. */
  readonly count: bigint;
  /** How many of them somebody holds, where this host knows. */
  readonly used?: number;
  /** Whether the owner lives, and can be asked for some. */
  readonly reachable: boolean;
  /** Numbers that another says to own, too: what to do stands in the sentence. */
  readonly conflicts: readonly string[];
}

export type Numbers =
  | { readonly kind: 'addresses'; readonly network: HostName; readonly family: 4 | 6 }
  | { readonly kind: 'subnets'; readonly family: 4 | 6 }
  | { readonly kind: 'vnis' };
