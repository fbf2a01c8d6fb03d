import { randomBytes } from 'node:crypto';
import { type Dataplane, type Identity, keyOf, type Piece } from '../../dataplane/dataplane.ts';
import { backoff } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import { settle } from '../../lib/settle.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Network } from '../../model/network.ts';
import type { Journal, JournalChange } from '../../state/journal.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Networks } from '../networks/networks.ts';
import type { Connect, ConnectRequest, EndpointState, Endpoints, OpenSandbox, Sandbox } from './endpoints.ts';
import { Exits, type ExitsInit } from './exits.ts';
import { type HoldingsNeeds, openHoldings } from './holdings.ts';
import { Overlays } from './overlays.ts';
import { followPeers, peerPieces } from './peers.ts';
import { exitPiece, portPiece, sandboxPiece } from './pieces.ts';
import { connectedPlaces, freeInterface, leaving, SandboxIndex } from './sandbox-index.ts';
import { type Place, parseSandboxRecord, type SandboxRecord } from './sandbox-record.ts';

export interface EndpointsNeeds extends Omit<HoldingsNeeds, 'registry' | 'hosts'> {
  readonly registry: Pick<Registry, 'publish' | 'withdraw' | 'watch' | 'list'>;
  readonly networks: Pick<Networks, 'find' | 'list' | 'confirm'>;
  readonly hosts: Pick<Hosts, 'self' | 'cluster' | 'get' | 'watch' | 'list'>;
  readonly dataplane: Pick<Dataplane, 'set' | 'change' | 'adopt' | 'look'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly log: Log;
}

export interface EndpointsInit {
  /** Directory in which namespaces are pinned. */
  readonly namespaces: string;
  readonly exits: Omit<ExitsInit, 'host'>;
}

export interface OpenedEndpoints extends Endpoints {
  /** Addresses of the gateway bridge, once it exists. */
  gateway(): readonly string[] | undefined;
  close(): Promise<void>;
}

/**
 * Takes up what earlier lives promised: the kernel is made to hold it, what was begun is undone, what was being left is
 * finished. Resolves when the kernel is as it should be.
 *
 * Every step is journalled before it is begun, under an id from which all that it may hold is found: at whatever point the
 * process dies, the next start knows what to give back.
 */
