import type { Dataplane, Piece } from '../../dataplane/dataplane.ts';
import type { Log } from '../../lib/log.ts';
import type { Serial } from '../../lib/serial.ts';
import type { HostState, Hosts } from '../hosts/hosts.ts';
import type { Networks } from '../networks/networks.ts';
import type { Exits } from './exits.ts';
import type { Holdings } from './holdings.ts';
import type { Leaving } from './leave.ts';
import type { Overlays } from './overlays.ts';
import { peerPieces } from './peers.ts';
import { networkPiece, sandboxPieces } from './pieces.ts';
import { connectedPlaces, type SandboxRecord } from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface TakeUpNeeds {
  readonly hosts: Pick<Hosts, 'self' | 'cluster'>;
  readonly dataplane: Pick<Dataplane, 'set'>;
  readonly sandboxes: Sandboxes;
  readonly overlays: Overlays;
  readonly exits: Exits;
  readonly leave: Leaving;
  readonly serial: Serial;
  readonly log: Log;
}

/** Makes the kernel hold what earlier lives promised, in one change; then what was begun is undone and what was being left is finished. */
export async function takeUp(
  { bootId, seen }: { bootId: string; seen: readonly HostState[] },
  needs: TakeUpNeeds,
): Promise<void> {
  const { dataplane, exits, hosts, leave, log, overlays, sandboxes, serial } = needs;
  const gateway = await exits.load(sandboxes.list());
  const alive = sandboxes.list().filter((record) => record.bootId === bootId);
  const places = alive.flatMap(connectedPlaces);
  for (const place of places) overlays.addPort(place);
  const used = new Map(places.flatMap(({ network, overlay }) => (overlay === undefined ? [] : [[network, overlay]])));
  const memberships = [...used].map(([id, { gateways }]) => overlays.membership({ id, gateways }));
  await Promise.all(memberships.map(({ ready }) => ready));
  const pieces: Piece[] = [
    { kind: 'underlay', data: hosts.self.data, port: hosts.cluster.dataPort },
    ...peerPieces(seen, hosts.self.id),
    ...(gateway === undefined ? [] : [gateway]),
    ...alive.flatMap(sandboxPieces),
    ...[...used].map(([network, overlay]) => networkPiece(network, overlay)),
    ...memberships.flatMap((membership) => membership.takeOver()),
  ];
  const { steps } = await dataplane.set(pieces);
  log.info('kernel taken over', { sandboxes: alive.length, networks: used.size, steps: steps.length });
  for (const step of steps) log.debug('kernel changed', { step });
  for (const record of sandboxes.list()) await serial.run(record.id, () => finish(record, { bootId }, leave));
}

/** A sandbox of another boot is gone, with all its places. One that has no place left and no container is nobody's. */
async function finish(record: SandboxRecord, { bootId }: { bootId: string }, leave: Leaving): Promise<void> {
  const gone = record.bootId !== bootId;
  const left = record.places.filter(({ state }) => gone || state !== 'connected');
  const empty = left.length === record.places.length && record.container === undefined;
  if (gone || empty || left.length > 0) await leave.letGo(record, left, { whole: gone || empty });
}

/**
 * Once, after the start: what stands in the store under this host's id and is in no journal is given back. A commit that was
 * cut off may have landed after it was given up.
 */
export async function sweep(needs: {
  readonly networks: Pick<Networks, 'list'>;
  readonly holdings: Holdings;
  readonly sandboxes: Sandboxes;
  readonly log: Log;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { holdings, log, networks, sandboxes, signal } = needs;
  const isKnown = (endpoint: string) => sandboxes.list().some(({ places }) => places.some(({ id }) => id === endpoint));
  for (const network of networks.list()) {
    if (signal.aborted) return;
    try {
      for (const place of await holdings.strays(network, isKnown)) {
        await holdings.release(place, network, { unused: false });
        log.info('what no sandbox has was given back', { network: network.id, endpoint: place.id, name: place.name });
      }
    } catch (error) {
      log.warn('the store was not swept; the next start does it', { network: network.id, error });
    }
  }
}
