import type { Dataplane, GatewayPiece, HostView, Piece } from '../../dataplane/dataplane.ts';
import { pause } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Serial } from '../../lib/serial.ts';
import type { NamesPlace } from '../../model/setting-values.ts';
import type { HostState, Hosts } from '../hosts/hosts.ts';
import type { Networks } from '../networks/networks.ts';
import type { Exits } from './exits.ts';
import type { Holdings } from './holdings.ts';
import type { Leaving } from './leave.ts';
import type { Overlays } from './overlays.ts';
import { peerPieces } from './peers.ts';
import { listenerPieces, networkPiece, overlayOf, sandboxPieces } from './pieces.ts';
import { connectedPlaces, type SandboxRecord } from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface TakeUpNeeds {
  readonly hosts: Pick<Hosts, 'self' | 'cluster'>;
  readonly networks: Pick<Networks, 'get'>;
  readonly dataplane: Pick<Dataplane, 'set'>;
  readonly sandboxes: Sandboxes;
  readonly overlays: Overlays;
  readonly exits: Exits;
  readonly leave: Leaving;
  readonly serial: Serial;
  readonly log: Log;
}

interface TakeUp extends Pick<HostView, 'bootId' | 'pinned'> {
  readonly seen: readonly HostState[];
  /** Ids of containers that come back after a reboot: their sandboxes are made anew. */
  readonly returning: ReadonlySet<string>;
  /** Where names are answered besides the networks. */
  readonly listen: readonly NamesPlace[];
}

/** How long what is undone and finished is waited for, in milliseconds: so long that nobody meets his own leftovers. */
const patience = 1_000;

/**
 * Makes the kernel hold what earlier lives promised, in one change; then what was begun is undone and what was being left is
 * finished. What of that takes long, because the store is away, goes on beside: it has ended when `finished` resolves.
 */
export async function takeUp(
  { bootId, pinned, seen, returning, listen }: TakeUp,
  needs: TakeUpNeeds,
): Promise<{ readonly finished: Promise<void> }> {
  const { dataplane, exits, hosts, leave, log, networks, overlays, sandboxes, serial } = needs;
  for (const record of sandboxes.list()) {
    const { id } = record.container ?? {};
    const isBack = record.host !== undefined || (hasPlace(record) && id !== undefined && returning.has(id));
    if (record.bootId !== bootId && isBack) await sandboxes.save({ ...record, bootId });
  }
  const chosen = await exits.load(sandboxes.list());
  const gateway = chosen ?? (await bridgeFor(listen, { exits, log }));
  const isGone = (record: SandboxRecord) =>
    record.bootId !== bootId || (record.adopted !== undefined && pinned.get(record.id) !== record.adopted.inode);
  const alive = sandboxes.list().filter((record) => !isGone(record));
  const places = alive.flatMap(connectedPlaces);
  for (const record of alive) sandboxes.add(record);
  for (const place of places) overlays.addPort(place);
  const used = new Map(
    places.flatMap(({ network, overlay }) => {
      if (overlay === undefined) return [];
      // Others are in subnets that came after the place was made.
      const record = overlay.apart && networks.get(network);
      return [[network, record?.apart ? { ...overlay, apart: overlayOf(record).apart } : overlay]];
    }),
  );
  const memberships = [...used].map(([id, overlay]) => overlays.membership({ id, ...overlay }));
  await Promise.all(memberships.map(({ ready }) => ready));
  const pieces: Piece[] = [
    { kind: 'underlay', data: hosts.self.data, port: hosts.cluster.dataPort },
    ...peerPieces(seen, hosts.self.id),
    ...(gateway === undefined ? [] : [gateway]),
    ...listenerPieces(listen, gateway),
    ...alive.flatMap(sandboxPieces),
    ...[...used].map(([network, overlay]) => networkPiece(network, overlay)),
    ...memberships.flatMap((membership) => membership.takeOver()),
  ];
  const { steps } = await dataplane.set(pieces);
  log.info('kernel taken over', { sandboxes: alive.length, networks: used.size, steps: steps.length });
  for (const step of steps) log.debug('kernel changed', { step });
  const records = sandboxes.list();
  const finishing = Promise.all(
    records.map(({ id }) => serial.run(id, () => finish(id, isGone, { leave, sandboxes }))),
  );
  const waited = new AbortController();
  await Promise.race([finishing, pause(patience, waited.signal)]);
  waited.abort();
  const finished = finishing.then(
    () => undefined,
    (error: unknown) => log.error('what was left could not be given back; the next start does it', { error }),
  );
  return { finished };
}

/** The gateway bridge, if names are to be answered there. Where it can have no network, the first way out tries again. */
async function bridgeFor(
  listen: readonly NamesPlace[],
  { exits, log }: Pick<TakeUpNeeds, 'exits' | 'log'>,
): Promise<GatewayPiece | undefined> {
  if (!listen.some(({ address }) => address === 'gateway')) return undefined;
  try {
    return await exits.piece();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    log.error('no names are answered at the gateway bridge', { error });
    return undefined;
  }
}

/** Whether it is a sandbox still, or only has something to give back. */
function hasPlace(record: SandboxRecord): boolean {
  return record.exit !== undefined || connectedPlaces(record).length > 0;
}

/**
 * A sandbox of another boot is gone, with all its places, and one of others' that was not pinned yet: nothing else tells which
 * it was. One that has no place left and is neither a container's nor the host is nobody's.
 */
async function finish(
  id: string,
  isGone: (record: SandboxRecord) => boolean,
  { leave, sandboxes }: Pick<TakeUpNeeds, 'leave' | 'sandboxes'>,
): Promise<void> {
  const record = sandboxes.get(id);
  if (record === undefined) return;
  const gone = isGone(record);
  const left = record.places.filter(({ state }) => gone || state !== 'connected');
  const empty = left.length === record.places.length && !record.host && record.container === undefined;
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
