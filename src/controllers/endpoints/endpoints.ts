import type { Endpoint } from '../../model/endpoint.ts';
import type { NamedPort } from '../../model/named-port.ts';
import type { Network } from '../../model/network.ts';

/** Sandboxes of this host and their places on networks. */
export interface Endpoints {
  /**
   * Makes a sandbox of our own, or adopts a namespace (a namespace that was adopted is found again), with its first
   * endpoints: overlays come first, the way out after them. Nothing of a failed attempt is left. @throws Refusal, KernelError
   */
  openSandbox(request: OpenSandbox): Promise<Sandbox>;
  /**
   * Gives a sandbox an endpoint on a network: address, name, link. Done when the container can use it. Nothing of a failed
   * attempt is left. @throws Refusal, KernelError
   */
  connect(request: Connect): Promise<Endpoint>;
  /** Takes it back; the address rests. A store that is away gets it back later. @throws Refusal 'not-found' */
  disconnect(sandbox: string, network: string): Promise<void>;
  /**
   * Takes back what a container of a lost host holds on a network: record, name, addresses. If that host comes back, the
   * container takes its place again where that is still free. @throws Refusal 'not-found' | 'conflict' (its host lives)
   */
  expel(network: Pick<Network, 'id' | 'name'>, container: string): Promise<void>;
  /**
   * As `disconnect` for a namespace of others, which is let go with its last endpoint.
   * @throws Refusal 'not-found' | 'invalid'
   */
  detach(source: Adoptable, network: string): Promise<void>;
  /**
   * Puts this host itself on a network, with an interface of its own. One that is on it already as is wished stays as it is.
   * @throws Refusal, KernelError
   */
  expose(wishes: Expose): Promise<Exposed>;
  /**
   * Takes it off again.
   * @returns what it had; undefined when it was not on it.
   * @throws Refusal 'not-found' | 'conflict' (another address)
   */
  hide(network: string, address?: string): Promise<Exposed | undefined>;
  /** Takes back all endpoints of a sandbox and lets the namespace go. May repeat. */
  closeSandbox(sandbox: string): Promise<void>;
  /** One sandbox of this host, if it is there. Never waits. */
  sandbox(id: string): Sandbox | undefined;
  /** Sandboxes of this host. Never waits. */
  sandboxes(): readonly Sandbox[];
  /** Every endpoint on a network, on all hosts: from memory if this host is on it, else read from the store. */
  list(network: string): Promise<readonly EndpointState[]>;
}

/** A network namespace that is not ours. */
export type Adoptable = { readonly path: string } | { readonly pid: number };

export interface OpenSandbox {
  /** A namespace that exists; without it an empty one is made. */
  readonly adopt?: Adoptable;
  /**
   * Whether it gets the way out of the host. A container's comes and goes with its networks: it has one while it is on a
   * network that is not internal, or was made without any.
   */
  readonly exit: boolean;
  readonly container?: { readonly id: string; readonly name: string };
  /** Who is asked for names outside, instead of the host's resolvers. */
  readonly dns?: readonly string[];
  /** Its first endpoints, in this order. */
  readonly connect?: readonly ConnectRequest[];
}

export interface Sandbox {
  readonly id: string;
  /** Whether it is the host itself. */
  readonly host?: true;
  /** `/run/skein/netns/<id>` */
  readonly key: string;
  readonly container?: { readonly id: string; readonly name: string };
  /** By network id. */
  readonly endpoints: ReadonlyMap<string, LocalEndpoint>;
  /** Place on the gateway bridge, if it has one. */
  readonly exit?: { readonly interface: string; readonly mac: string; readonly addresses: readonly string[] };
}

export interface LocalEndpoint {
  readonly endpoint: Endpoint;
  readonly interface: string;
  readonly port: string;
  /** Of the host itself, see `Expose`. */
  readonly masquerade?: boolean | undefined;
}

export interface Expose {
  /** Name or id. */
  readonly network: string;
  /** The host's own if none is given, which is an alias else. */
  readonly name?: string;
  readonly ip?: string;
  readonly ip6?: string;
  /** Others, see `ConnectRequest`. */
  readonly addresses?: readonly string[];
  /** Whether what this host forwards onto the network has its address there; it has unless said. */
  readonly masquerade?: boolean;
}

/** The host itself on a network. */
export interface Exposed {
  readonly endpoint: Endpoint;
  readonly interface: string;
  readonly masquerade: boolean;
}

export interface EndpointState {
  readonly endpoint: Endpoint;
  readonly lost: boolean;
}

export interface Connect extends ConnectRequest {
  readonly sandbox: string;
}

export interface ConnectRequest {
  /** Name or id. */
  readonly network: string;
  readonly name: string;
  readonly aliases: readonly string[];
  readonly ip?: string;
  readonly ip6?: string;
  /** Others than these, as `model/address-wish.ts` reads them. */
  readonly addresses?: readonly string[];
  readonly mac?: string;
  /** Of the host itself, see `Expose`. */
  readonly masquerade?: boolean;
  /** What it listens at, to be found by name. */
  readonly ports?: readonly NamedPort[];
}
