import type { Change, Piece, PieceKey, RemotePiece } from '../../dataplane/dataplane.ts';
import { keyOf } from '../../dataplane/dataplane.ts';
import { delay, pause } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { formatPrefix, networkOf, parseInterfaceAddress } from '../../lib/prefix.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { NameFeed } from '../names/names.ts';
import type { EndpointState } from './endpoints.ts';
import { namesFor } from './holdings.ts';
import { type EndpointNamesNeeds, followNames } from './names.ts';
import { networkPiece, remotePiece } from './pieces.ts';
import type { Place } from './sandbox-record.ts';

export type MemberOf = { readonly id: string } & NonNullable<Place['overlay']>;

export interface MembershipNeeds extends EndpointNamesNeeds {
  readonly registry: Pick<Registry, 'watch'>;
  /** An endpoint of this host that is connected. */
  readonly own: (id: string) => Endpoint | undefined;
  readonly hosts: Pick<Hosts, 'self' | 'get'>;
  readonly change: (change: Change) => Promise<void>;
  readonly names: Pick<NameFeed, 'network' | 'leave' | 'put' | 'remove'>;
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
  #network: MemberOf;
  #subnets: ReadonlySet<string>;
  readonly #stop = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  readonly #known = new Map<string, EndpointState>();
  /** By MAC and by address: the endpoints that say they have it. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #remotes = new Map<string, RemotePiece>();
  readonly #stale = new Set<string>();
  readonly #failures = new Map<string, number>();
  #following: Promise<void> | undefined;
  #naming: Promise<void> | undefined;
  #pushing: Promise<void> | undefined;
  #installed = false;
  /** Whether names are told of it: until it is left. */
  #named = false;

  constructor(network: MemberOf, needs: MembershipNeeds) {
    this.#network = network;
    this.#needs = needs;
    this.#subnets = subnetsOf(network);
  }

