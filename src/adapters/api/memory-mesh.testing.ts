import { createHash, randomBytes } from 'node:crypto';
import type { PathProblem } from '../../controllers/hosts/hosts.ts';
import { Refusal } from '../../lib/errors.ts';
import { silent } from '../../lib/log.ts';
import { JoinToken } from '../../model/join-token.ts';
import type {
  ConnectRequest,
  Membership,
  PeerState,
  RangeState,
  Reached,
  Role,
  TargetState,
} from '../../state/mesh/membership.ts';
import { memoryControllers } from './memory.testing.ts';
import { openApi } from './server.ts';

/** Clusters of a mesh in memory, for tests of the API and the command line: hosts find each other by their place. */
interface Cluster {
  readonly id: string;
  token: string;
  readonly roles: Map<MemoryHost, Role>;
}

const since = new Date().toISOString();
const newToken = () => new JoinToken(randomBytes(16)).reveal();

export class MemoryMesh {
  readonly hosts = new Map<string, MemoryHost>();

  /** A host with a cluster of its own, which holds something unless `empty`. */
  found(name: string, { empty = true }: { readonly empty?: boolean } = {}): MemoryHost {
    const host = new MemoryHost(this, name, empty);
    host.cluster = { id: randomBytes(32).toString('hex'), token: newToken(), roles: new Map([[host, 'admin']]) };
    return host;
  }

  /** A host that has a token and waits. */
  wait(name: string, token: string): MemoryHost {
    const host = new MemoryHost(this, name, true);
    host.waitsWith = token;
    return host;
  }
}

export class MemoryHost implements Membership {
  readonly id: string;
  readonly name: string;
  readonly place: string;
  readonly empty: boolean;
  readonly #mesh: MemoryMesh;
  cluster: Cluster | undefined;
  waitsWith: string | undefined;
  /** Called when the daemon's parts would begin anew. */
  restarted: () => void = () => undefined;
  #targets: readonly string[] = [];

  /** Its place is 192.0.2.N, where N is the digit at the end of its name. */
  constructor(mesh: MemoryMesh, name: string, empty: boolean) {
    this.id = createHash('sha256').update(name).digest('hex').slice(0, 32);
    this.name = name;
    this.place = `192.0.2.${name.slice(-1)}:6783`;
    this.empty = empty;
    this.#mesh = mesh;
    mesh.hosts.set(this.place, this);
  }

  standing() {
    const { cluster, place, empty } = this;
    if (cluster === undefined) return { kind: 'waiting', met: [], place } as const;
    return { kind: 'member', cluster: cluster.id, role: cluster.roles.get(this) ?? 'member', empty, place } as const;
  }

  async connect({ targets, token, replace }: ConnectRequest) {
    const found = targets.map((target) => this.#mesh.hosts.get(target));
    const there = found.find((host) => host?.cluster !== undefined)?.cluster;
    const moves = there !== undefined && there !== this.cluster;
    if (moves && !this.empty) {
      throw new Refusal(
        'conflict',
        'this host cannot join: its cluster holds something; skein reset makes it a new host',
      );
    }
    if (moves && (token ?? this.waitsWith) !== there.token) {
      throw new Refusal('forbidden', 'this host has a token that is not of this cluster');
    }
    const restart = () => {
      this.cluster?.roles.delete(this);
      there?.roles.set(this, 'member');
      this.cluster = there;
      this.restarted();
    };
    this.#targets = [...new Set([...(replace ? [] : this.#targets), ...targets])];
    const reached = targets.map((target, i): Reached => {
      const host = found[i];
      return host ? { target, host } : { target, why: `${target} does not answer: is TCP port 6783 open there` };
    });
    const cluster = there ?? this.cluster;
    return { ...(cluster && { cluster: cluster.id }), ...(moves && { restart }), reached };
  }

  async disconnect(targets: readonly string[]) {
    const strange = targets.find((target) => !this.#targets.includes(target));
    if (strange !== undefined) throw new Refusal('not-found', `${strange} is no target`);
    this.#targets = this.#targets.filter((target) => !targets.includes(target));
  }

  targets(): readonly TargetState[] {
    return this.#targets.map((address) => {
      const host = this.#mesh.hosts.get(address);
      if (host !== undefined) return { address, byHand: true, host: name(host), state: 'established' };
      return { address, byHand: true, state: 'retrying', why: 'it does not answer', next: since };
    });
  }

