import { defined } from '../../lib/defined.ts';
import { Refusal } from '../../lib/errors.ts';
import { formatMeshPlace } from '../../model/mesh-place.ts';
import type {
  ConnectionState,
  HostName,
  Membership,
  Numbers,
  PeerState,
  RangeState,
  TargetState,
  Waiting,
} from '../../state/mesh/membership.ts';
import type { JsonHandlers } from './handlers.ts';
import type { ConnectionView, MeshView, PeerView, RangeView, TargetView } from './mesh-schema.ts';
import type { AnswerOf, RequestOf } from './routes.ts';

type MeshHandlers = Pick<
  JsonHandlers,
  | ('joinHosts' | 'leaveHosts' | 'departHost' | 'getToken' | 'rotateToken' | 'removeHost' | 'promoteHost')
  | ('listTargets' | 'listPeers' | 'listConnections' | 'listRanges')
>;

/** How the packets of containers go to a host; undefined while nothing is known of it. */
export type WayTo = (host: string) => ConnectionView['data'];

/** Who belongs to the mesh, and how its hosts are linked. */
export function openMeshHandlers(membership: Membership, wayTo: WayTo): MeshHandlers {
  const place = () => formatMeshPlace(membership.standing().place);

  async function join(
    { targets, token, replace }: RequestOf<'joinHosts'>['body'],
    afterwards: (task: () => void) => void,
  ): Promise<AnswerOf<'joinHosts'>> {
    const { cluster, restart, reached } = await membership.connect({ targets, replace, ...defined({ token }) });
    if (restart !== undefined) afterwards(restart);
    return {
      ...defined({ cluster }),
      restarts: restart !== undefined,
      reached: reached.map(({ target, host, why }) => ({ target, ...defined({ host: host && named(host), why }) })),
    };
  }

  return {
    joinHosts: ({ body }, { afterwards }) => join(body, afterwards),
    leaveHosts: async ({ body }) => {
      await membership.disconnect(body.targets);
      return {};
    },
    departHost: async () => {
      const heir = await membership.depart();
      return defined({ heir: heir && named(heir) });
    },
    listTargets: () => membership.targets().map(viewTarget),
    listPeers: () => membership.peers().map(viewPeer),
    listConnections: () => membership.connections().map((connection) => viewConnection(connection, wayTo)),
    listRanges: () => membership.ranges().map(viewRange),
    getToken: async () => ({ token: await membership.token(), place: place() }),
    rotateToken: async () => ({ token: await membership.rotateToken(), place: place() }),
    removeHost: async ({ params, query }) => ({ ...(await membership.remove(params.name, query)), place: place() }),
    promoteHost: async ({ params }) => ({ ...(await membership.promote(params.name)) }),
  };
}

/** A cluster that lives in a store: hosts find each other there. */
export function refuseMeshHandlers(url: () => string): MeshHandlers {
  const refuse = (deed: string) => (): never => {
    throw new Refusal(
      'unsupported',
      `cannot ${deed}: the cluster of this host lives in ${url()}, and that is for hosts without a store; who may use the store joins with --cluster-store`,
    );
  };
  return {
    joinHosts: refuse('connect to hosts'),
    leaveHosts: refuse('disconnect from hosts'),
    departHost: refuse('hand on what this host owns'),
    listTargets: refuse('show targets'),
    listPeers: refuse('show peers'),
    listConnections: refuse('show connections'),
    listRanges: refuse('show who owns which numbers'),
    getToken: refuse('show a token'),
    rotateToken: refuse('make a token'),
    removeHost: refuse('remove a host'),
    promoteHost: refuse('make a host an admin'),
  };
}

/** What the status says of it. A host that waits says it otherwise: see `waiting.ts`. */
export function viewMesh(membership: Membership): MeshView | undefined {
  const standing = membership.standing();
  if (standing.kind === 'waiting') return undefined;
  const { kind, cluster, role, empty, place, problem } = standing;
  return {
    ...{ kind, cluster, role, empty, place: formatMeshPlace(place) },
    hosts: membership.peers().length,
    links: membership.connections().filter(({ state }) => state === 'established').length,
    ...defined({ problem }),
  };
}

export function viewWaiting({ kind, met, place, problem }: Waiting) {
  return { kind, met: met.map(named), place: formatMeshPlace(place), ...defined({ problem }) };
}

export function reportMesh(membership: Membership, wayTo: WayTo) {
  return {
    peers: membership.peers().map(viewPeer),
    connections: membership.connections().map((connection) => viewConnection(connection, wayTo)),
    targets: membership.targets().map(viewTarget),
    ipam: membership.ranges().map(viewRange),
  };
}

export function viewTarget({ address, byHand, host, state, why, next }: TargetState): TargetView {
  return { address, byHand, state, ...defined({ host: host && named(host), why, next }) };
}

function viewPeer({ role, state, self, addresses, links, ...host }: PeerState): PeerView {
  return {
    ...named(host),
    ...{ role, state, self, addresses: [...addresses] },
    links: links.map(({ rtt, ...peer }) => ({ ...named(peer), ...defined({ rtt }) })),
  };
}

function viewConnection(
  { peer, address, dialled, state, since, rtt, why }: ConnectionState,
  wayTo: WayTo,
): ConnectionView {
  const data = peer && wayTo(peer.id);
  return { ...{ address, dialled, state, since }, ...defined({ peer: peer && named(peer), rtt, why, data }) };
}

function viewRange({ numbers, owner, spans, more, count, used, reachable, conflicts }: RangeState): RangeView {
  return {
    ...viewNumbers(numbers),
    ...{ owner: named(owner), spans: spans.map((span) => ({ ...span })), more, count: String(count), reachable },
    conflicts: [...conflicts],
    ...defined({ used }),
  };
}

function viewNumbers(numbers: Numbers) {
  switch (numbers.kind) {
    case 'addresses':
      return { kind: numbers.kind, network: named(numbers.network), family: numbers.family };
    case 'subnets':
      return { kind: numbers.kind, family: numbers.family };
    case 'vnis':
      return { kind: numbers.kind };
  }
}

function named({ id, name }: HostName) {
  return { id, ...defined({ name }) };
}
