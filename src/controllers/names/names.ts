import type { LookedUp, NamedPort, NameServerStatus } from '../../dns/dns.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { NameRecord } from '../../model/name-record.ts';

/** The names that containers of this host may ask for, as people see them and add to them. */
export interface Names {
  /** What a container is answered now, or the host where none is named. @throws ParseError, Refusal 'not-found' */
  lookup(lookup: NameLookup): Promise<LookedUp>;
  /** Every name that is known here, one entry an endpoint or record. Never waits. */
  list(): readonly KnownName[];
  status(): Promise<NamesStatus>;
  /** A name that was given by hand is answered from now on. Told in the background. May repeat. */
  record(record: NameRecord, lost: boolean): void;
  /** May repeat. */
  recordGone(id: string): void;
}

/**
 * What endpoints tell of. All of it returns at once and is answered in the order in which it was told; what is told in one
 * turn of the event loop becomes one change.
 */
export interface NameFeed {
  /** What this host promised to a sandbox now; undefined: it is gone. */
  sandbox(id: string, sandbox: NamedSandbox | undefined): void;
  /** An endpoint of another host, which can be reached from here. */
  put(endpoint: Endpoint, lost: boolean): void;
  /** An endpoint of another host that is gone or out of reach. */
  remove(endpoint: string): void;
  /** This host is on a network. */
  network(id: string, subnets: readonly string[]): void;
  /** It left it: the endpoints that others have there are forgotten. */
  leave(network: string): void;
  /** Resolves when questions are answered from all that was told before. Never fails. */
  told(): Promise<void>;
}

export interface NamedSandbox {
  /** Those that are connected, in the order in which their networks are asked. */
  readonly endpoints: readonly Endpoint[];
  /** Those that are being taken away: it sees nothing by them, and may yet ask from there. */
  readonly left: readonly Endpoint[];
  /** Its addresses on the gateway bridge, without prefix length, with that of the link. */
  readonly exits: readonly string[];
  /** Who is asked for names outside: the host's resolvers, these, or (an empty list) nobody. */
  readonly resolvers: 'host' | readonly string[];
}

export interface NameLookup {
  /** Id of a sandbox of this host. */
  readonly sandbox?: string | undefined;
  /** With type PTR also an address. */
  readonly name: string;
  /** `AAAA`, or `TYPE28`. */
  readonly type: string;
}

export interface KnownName {
  /** Of the endpoint or the record. */
  readonly id: string;
  /** The first is what its addresses are called. */
  readonly names: readonly string[];
  /** None: it is seen on all networks. `name` is unknown where this host is not on it. */
  readonly network?: { readonly id: string; readonly name?: string | undefined };
  /** Without prefix length. */
  readonly addresses: readonly string[];
  readonly ports: readonly NamedPort[];
  /** Id of its host. */
  readonly host: string;
  readonly container?: { readonly id: string; readonly name: string };
  /** Whether it is its host itself. */
  readonly itself: boolean;
  /** Its host is lost: nobody is sent there. */
  readonly lost: boolean;
  readonly byHand: boolean;
}

export interface NamesStatus extends NameServerStatus {
  /** Names end in them. */
  readonly domains: readonly string[];
  /** The store is away since then: what was known before of other hosts goes on being answered. */
  readonly staleSince?: string;
  /** Why questions will not wait for the next daemon, while it is restarted. */
  readonly unheld?: string;
}
