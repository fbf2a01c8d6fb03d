import type { Dataplane } from '../../dataplane/dataplane.ts';
import { backoff } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import type { Network } from '../../model/network.ts';
import type { Hosts, PathProblem } from '../hosts/hosts.ts';
import type { Networks } from '../networks/networks.ts';
import { networkPiece, overlayOf } from './pieces.ts';
import { connectedPlaces } from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface SizesNeeds {
  readonly networks: Pick<Networks, 'list' | 'admit'>;
  readonly dataplane: Pick<Dataplane, 'change'>;
  readonly sandboxes: Sandboxes;
  /** Whatever is done to one sandbox is done here under its id. */
  readonly serial: Serial;
  readonly log: Log;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Keeps the MTU of networks here as their records say, and the records as this host's path can carry it. */
export class Sizes {
  readonly #needs: SizesNeeds;
  readonly #turns = new Serial();
  readonly #running = new Set<Promise<void>>();
  /** By network: those that cannot be made to fit the path of this host. */
  readonly #unfit = new Map<string, PathProblem>();

  constructor(needs: SizesNeeds) {
    this.#needs = needs;
  }

  /** The MTU of a network may be another than before, or the path of this host. Returns at once. */
  changed(network: string): void {
    const running = this.#turns.run(network, () => this.#retry(network)).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Whether the path of this host did not carry it when that was last looked at. */
  isUnfit(network: string): boolean {
    return this.#unfit.has(network);
  }

  /** Networks here that the path of this host does not carry. */
  problems(): readonly PathProblem[] {
    const here = new Set(this.#needs.sandboxes.networks());
    return [...this.#unfit.values()].filter(({ network }) => network !== undefined && here.has(network));
  }

  /** Looks at the networks here again whenever this host's own path is another. Ends when `signal` aborts. */
  async follow(hosts: Pick<Hosts, 'self' | 'watch'>): Promise<void> {
    const { sandboxes, signal } = this.#needs;
    let known = hosts.self.mtu;
    for await (const _ of hosts.watch({ signal })) {
      const { mtu } = hosts.self;
      if (mtu !== known) for (const network of sandboxes.networks()) this.changed(network);
      known = mtu;
    }
  }

  /** Resolves when nothing is tried any more. */
  async close(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #retry(id: string): Promise<void> {
    const { log, networks, signal } = this.#needs;
    for await (const _ of backoff({ first: 500, most: 10_000, signal })) {
      const found = () => networks.list().find((network) => network.id === id);
      if (found() === undefined) {
        this.#unfit.delete(id);
        return;
      }
      try {
        const unfit = await networks.admit(id).catch((error: unknown) => error);
        const network = found();
        if (network !== undefined) await this.#resize(network);
        if (unfit === undefined) {
          this.#unfit.delete(id);
          return;
        }
        if (!(unfit instanceof Refusal) || unfit.kind === 'unavailable') throw unfit;
        this.#note(id, network?.name ?? id, unfit);
        return;
      } catch (error) {
        log.debug('the MTU of a network could not be settled', { network: id, error });
      }
    }
  }

  #note(id: string, name: string, { message }: Refusal): void {
    const { log, now } = this.#needs;
    const sentence = `network ${name} does not fit this host: ${message}; make the path larger, or the network anew with a smaller MTU`;
    if (this.#unfit.get(id)?.sentence === sentence) return;
    this.#unfit.set(id, { kind: 'mtu', network: id, sentence, since: new Date(now()).toISOString() });
    log.error('a network does not fit this host', { network: id, advice: sentence });
  }

  /** The journal is behind until it is done, so that a death leads to the same again. */
  async #resize(network: Network): Promise<void> {
    const { dataplane, log, sandboxes, serial } = this.#needs;
    const overlay = overlayOf(network);
    const behind = sandboxes.list().filter((record) => {
      return connectedPlaces(record).some(
        (place) => place.network === network.id && place.overlay?.mtu !== overlay.mtu,
      );
    });
    if (behind.length === 0) return;
    await dataplane.change({ put: [networkPiece(network.id, overlay)] });
    for (const { id } of behind) {
      await serial.run(id, async () => {
        const record = sandboxes.get(id);
        if (record === undefined) return;
        const places = record.places.map((place) => (place.network === network.id ? { ...place, overlay } : place));
        await sandboxes.save({ ...record, places });
      });
    }
    log.warn('the interfaces of a network have another MTU', { network: network.id, mtu: overlay.mtu });
  }
}
