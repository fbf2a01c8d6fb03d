import type { Network } from '../../model/network.ts';
import type { SubnetRequest } from '../ipam/plan.ts';

/** The cluster's networks, as seen from this host. */
export interface Networks {
  /**
   * `warn` is told, in sentences, what works now and may surprise later.
   * @throws Refusal 'invalid' | 'conflict' | 'unsupported' | 'unavailable'
   */
  create(request: CreateNetwork, warn?: (sentence: string) => void): Promise<Network>;
  /** Every network, by name. Never waits. */
  list(): readonly Network[];
  /** By full id. Never waits. */
  get(id: string): Network | undefined;
  /** By full name, full id or unambiguous start of the id. @throws Refusal 'not-found' | 'invalid' (ambiguous) */
  find(nameOrId: string): Network;
  /**
   * As `find`, for who goes onto it: the default network is made if it is asked for and not there, and where subnets are
   * apart those that are asked for and not there are added. @throws Refusal 'not-found' | 'invalid' | 'conflict' | 'unavailable'
   */
  use(nameOrId: string, subnets?: readonly string[]): Promise<Network>;
  /** @throws Refusal 'not-found' | 'forbidden' (has endpoints) | 'unavailable' */
  remove(nameOrId: string): Promise<Network>;
  /** The network as it is now, from the store: undefined when it is gone or being removed. @throws Refusal 'unavailable' */
  confirm(id: string): Promise<Network | undefined>;
  /**
   * Afterwards a container of this host can be on the network: its VNI is its own, and its MTU fits this host's path; one
   * that is too large is lowered for all, unless it was asked for. @throws Refusal 'conflict' naming what is in the way
   */
  admit(id: string): Promise<void>;
  /** Calls back with a network that is new or was told again, and what it was before. @returns what ends it */
  onPut(tell: (network: Network, before: Network | undefined) => void): () => void;
  /** Calls back with the id of a network that is there no more. @returns what ends it */
  onGone(tell: (id: string) => void): () => void;
  /** Records that cannot be right together. Never waits. */
  problems(): readonly { readonly place: string; readonly reason: string }[];
  close(): Promise<void>;
}

/** As Docker's `network create` takes it. Addresses and prefixes are as people write them. */
export interface CreateNetwork {
  readonly name: string;
  readonly driver?: string;
  readonly subnets: readonly SubnetRequest[];
  readonly ipv6: boolean;
  /** Without a way out of the host. */
  readonly internal: boolean;
  readonly attachable: boolean;
  /** Whether several hosts can have one name; not unless said. */
  readonly names?: Network['names'];
  /** Whether its subnets do not reach each other, see `Network.apart`. */
  readonly apart?: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}
