import type { Change, Piece, PieceKey } from '../../dataplane/dataplane.ts';
import { keyOf } from '../../dataplane/dataplane.ts';
import { delay, pause } from '../../lib/backoff.ts';
import type { Log } from '../../lib/log.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { EndpointState } from './endpoints.ts';
import { remotePiece } from './pieces.ts';

export interface MembershipNeeds {
  readonly registry: Pick<Registry, 'watch'>;
  readonly hosts: Pick<Hosts, 'self' | 'get'>;
  readonly change: (change: Change) => Promise<void>;
  readonly log: Log;
}

/** Before a remote endpoint that the kernel refused is tried again, in milliseconds; doubles up to `most`. */
const again = { first: 1_000, most: 30_000 };

/**
 * This host's part in one network: who is on it, on all hosts. The endpoints of other hosts become remote pieces; while
 * the network is installed in the kernel, changes go there as they come, several in one step when the kernel is slower. One
 * that the kernel refuses holds up no other.
 */
export class Membership {
  readonly #needs: MembershipNeeds;
  readonly #network: string;
  readonly #stop = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  readonly #known = new Map<string, EndpointState>();
  readonly #remotes = new Map<string, Piece>();
  readonly #stale = new Set<string>();
  readonly #failures = new Map<string, number>();
  #following: Promise<void> | undefined;
  #pushing: Promise<void> | undefined;
  #installed = false;

  constructor(network: string, needs: MembershipNeeds) {
    this.#network = network;
    this.#needs = needs;
  }

  /** Begins to follow. `ready` resolves with the first snapshot. */
  open(): void {
    this.#following = this.#follow();
    this.#following.catch(this.#ready.reject);
    this.#ready.promise.catch(() => undefined);
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  list(): readonly EndpointState[] {
    return [...this.#known.values()];
  }

  /** The network is in the kernel: its remote endpoints go there too. Resolves when all have been tried. May be repeated. */
  async install(): Promise<void> {
    if (!this.#installed) for (const id of this.#remotes.keys()) this.#stale.add(id);
    this.#installed = true;
    this.#push();
    await this.#pushing;
  }

  /** For those who put all of it there themselves. */
  takeOver(): readonly Piece[] {
    this.#installed = true;
    this.#stale.clear();
    return [...this.#remotes.values()];
  }

  /** The keys of all remote pieces, to be removed with the network; from here on nothing goes to the kernel. */
  uninstall(): readonly PieceKey[] {
    this.#installed = false;
    this.#stale.clear();
    this.#failures.clear();
    return [...this.#remotes.values()].map(keyOf);
  }

  /** A host came, went or has another address: its endpoints are looked at again. */
  hostChanged(host: string): void {
    for (const [id, { endpoint }] of this.#known) if (endpoint.host === host) this.#look(id);
    this.#push();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#installed = false;
    await this.#following?.catch(() => undefined);
    await this.#pushing;
  }

  async #follow(): Promise<void> {
    const scope = { kind: 'endpoints', network: this.#network } as const;
    for await (const event of this.#needs.registry.watch(scope, { signal: this.#stop.signal })) {
      switch (event.kind) {
        case 'snapshot': {
          const gone = new Set(this.#known.keys());
          for (const entry of event.entries) {
            if (entry.record.kind !== 'endpoint') continue;
            gone.delete(entry.record.endpoint.id);
            this.#note(entry.record.endpoint, entry.lost);
          }
          for (const id of gone) this.#forget(id);
          this.#ready.resolve();
          break;
        }
        case 'put':
          if (event.entry.record.kind === 'endpoint') this.#note(event.entry.record.endpoint, event.entry.lost);
          break;
        case 'delete':
          this.#forget(event.id);
          break;
      }
      this.#push();
    }
  }

  #note(endpoint: Endpoint, lost: boolean): void {
    this.#known.set(endpoint.id, { endpoint, lost });
    this.#look(endpoint.id);
  }

  #forget(id: string): void {
    this.#known.delete(id);
    this.#look(id);
  }

  /** Works out the remote piece of one endpoint. */
  #look(id: string): void {
    const endpoint = this.#known.get(id)?.endpoint;
    const host = endpoint === undefined ? undefined : this.#needs.hosts.get(endpoint.host)?.host;
    const { self } = this.#needs.hosts;
    const remote = endpoint !== undefined && host !== undefined && host.id !== self.id && host.data !== self.data;
    if (!remote && !this.#remotes.has(id)) return;
    if (remote) {
      const piece = remotePiece(endpoint, host.data);
      if (JSON.stringify(piece) === JSON.stringify(this.#remotes.get(id))) return;
      this.#remotes.set(id, piece);
    } else this.#remotes.delete(id);
    this.#stale.add(id);
  }

  #push(): void {
    if (!this.#installed || this.#stale.size === 0 || this.#pushing !== undefined) return;
    this.#pushing = this.#pushAll().finally(() => {
      this.#pushing = undefined;
      this.#push();
    });
  }

  async #pushAll(): Promise<void> {
    while (this.#installed && this.#stale.size > 0) {
      const ids = [...this.#stale];
      this.#stale.clear();
      await this.#send(ids);
    }
  }

  /** All in one step; if that fails, each half by itself. */
  async #send(ids: readonly string[]): Promise<void> {
    const put = ids.flatMap((id) => this.#remotes.get(id) ?? []);
    const gone = ids.filter((id) => !this.#remotes.has(id));
    const remove = gone.map((endpoint) => keyOf({ kind: 'remote', network: this.#network, endpoint }));
    try {
      await this.#needs.change({ put, remove });
      for (const id of ids) this.#failures.delete(id);
    } catch (error) {
      const [id] = ids;
      if (ids.length > 1) {
        const half = Math.ceil(ids.length / 2);
        await this.#send(ids.slice(0, half));
        await this.#send(ids.slice(half));
      } else if (id !== undefined) this.#tryLater(id, error);
    }
  }

  #tryLater(id: string, error: unknown): void {
    const failures = this.#failures.get(id) ?? 0;
    this.#failures.set(id, failures + 1);
    if (failures === 0) {
      this.#needs.log.error('a remote endpoint could not be set', { network: this.#network, endpoint: id, error });
    }
    void pause(delay(failures, again), this.#stop.signal).then(() => {
      if (!this.#failures.has(id)) return;
      this.#stale.add(id);
      this.#push();
    });
  }
}
