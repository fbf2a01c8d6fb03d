import { type Change, keyOf, type Piece, type PieceKey } from '../../dataplane/dataplane.ts';
import type { Network } from '../../model/network.ts';
import { Membership, type MembershipNeeds } from './membership.ts';
import { networkPiece } from './pieces.ts';
import type { Place } from './sandbox-record.ts';

/**
 * The networks that this host is on, with the names of their ports. A network is in the kernel exactly while a place on it
 * is there or being made; both are decided here, at once and in one go with the change that is sent, so that a connection
 * and the removal of the last one cannot pass each other.
 */
export class Overlays {
  readonly #needs: MembershipNeeds;
  readonly #memberships = new Map<string, Membership>();
  readonly #ports = new Map<string, Set<string>>();

  constructor(needs: MembershipNeeds) {
    this.#needs = needs;
  }

  /** This host's part in a network; it begins to follow the network if it did not yet. */
  membership(network: string): Membership {
    const known = this.#memberships.get(network);
    if (known !== undefined) return known;
    const membership = new Membership(network, this.#needs);
    this.#memberships.set(network, membership);
    membership.open();
    return membership;
  }

  /** The part in a network, if this host has one. */
  find(network: string): Membership | undefined {
    return this.#memberships.get(network);
  }

  /** `vethN` with the lowest N that no place on the network has; it is used from now on. */
  takePort(network: string): string {
    const used = this.#portsOf(network);
    let n = 0;
    while (used.has(`veth${n}`)) n += 1;
    used.add(`veth${n}`);
    return `veth${n}`;
  }

  addPort({ network, port }: Pick<Place, 'network' | 'port'>): void {
    this.#portsOf(network).add(port);
  }

  /** The network itself and, where it is not in the kernel yet, its remote endpoints. */
  pieces(network: Network): readonly Piece[] {
    const membership = this.membership(network.id);
    return [networkPiece(network), ...(membership.installed ? [] : membership.install())];
  }

  /** What goes with these places; nobody uses their ports any more. `closing` is to be awaited after the change. */
  leave(places: readonly Place[]): { readonly keys: readonly PieceKey[]; readonly closing: readonly Membership[] } {
    for (const { network, port } of places) {
      const used = this.#portsOf(network);
      used.delete(port);
      if (used.size === 0) this.#ports.delete(network);
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

  /** After a change failed that may have carried a network's remote endpoints for others too: all of it again. */
  again(networks: readonly Network[]): Change {
    const installed = networks.filter(({ id }) => this.#memberships.get(id)?.installed === true && this.#ports.has(id));
    return { put: installed.flatMap((network) => [networkPiece(network), ...this.membership(network.id).install()]) };
  }

  hostChanged(host: string): void {
    for (const membership of this.#memberships.values()) membership.hostChanged(host);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#memberships.values()].map((membership) => membership.close()));
  }

  #portsOf(network: string): Set<string> {
    const used = this.#ports.get(network) ?? new Set<string>();
    this.#ports.set(network, used);
    return used;
  }
}