  /** Begins to follow. `ready` resolves with the first snapshot, and fails when it is closed before. */
  open(): void {
    this.#name();
    this.#following = this.#follow();
    const space = namesFor({ network: this.#network.id, overlay: this.#network }, this.#needs.hosts.self.id);
    this.#naming = followNames(space, this.#needs, this.#stop.signal).catch((error: unknown) => {
      this.#needs.log.error('the names of a network cannot be followed', { network: this.#network.id, error });
    });
    this.#following.catch(this.#ready.reject);
    this.#ready.promise.catch(() => undefined);
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get network(): string {
    return this.#network.id;
  }

  /** This host's own as they are promised, whatever the watch has told of them; those of others as it told. */
  list(): readonly EndpointState[] {
    const { hosts, ownOn } = this.#needs;
    const own = new Map(ownOn(this.#network.id).map((endpoint) => [endpoint.id, { endpoint, lost: false }]));
    const told = [...this.#known.values()].flatMap((state) => {
      const { id, host } = state.endpoint;
      const mine = own.get(id);
      own.delete(id);
      return host === hosts.self.id ? (mine ?? []) : state;
    });
    return [...told, ...own.values()];
  }

  /** The network is in the kernel: its remote endpoints go there too. Resolves when all have been tried. May be repeated. */
  async install(): Promise<void> {
    this.#name();
    if (!this.#installed) for (const id of this.#remotes.keys()) this.#stale.add(id);
    this.#installed = true;
    this.#push();
    await this.#pushing;
  }

  /** The network has these subnets: who is in one that was not known before is reached from now on. Returns at once. */
  widen(overlay: NonNullable<Place['overlay']>): void {
    const before = this.#network.apart;
    this.#network = { ...this.#network, ...overlay };
    if (JSON.stringify(overlay.apart) === JSON.stringify(before)) return;
    this.#subnets = subnetsOf(this.#network);
    this.#stale.add(this.#network.id);
    if (this.#named) this.#needs.names.network(this.#network.id, [...this.#subnets]);
    for (const id of this.#known.keys()) if (!this.#remotes.has(id)) this.#look(id);
    this.#push();
  }

  /** For those who put all of it there themselves. */
  takeOver(): readonly Piece[] {
    this.#installed = true;
    this.#stale.clear();
    return [...this.#remotes.values()];
  }

  /** The keys of all remote pieces, to be removed with the network; from here on nothing goes to the kernel or to names. */
  uninstall(): readonly PieceKey[] {
    this.#installed = false;
    this.#named = false;
    this.#needs.names.leave(this.#network.id);
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
    this.#ready.reject(new Refusal('unavailable', 'this host left the network before it heard who is on it'));
    await this.#naming;
    await this.#pushing;
  }

  async #follow(): Promise<void> {
    const scope = { kind: 'endpoints', network: this.#network.id } as const;
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
          for (const { id } of this.#needs.ownOn(this.#network.id)) if (!this.#known.has(id)) this.#putBack(id);
          this.#ready.resolve();
          break;
        }
        case 'put':
          if (event.entry.record.kind === 'endpoint') this.#note(event.entry.record.endpoint, event.entry.lost);
          break;
        case 'delete':
          this.#forget(event.id);
          this.#putBack(event.id);
          break;
      }
      this.#push();
    }
  }

  #note(endpoint: Endpoint, lost: boolean): void {
    const before = this.#known.get(endpoint.id)?.endpoint;
    this.#known.set(endpoint.id, { endpoint, lost });
    if (before !== undefined && before.name !== endpoint.name) {
      const renamed = { name: before.name, renamed: endpoint.name };
      this.#needs.log.warn('an endpoint has another name', { endpoint: endpoint.id, ...renamed });
    }
    if (before !== undefined && JSON.stringify(textsOf(before)) === JSON.stringify(textsOf(endpoint))) {
      this.#look(endpoint.id);
      return;
    }
    if (before !== undefined) this.#unlist(before);
    for (const text of textsOf(endpoint)) {
      const holders = this.#holders.get(text) ?? new Set();
      this.#holders.set(text, holders.add(endpoint.id));
    }
    this.#lookAt(endpoint);
  }

  #forget(id: string): void {
    const before = this.#known.get(id)?.endpoint;
    this.#known.delete(id);
    if (before === undefined) return;
    this.#unlist(before);
    this.#look(id);
    this.#lookAt(before);
  }

  /** The record of an endpoint of ours is not another's to remove. */
  #putBack(id: string): void {
    if (this.#needs.own(id) !== undefined) this.#needs.missing(id, 'record');
  }

  #unlist(endpoint: Endpoint): void {
    for (const text of textsOf(endpoint)) {
      const holders = this.#holders.get(text);
      holders?.delete(endpoint.id);
      if (holders?.size === 0) this.#holders.delete(text);
    }
  }

  /** At an endpoint and at all who say that they have what it has. */
  #lookAt(endpoint: Endpoint): void {
    for (const text of textsOf(endpoint)) for (const id of this.#holders.get(text) ?? []) this.#look(id);
  }

  /** Works out the remote piece of one endpoint; what is reached has names. */
  #look(id: string): void {
    const piece = this.#remoteOf(id);
    this.#nameOne(id, piece);
    if (JSON.stringify(piece) === JSON.stringify(this.#remotes.get(id))) return;
    if (piece === undefined) this.#remotes.delete(id);
    else this.#remotes.set(id, piece);
    this.#stale.add(id);
  }

  #nameOne(id: string, piece: RemotePiece | undefined): void {
    const state = this.#known.get(id);
    if (!this.#named) return;
    if (piece === undefined || state === undefined) this.#needs.names.remove(id);
    else this.#needs.names.put(state.endpoint, state.lost);
  }

  #name(): void {
    if (this.#named) return;
    this.#named = true;
    this.#needs.names.network(this.#network.id, [...this.#subnets]);
    for (const [id, piece] of this.#remotes) this.#nameOne(id, piece);
  }

  #remoteOf(id: string): RemotePiece | undefined {
    const { self } = this.#needs.hosts;
    const endpoint = this.#known.get(id)?.endpoint;
    const host = endpoint && this.#needs.hosts.get(endpoint.host)?.host;
    if (endpoint === undefined || host === undefined || host.id === self.id || host.data === self.data)
      return undefined;
    const wrong = this.#wrongWith(endpoint);
    if (wrong === undefined) return remotePiece(endpoint, host.data);
    const { id: network } = this.#network;
    // Of a network with subnets apart it may be that the record with a new one comes later.
    const level = this.#network.apart && !this.#isInside(endpoint) ? 'debug' : 'error';
    this.#needs.log[level]('a remote endpoint is passed over', { network, endpoint: id, host: host.name, wrong });
    return undefined;
  }

  /** The allocator gives everything once: a record that says otherwise takes nothing from one of ours, or from an older one. */
  #wrongWith(endpoint: Endpoint): string | undefined {
    if (!this.#isInside(endpoint)) return `${endpoint.addresses.join(' ')} is in no subnet of the network`;
    const gateway = endpoint.addresses.find((text) => this.#network.gateways.includes(text));
    if (gateway !== undefined) return `${gateway} is the gateway`;
    for (const text of textsOf(endpoint)) {
      for (const id of this.#holders.get(text) ?? []) {
        const other = this.#known.get(id)?.endpoint;
        if (other !== undefined && this.#precedes(other, endpoint)) return `${text} belongs to ${other.name}`;
      }
    }
    return undefined;
  }

  #isInside({ addresses }: Endpoint): boolean {
    return addresses.every((text) => this.#subnets.has(subnetOf(text)));
  }

  #precedes(a: Endpoint, b: Endpoint): boolean {
    if (a.id === b.id) return false;
    const own = ({ host }: Endpoint) => (host === this.#needs.hosts.self.id ? 0 : 1);
    if (own(a) !== own(b)) return own(a) < own(b);
    return a.created === b.created ? a.id < b.id : a.created < b.created;
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
    // Whoever left it meanwhile has taken all of it out.
    if (!this.#installed) return;
    const { id: network } = this.#network;
    const put = [
      ...(ids.includes(network) ? [networkPiece(network, this.#network)] : []),
      ...ids.flatMap((id) => this.#remotes.get(id) ?? []),
    ];
    const gone = ids.filter((id) => id !== network && !this.#remotes.has(id));
    const remove = gone.map((endpoint) => keyOf({ kind: 'remote', network, endpoint }));
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
      this.#needs.log.error('a remote endpoint could not be set', { network: this.#network.id, endpoint: id, error });
    }
    void pause(delay(failures, again), this.#stop.signal).then(() => {
      if (!this.#failures.has(id)) return;
      this.#stale.add(id);
      this.#push();
    });
  }
}

/** What only one endpoint of a network can have. */
function textsOf({ mac, addresses }: Endpoint): readonly string[] {
  return [mac, ...addresses];
}

function subnetsOf({ gateways, apart = [] }: MemberOf): ReadonlySet<string> {
  return new Set([...gateways.map(subnetOf), ...apart]);
}

function subnetOf(text: string): string {
  return formatPrefix(networkOf(parseInterfaceAddress(text)));
}
