import { keyOf, type PieceKey } from '../../dataplane/dataplane.ts';
import { type MemberOf, Membership, type MembershipNeeds } from './membership.ts';
import type { Place } from './sandbox-record.ts';

/** BR_MAX_PORTS of the kernel's net/bridge/br_private.h, without port 0. */
export const mostBridgePorts = 1023;

/**
 * The networks that this host is on, with the names of their ports. A network is in the kernel exactly while a place on it
 * is there or being made; both are decided here, at once and in one go with the change that is sent, so that a connection
 * and the removal of the last one cannot pass each other.
 */
export class Overlays {
  readonly #needs: MembershipNeeds;
  readonly #memberships = new Map<string, Membership>();
  /** By network: the place that has each port's name. */
  readonly #ports = new Map<string, Map<string, string>>();

  constructor(needs: MembershipNeeds) {
    this.#needs = needs;
  }

  /** This host's part in a network; it begins to follow the network if it did not yet. */
  membership(network: MemberOf): Membership {
    const known = this.#memberships.get(network.id);
    if (known !== undefined) return known;
    const membership = new Membership(network, this.#needs);
    this.#memberships.set(network.id, membership);
    membership.open();
    return membership;
  }

  /** The part in a network, if this host has one. */
  find(network: string): Membership | undefined {
    return this.#memberships.get(network);
  }

  /** Whether the bridge, of which `vxlan0` has one port, takes no more of them. */
  isFull(network: string): boolean {
    return (this.#ports.get(network)?.size ?? 0) >= mostBridgePorts - 1;
  }

  /** `vethN` with the lowest N that no place on the network has; it is the place's from now on. */
  takePort(network: string, place: string): string {
    const ports = this.#portsOf(network);
    let n = 0;
    while (ports.has(`veth${n}`)) n += 1;
    ports.set(`veth${n}`, place);
    return `veth${n}`;
  }

  addPort({ network, port, id }: Pick<Place, 'network' | 'port' | 'id'>): void {
    this.#portsOf(network).set(port, id);
  }

  /**
   * What goes with these places; nobody uses their ports any more. May be asked again for the same places: what others use
   * meanwhile stays. `closing` is to be closed after the change, or given to `stay` when that failed.
   */
  leave(places: readonly Place[]): { readonly keys: readonly PieceKey[]; readonly closing: readonly Membership[] } {
    for (const { network, port, id } of places) {
      const ports = this.#portsOf(network);
      if (ports.get(port) === id) ports.delete(port);
      if (ports.size === 0) this.#ports.delete(network);
    }
    const unused = [...new Set(places.map(({ network }) => network))].filter((network) => !this.#ports.has(network));
    const closing = unused.flatMap((network) => this.#memberships.get(network) ?? []);
    for (const network of unused) this.#memberships.delete(network);
    const keys = [
      ...places.map(({ network, id }) => keyOf({ kind: 'port', network, endpoint: id })),
      ...closing.flatMap((membership) => membership.uninstall()),
      ...unused.map((id) => keyOf({ kind: 'network', id })),
    ];
    return { keys, closing };
  }

  /** The change that was to take these out of the kernel failed: until `leave` is asked again, they go on. */
  stay(left: readonly Membership[]): void {
    for (const membership of left) {
      // Whoever has come to the network since follows it anew, with the same pieces.
      if (this.#memberships.has(membership.network)) void membership.close();
      else {
        this.#memberships.set(membership.network, membership);
        void membership.install();
      }
    }
  }

  hostChanged(host: string): void {
    for (const membership of this.#memberships.values()) membership.hostChanged(host);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#memberships.values()].map((membership) => membership.close()));
  }

  #portsOf(network: string): Map<string, string> {
    const ports = this.#ports.get(network) ?? new Map<string, string>();
    this.#ports.set(network, ports);
    return ports;
  }
}
