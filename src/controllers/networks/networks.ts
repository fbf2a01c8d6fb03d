import type { Network } from '../../model/network.ts';

/** The cluster's networks, as seen from this host. */
export interface Networks {
  /** @throws Refusal 'invalid' | 'conflict' | 'unsupported' | 'unavailable' */
  create(request: CreateNetwork): Promise<Network>;
  /** Every network, by name. Never waits. */
  list(): readonly Network[];
  /** By full name, full id or unambiguous start of the id. @throws Refusal 'not-found' | 'invalid' (ambiguous) */
  find(nameOrId: string): Network;
  /** @throws Refusal 'not-found' | 'forbidden' (has endpoints) | 'unavailable' */
  remove(nameOrId: string): Promise<Network>;
  /** The network as it is now, from the store: undefined when it is gone or being removed. @throws Refusal 'unavailable' */
  confirm(id: string): Promise<Network | undefined>;
  close(): Promise<void>;
}

/** As Docker's `network create` takes it. */
export interface CreateNetwork {
  readonly name: string;
  readonly driver?: string;
  readonly subnets: readonly {
    readonly subnet: string;
    readonly gateway?: string;
  }[];
  readonly ipv6: boolean;
  readonly labels: Readonly<Record<string, string>>;
}