export async function openEndpoints(needs: EndpointsNeeds, init: EndpointsInit): Promise<OpenedEndpoints> {
  const { registry, networks, hosts, dataplane, journal, log } = needs;
  const holdings = openHoldings(needs);
  const exits = new Exits({ journal, look: () => dataplane.look() }, { ...init.exits, host: hosts.self.id });
  const sandboxes = new Map<string, SandboxRecord>();
  const index = new SandboxIndex();
  const overlays = new Overlays({ registry, hosts, log, change: (change) => dataplane.change(change) });
  const serial = new Serial();
  const stop = new AbortController();
  const { bootId } = await dataplane.look();

  for (const { id, value } of await journal.load('sandbox')) {
    const record = readRecord(id, value);
    if (record !== undefined) sandboxes.set(id, record);
  }
  const seen = hosts.list();
  await takeUp();
  const swept = sweep();
  const peers = followPeers(
    { hosts, log, change: (change) => dataplane.change(change) },
    {
      from: seen,
      signal: stop.signal,
      changed: (host) => overlays.hostChanged(host),
    },
  );

  function readRecord(id: string, value: unknown): SandboxRecord | undefined {
    try {
      return parseSandboxRecord(value, `sandbox ${id} in the state directory`);
    } catch (error) {
      log.error('a sandbox of the state directory is passed over', { sandbox: id, error });
      return undefined;
    }
  }

  /** One change of the kernel for all that is known, then the rest of what was begun. */
  async function takeUp(): Promise<void> {
    const gateway = await exits.load([...sandboxes.values()]);
    const alive = [...sandboxes.values()].filter((record) => record.bootId === bootId);
    for (const record of alive) index.add(record);
    for (const record of alive) withoutLostNetworks(record);
    const places = alive.flatMap(({ id }) => connectedPlaces(found(id)));
    for (const place of places) overlays.addPort(place);
    const used = networks.list().filter(({ id }) => places.some(({ network }) => network === id));
    await Promise.all(used.map(({ id }) => overlays.membership(id).ready));
    const pieces: Piece[] = [
      { kind: 'underlay', data: hosts.self.data, port: hosts.cluster.dataPort },
      ...peerPieces(seen, hosts.self.id),
      ...(gateway === undefined ? [] : [gateway]),
      ...alive.flatMap(({ id }) => sandboxPieces(found(id))),
      ...used.flatMap((network) => overlays.pieces(network)),
    ];
    const { steps } = await dataplane.set(pieces);
    log.info('kernel taken over', { sandboxes: alive.length, networks: used.length, steps: steps.length });
    for (const step of steps) log.debug('kernel changed', { step });
    for (const record of sandboxes.values()) await finish(record);
  }

  /** A network that the cluster no longer has cannot be set up; its places are left. */
  function withoutLostNetworks(record: SandboxRecord): void {
    const places = record.places.map((place) =>
      networks.list().some(({ id }) => id === place.network) ? place : leaving(place),
    );
    sandboxes.set(record.id, { ...record, places });
  }

  /**
   * Once, after the start: what stands in the store under this host's id and is in no journal is given back. A commit that
   * was cut off may have landed after it was given up.
   */
  async function sweep(): Promise<void> {
    for (const network of networks.list()) {
      try {
        for (const place of await holdings.strays(network, (id) => isKnown(id))) {
          await holdings.release(place, network, { unused: false });
          log.info('what no sandbox has was given back', { network: network.id, endpoint: place.id, name: place.name });
        }
      } catch (error) {
        log.warn('the store was not swept; the next start does it', { network: network.id, error });
      }
      if (stop.signal.aborted) return;
    }
  }

  function isKnown(endpoint: string): boolean {
    return [...sandboxes.values()].some(({ places }) => places.some(({ id }) => id === endpoint));
  }

  /** After a start: a sandbox of another boot is gone, with all its places; what was begun is undone. */
  async function finish(record: SandboxRecord): Promise<void> {
    const gone = record.bootId !== bootId;
    const left = record.places.filter(({ state }) => gone || state !== 'connected').map(leaving);
    if (gone || (left.length > 0 && left.length === record.places.length && record.container === undefined)) {
      await letGo(record, record.places.map(leaving), { whole: true });
    } else if (left.length > 0) await letGo(record, left, { whole: false });
  }

  function sandboxPieces(record: SandboxRecord): readonly Piece[] {
    return [
      sandboxPiece(record),
      ...connectedPlaces(record).map((place) => portPiece(place.endpoint, place)),
      ...(record.exit === undefined ? [] : [exitPiece(record.id, record.exit)]),
    ];
  }

  /** Out of the kernel; what goes is decided and sent in one go. */
  async function removeFromKernel(record: SandboxRecord, places: readonly Place[], whole: boolean): Promise<void> {
    const { keys, closing } = overlays.leave(places);
    const rest = whole ? [keyOf({ kind: 'exit', sandbox: record.id }), keyOf({ kind: 'sandbox', id: record.id })] : [];
    await dataplane.change({ remove: [...keys, ...rest] });
    await Promise.all(closing.map((membership) => membership.close()));
  }

  async function openSandbox(request: OpenSandbox): Promise<Sandbox> {
    if (request.adopt === undefined) return await makeSandbox(request, undefined);
    const adopted = await dataplane.adopt(request.adopt);
    return await serial.run(`adopt ${adopted.inode}`, async () => {
      const known = index.adoptedAs(adopted.inode);
      if (known === undefined) return await makeSandbox(request, adopted);
      for (const one of request.connect ?? []) await connect({ ...one, sandbox: known });
      return view(known);
    });
  }

  async function makeSandbox(request: OpenSandbox, adopted: Identity | undefined): Promise<Sandbox> {
    const record: SandboxRecord = {
      id: index.freshId(),
      bootId,
      places: [],
      ...(adopted === undefined ? {} : { adopted: { ...adopted } }),
      ...(request.container === undefined ? {} : { container: { ...request.container } }),
    };
    index.add(record);
    sandboxes.set(record.id, record);
    return await serial.run(record.id, async () => {
      await join(record, request.connect ?? [], { exit: request.exit });
      return view(record.id);
    });
  }

  async function connect({ sandbox, ...request }: Connect): Promise<Endpoint> {
    return await serial.run(sandbox, async () => {
      const record = found(sandbox);
      await join(record, [request], { exit: false });
      const { id } = networks.find(request.network);
      const place = connectedPlaces(found(sandbox)).find(({ network }) => network === id);
      if (place === undefined) throw new Error(`endpoint ${request.name} is not there after it was connected`);
      return place.endpoint;
    });
  }

  /** Gives a sandbox endpoints and, with `exit`, its way out: all of it or nothing. */
  async function join(
    before: SandboxRecord,
    requests: readonly ConnectRequest[],
    options: { exit: boolean },
  ): Promise<void> {
    const fresh = before.places.length === 0 && before.exit === undefined;
    let places: readonly Place[] = [];
    try {
      const gateway = options.exit ? await exits.piece() : undefined;
      const reserved = reserve(before, requests);
      places = reserved.map(({ place }) => place);
      const at = { interface: freeInterface([...before.places, ...places]) };
      const exit = gateway && exits.take(gateway, before.id, at);
      const begun: SandboxRecord = {
        ...before,
        places: [...before.places, ...places],
        ...(exit === undefined ? {} : { exit }),
      };
      sandboxes.set(before.id, begun);
      await journal.commit([put(begun)]);
      const sandbox = { id: before.id, key: keyPath(before.id) };
      const connected = await settle(
        reserved.map(async ({ place, request, network }) => {
          const [endpoint] = await settle([
            holdings.take(place, request, { network, sandbox, container: before.container }),
            overlays.membership(network.id).ready,
          ]);
          return { ...place, state: 'connected' as const, endpoint };
        }),
      );
      const done: SandboxRecord = { ...begun, places: [...before.places, ...connected] };
      sandboxes.set(before.id, done);
      const joined = connectedPlaces({ ...done, places: connected });
      await settle([
        dataplane.change({
          put: [
            ...(gateway === undefined ? [] : [gateway]),
            ...reserved.flatMap(({ network }) => overlays.pieces(network)),
            ...(fresh ? [sandboxPiece(done)] : []),
            ...joined.map((place) => portPiece(place.endpoint, place)),
            ...(exit === undefined ? [] : [exitPiece(done.id, exit)]),
          ],
        }),
        journal.commit([put(done)]),
        ...joined.map(({ endpoint }) => holdings.publish(endpoint)),
      ]);
      await settle(reserved.map(({ network }) => confirmed(network)));
    } catch (error) {
      await undo(before, places.map(leaving), { whole: fresh });
      throw error;
    }
  }

  /** An endpoint was published: a removal that began before it was seen wins, one that comes later is refused. */
  async function confirmed(network: Network): Promise<void> {
    if ((await networks.confirm(network.id)) === undefined) {
      throw new Refusal('conflict', `network ${network.name} is being removed`);
    }
  }

  async function undo(before: SandboxRecord, places: readonly Place[], { whole }: { whole: boolean }): Promise<void> {
    const now = sandboxes.get(before.id) ?? before;
    const reached = places.map((place) => ({ ...place, ...endpointOf(now, place.id) }));
    try {
      await letGo(now, reached, { whole, unused: reached.every(({ endpoint }) => endpoint === undefined) });
      const again = networks.list().filter(({ id }) => places.some(({ network }) => network === id));
      await dataplane.change(overlays.again(again));
    } catch (error) {
      log.error('a failed connection could not be undone in the kernel; the next repair does it', {
        sandbox: before.id,
        error,
      });
    }
  }

  function endpointOf(record: SandboxRecord, id: string): { endpoint?: Endpoint } {
    const endpoint = record.places.find((place) => place.id === id)?.endpoint;
    return endpoint === undefined ? {} : { endpoint };
  }

  /** Checks all, then takes names for all: a refusal leaves nothing. */
  function reserve(record: SandboxRecord, requests: readonly ConnectRequest[]) {
    const wanted = requests.map((request) => ({ request, network: networks.find(request.network) }));
    const attached = new Set(record.places.map(({ network }) => network));
    for (const { network } of wanted) {
      if (network.removing !== undefined) throw new Refusal('conflict', `network ${network.name} is being removed`);
      if (attached.has(network.id)) {
        throw new Refusal('conflict', `${nameOf(record)} is already attached to network ${network.name}`);
      }
      attached.add(network.id);
    }
    const taken: { readonly interface: string }[] = [
      ...record.places,
      ...(record.exit === undefined ? [] : [record.exit]),
    ];
    return wanted.map(({ request, network }) => {
      const place: Place = {
        id: randomBytes(32).toString('hex'),
        network: network.id,
        name: request.name,
        interface: freeInterface(taken),
        port: overlays.takePort(network.id),
        state: 'connecting',
      };
      taken.push(place);
      return { place, request, network };
    });
  }

  function nameOf(record: SandboxRecord): string {
    return record.container?.name ?? `sandbox ${record.id}`;
  }

  async function disconnect(sandbox: string, nameOrId: string): Promise<void> {
    await serial.run(sandbox, async () => {
      const record = found(sandbox);
      const network = networks.find(nameOrId);
      const place = record.places.find(
        (candidate) => candidate.network === network.id && candidate.state !== 'leaving',
      );
      if (place === undefined) {
        throw new Refusal('not-found', `${nameOf(record)} is not connected to network ${network.name}`);
      }
      const last = record.adopted !== undefined && record.places.length === 1;
      await letGo(record, [leaving(place)], { whole: last });
    });
  }

  async function closeSandbox(sandbox: string): Promise<void> {
    await serial.run(sandbox, async () => {
      const record = sandboxes.get(sandbox);
      if (record !== undefined) await letGo(record, record.places.map(leaving), { whole: true });
    });
  }

  /** Out of the kernel first, then out of the cluster's state: an address is free only when nobody here can use it. */
  async function letGo(
    record: SandboxRecord,
    left: readonly Place[],
    { whole, unused = false }: { whole: boolean; unused?: boolean },
  ): Promise<void> {
    const ids = new Set(left.map(({ id }) => id));
    const { exit, ...rest } = record;
    const going: SandboxRecord = {
      ...(whole || exit === undefined ? rest : record),
      places: record.places.map((place) => left.find(({ id }) => id === place.id) ?? place),
    };
    sandboxes.set(record.id, going);
    await journal.commit([put(going)]);
    await removeFromKernel(record, left, whole);
    if (whole) {
      exits.give(record.id);
      index.remove(record);
    }
    try {
      await giveBack(going, ids, { whole, unused });
    } catch (error) {
      log.warn('what an endpoint held is given back when the store answers again', { sandbox: record.id, error });
      void giveBackLater(going, ids, { whole, unused });
    }
  }

  async function giveBack(
    record: SandboxRecord,
    ids: ReadonlySet<string>,
    { whole, unused }: { whole: boolean; unused: boolean },
  ): Promise<void> {
    const left = record.places.filter(({ id }) => ids.has(id));
    await settle(
      left.map((place) =>
        holdings.release(
          place,
          networks.list().find(({ id }) => id === place.network),
          { unused },
        ),
      ),
    );
    const now = sandboxes.get(record.id) ?? record;
    const rest: SandboxRecord = { ...now, places: now.places.filter(({ id }) => !ids.has(id)) };
    const change: JournalChange = whole ? { kind: 'sandbox', id: record.id, remove: true } : put(rest);
    if (whole) sandboxes.delete(record.id);
    else sandboxes.set(record.id, rest);
    await journal.commit([change]);
  }

  async function giveBackLater(
    record: SandboxRecord,
    ids: ReadonlySet<string>,
    options: { whole: boolean; unused: boolean },
  ): Promise<void> {
    for await (const _ of backoff({ first: 500, most: 10_000, signal: stop.signal })) {
      try {
        await giveBack(record, ids, options);
        return;
      } catch (error) {
        log.debug('giving back failed', { sandbox: record.id, error });
      }
    }
  }

  function keyPath(sandbox: string): string {
    return `${init.namespaces}/${sandbox}`;
  }

  function found(sandbox: string): SandboxRecord {
    const record = sandboxes.get(sandbox);
    if (record === undefined) throw new Refusal('not-found', `sandbox ${sandbox} not found`);
    return record;
  }

  function view(sandbox: string): Sandbox {
    const record = found(sandbox);
    return {
      id: record.id,
      key: keyPath(record.id),
      endpoints: new Map(connectedPlaces(record).map((place) => [place.network, place])),
      ...(record.container === undefined ? {} : { container: record.container }),
      ...(record.exit === undefined ? {} : { exit: record.exit }),
    };
  }

  async function list(network: string): Promise<readonly EndpointState[]> {
    const joined = overlays.find(network);
    if (joined !== undefined) {
      await joined.ready;
      return joined.list();
    }
    const entries = await registry.list({ kind: 'endpoints', network });
    return entries.flatMap(({ record, lost }) =>
      record.kind === 'endpoint' ? [{ endpoint: record.endpoint, lost }] : [],
    );
  }

  return {
    openSandbox,
    connect,
    disconnect,
    closeSandbox,
    sandboxes: () => [...sandboxes.keys()].map(view),
    list,
    gateway: () => exits.addresses,
    close: async () => {
      stop.abort();
      await swept;
      await peers.catch(() => undefined);
      await overlays.close();
    },
  };
}

function put(record: SandboxRecord): JournalChange {
  return { kind: 'sandbox', id: record.id, put: record };
}