  async token() {
    return this.#asAdmin().token;
  }

  async rotateToken() {
    const cluster = this.#asAdmin();
    cluster.token = newToken();
    return cluster.token;
  }

  async remove(reference: string, { force }: { readonly force: boolean }) {
    const cluster = this.#asAdmin();
    const host = this.#find(reference);
    if (!force && host === this) throw new Refusal('conflict', 'this is the host itself');
    cluster.roles.delete(host);
    host.cluster = undefined;
    cluster.token = newToken();
    return { ...name(host), token: cluster.token };
  }

  async promote(reference: string) {
    const host = this.#find(reference);
    this.#asAdmin().roles.set(host, 'admin');
    return name(host);
  }

  async depart() {
    const heir = [...(this.cluster?.roles.keys() ?? [])].find((host) => host !== this);
    if (heir === undefined) return undefined;
    if (this.cluster?.roles.get(this) === 'admin') this.cluster.roles.set(heir, 'admin');
    this.cluster?.roles.delete(this);
    this.cluster = undefined;
    return name(heir);
  }

  peers(): readonly PeerState[] {
    const all = [...(this.cluster?.roles ?? [])];
    return all.map(([host, role]) => ({
      ...{ ...name(host), role, state: 'alive', self: host === this, addresses: [host.place] },
      links: all.filter(([other]) => other !== host).map(([other]) => ({ ...name(other), rtt: 0.25 })),
    }));
  }

  connections() {
    return this.#others().map((host) => ({
      ...{ peer: name(host), address: host.place, dialled: true, state: 'established' as const, since, rtt: 0.25 },
    }));
  }

  ranges(): readonly RangeState[] {
    const part = { spans: [{ first: '0', last: '255' }], more: 0, used: 3, reachable: true, conflicts: [] };
    const network = { id: 'a'.repeat(64), name: 'demo' };
    const own = { numbers: { kind: 'vnis' }, owner: name(this), ...part, count: 256n } as const;
    const numbers = { kind: 'addresses', network, family: 6 } as const;
    return [own, ...this.#others().map((host) => ({ numbers, owner: name(host), ...part, count: 1n << 64n }))];
  }

  #others(): readonly MemoryHost[] {
    return [...(this.cluster?.roles.keys() ?? [])].filter((host) => host !== this);
  }

  #asAdmin(): Cluster {
    const { cluster } = this;
    if (cluster === undefined) throw new Refusal('unavailable', 'this host has no cluster yet');
    if (cluster.roles.get(this) === 'admin') return cluster;
    const admins = [...cluster.roles].filter(([, role]) => role === 'admin').map(([host]) => host.name);
    throw new Refusal('forbidden', `this host is no admin; ${admins.join(', ')} is`);
  }

  #find(reference: string): MemoryHost {
    const host = [...(this.cluster?.roles.keys() ?? [])].find(
      (one) => one.name === reference || one.id.startsWith(reference),
    );
    if (host === undefined) throw new Refusal('not-found', `host ${reference} not found`);
    return host;
  }
}

function name(host: MemoryHost) {
  return { id: host.id, name: host.name };
}

/** The API of a host as its daemon would serve it, anew when the host came to another cluster. */
export async function serveMemoryHost(
  host: MemoryHost,
  socket: string,
  problems: readonly PathProblem[] = [],
): Promise<{ close(): Promise<void> }> {
  let api = await openApi(needsOf(host, problems), { sockets: [socket] });
  let turn = Promise.resolve();
  host.restarted = () => {
    turn = turn.then(async () => {
      await api.close();
      api = await openApi(needsOf(host, problems), { sockets: [socket] });
    });
  };
  return {
    close: async () => {
      await turn;
      await api.close();
    },
  };
}

function needsOf(host: MemoryHost, problems: readonly PathProblem[]) {
  const stop = () => undefined;
  const common = { membership: host, stop, log: silent };
  const standing = host.standing();
  if (standing.kind === 'waiting') return { waiting: { host: name(host), started: since }, ...common };
  const plain = memoryControllers({ stop });
  const self = { ...plain.hosts.self, ...name(host) };
  const hosts = {
    self,
    cluster: { ...plain.hosts.cluster, id: standing.cluster },
    list: () =>
      host
        .peers()
        .map(({ id, name: called = '' }) => ({ host: { ...self, id, name: called }, state: 'alive' as const })),
  };
  return { ...plain, hosts, paths: { problems: () => problems }, ...common };
}
