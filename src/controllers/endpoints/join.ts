import { randomBytes } from 'node:crypto';
import type { Dataplane, Piece } from '../../dataplane/dataplane.ts';
import { pause } from '../../lib/backoff.ts';
import { defined } from '../../lib/defined.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { settle } from '../../lib/settle.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { hostInterface, type Network } from '../../model/network.ts';
import type { NamesPlace } from '../../model/setting-values.ts';
import type { NameFeed } from '../names/names.ts';
import type { Networks } from '../networks/networks.ts';
import type { ConnectRequest } from './endpoints.ts';
import type { Exits } from './exits.ts';
import type { Holdings } from './holdings.ts';
import type { Leaving } from './leave.ts';
import type { MemberOf } from './membership.ts';
import { mostBridgePorts, type Overlays } from './overlays.ts';
import { exitPiece, listenerPieces, networkPiece, overlayOf, portPiece, sandboxPiece } from './pieces.ts';
import {
  connectedPlaces,
  freeInterface,
  isOpen,
  leaving,
  nameOf,
  type Place,
  type SandboxRecord,
  type Way,
} from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';
import type { Sizes } from './sizes.ts';

export interface JoinNeeds {
  readonly networks: Pick<Networks, 'find' | 'get' | 'confirm' | 'admit'>;
  readonly dataplane: Pick<Dataplane, 'change'>;
  readonly sandboxes: Sandboxes;
  readonly overlays: Overlays;
  readonly exits: Exits;
  readonly holdings: Holdings;
  readonly names: Pick<NameFeed, 'told'>;
  readonly leave: Leaving;
  readonly sizes: Pick<Sizes, 'changed' | 'isUnfit'>;
  /** Where names are answered besides the networks: at the gateway bridge once that comes to be. */
  readonly listen: readonly NamesPlace[];
  readonly log: Log;
}

export interface JoinOptions {
  /** When it may leave the host from now on; as before unless said. */
  readonly way?: Way | undefined;
  /** Who is asked for names outside from now on; as before unless said. */
  readonly dns?: SandboxRecord['dns'];
  /** What the host forwards from now on; nothing of it is done before the rest is sure. */
  readonly host?: SandboxRecord['host'];
  /** The sandbox itself is new: it goes again when this fails. */
  readonly fresh: boolean;
}

/** For the first word of who is on a network, from a store that answers, in milliseconds. */
const patience = 5_000;

interface Reserved {
  readonly place: Place;
  readonly request: ConnectRequest;
  readonly network: Network;
}

/**
 * Gives a sandbox endpoints and, if asked, its way out: all of it or nothing. It is journalled before it is begun. The
 * caller sees to it that nothing else happens to the sandbox meanwhile.
 */
export async function join(
  before: SandboxRecord,
  requests: readonly ConnectRequest[],
  { way = before.way, dns = before.dns, host = before.host, fresh }: JoinOptions,
  needs: JoinNeeds,
): Promise<void> {
  const { dataplane, exits, holdings, listen, names, networks, overlays, sandboxes, sizes } = needs;
  let reserved: readonly Reserved[] = [];
  let making = Promise.resolve();
  try {
    await settle(requests.map(({ network }) => networks.admit(networks.find(network).id)));
    reserved = reserve(before, requests, needs);
    const places = [...before.places, ...reserved.map(({ place }) => place)];
    const gateway = before.exit === undefined && isOpen(way, places) ? await exits.piece() : undefined;
    const exit = gateway && exits.take(gateway, before.id, { interface: freeInterface(places) });
    const begun: SandboxRecord = {
      ...before,
      ...defined<Pick<SandboxRecord, 'way' | 'dns' | 'exit'>>({ way, dns, exit: exit ?? before.exit }),
      places,
    };
    await sandboxes.save(begun);
    const sandbox = { id: before.id, key: sandboxes.keyOf(before.id) };
    const wayOut = exit === undefined ? [] : [exitPiece(before.id, exit)];
    // In a container, interfaces stand in the order of their names; in a namespace of others they stand anyhow.
    const [early, late] = before.adopted === undefined ? [[], wayOut] : [wayOut, []];
    const first: readonly Piece[] = [
      ...(gateway === undefined ? [] : [gateway, ...listenerPieces(listen, gateway)]),
      ...(fresh ? [sandboxPiece(begun)] : []),
      ...early,
    ];
    // The kernel is at work on what needs no answer of the store while that is asked, and goes on with the rest.
    if (first.length > 0) making = dataplane.change({ put: first });
    making.catch(() => undefined);
    const joined = await settle(
      reserved.map(async ({ place, request, network }) => {
        const at = { network, sandbox, container: before.container };
        const { ready } = overlays.membership(memberOf(network));
        const endpoint = await holdings.take(place, request, at);
        // A store that refuses that may not tell who is there either.
        await within(patience, ready, network);
        return { network, place: { ...place, state: 'connected' as const, endpoint } };
      }),
    );
    const done: SandboxRecord = {
      ...begun,
      ...defined<Pick<SandboxRecord, 'host'>>({ host }),
      places: [...before.places, ...joined.map(({ place }) => place)],
    };
    sandboxes.add(done);
    // Who runs already asks by its new port as soon as that is there.
    if (!fresh) await names.told();
    await settle([
      making,
      dataplane.change({
        put: [
          ...(done.host ? [sandboxPiece(done)] : []),
          // Others may have added subnets since: what is sent last is what stays.
          ...joined.map(({ network }) => networkPiece(network.id, overlayOf(networks.get(network.id) ?? network))),
          ...joined.map(({ place }) => portPiece(place.endpoint, place)),
          ...late,
        ],
      }),
      sandboxes.save(done),
      // Nobody here is answered with what it had before.
      names.told(),
      ...joined.map(({ network, place }) => publish(place.endpoint, network, needs)),
    ]);
    await settle(reserved.map(({ network }) => overlays.membership(memberOf(network)).install()));
    // Another host may have lowered it meanwhile: what follows such a change did not see these. And what did not fit once
    // may have come to fit while nothing here was on it.
    for (const { id, mtu } of reserved.map(({ network }) => network)) {
      if (networks.find(id).mtu !== mtu || sizes.isUnfit(id)) sizes.changed(id);
    }
  } catch (error) {
    await making.catch(() => undefined);
    await undo(before, reserved, { fresh }, needs);
    throw error;
  }
}

/** Checks all, then takes names for all: a refusal leaves nothing. */
function reserve(
  record: SandboxRecord,
  requests: readonly ConnectRequest[],
  { networks, overlays }: JoinNeeds,
): readonly Reserved[] {
  const wanted = requests.map((request) => ({ request, network: networks.find(request.network) }));
  const attached = new Set(record.places.map(({ network }) => network));
  for (const { network } of wanted) {
    if (network.removing !== undefined) throw new Refusal('conflict', `network ${network.name} is being removed`);
    if (attached.has(network.id)) {
      throw new Refusal('conflict', `${nameOf(record)} is already attached to network ${network.name}`);
    }
    if (overlays.isFull(network.id)) {
      const most = `this host has ${mostBridgePorts - 1} containers on network ${network.name}, and its bridge takes no more`;
      throw new Refusal('conflict', `${most}: start it on another host, or on another network`);
    }
    attached.add(network.id);
  }
  const taken: { readonly interface: string }[] = [...record.places];
  if (record.exit !== undefined) taken.push(record.exit);
  return wanted.map(({ request, network }) => {
    const id = randomBytes(32).toString('hex');
    const place: Place = {
      id,
      network: network.id,
      name: request.name,
      interface: record.host ? hostInterface(network.id) : freeInterface(taken),
      port: overlays.takePort(network.id, id),
      state: 'connecting',
      ...defined<Pick<Place, 'masquerade'>>({ masquerade: request.masquerade }),
      overlay: overlayOf(network),
    };
    taken.push(place);
    return { place, request, network };
  });
}

function memberOf(network: Network): MemberOf {
  return { id: network.id, ...overlayOf(network) };
}

/** @throws Refusal 'unavailable' */
async function within(milliseconds: number, ready: Promise<void>, { name }: Network): Promise<void> {
  const waited = new AbortController();
  const late = pause(milliseconds, waited.signal).then(() => {
    if (waited.signal.aborted) return;
    throw new Refusal('unavailable', `the store does not tell who is on network ${name}: try again`);
  });
  try {
    await Promise.race([ready, late]);
  } finally {
    waited.abort();
  }
}

/** A removal of the network that began before the endpoint could be seen wins, one that comes later is refused. */
async function publish(
  endpoint: Endpoint,
  { id, name }: Network,
  { holdings, networks }: Pick<JoinNeeds, 'holdings' | 'networks'>,
): Promise<void> {
  await holdings.publish(endpoint);
  if ((await networks.confirm(id)) === undefined) throw new Refusal('conflict', `network ${name} is being removed`);
}

async function undo(
  before: SandboxRecord,
  reserved: readonly Reserved[],
  { fresh }: { fresh: boolean },
  { dataplane, leave, log, sandboxes }: JoinNeeds,
): Promise<void> {
  const { way: _, dns: __, host: ___, ...now } = sandboxes.get(before.id) ?? before;
  const reached = new Map(connectedPlaces(now).map(({ id, endpoint }) => [id, endpoint]));
  const places = reserved.map(({ place }) => {
    const endpoint = reached.get(place.id);
    return leaving(endpoint === undefined ? place : { ...place, endpoint });
  });
  try {
    const { way, dns, host } = before;
    await leave.letGo({ ...now, ...defined<Pick<SandboxRecord, 'way' | 'dns' | 'host'>>({ way, dns, host }) }, places, {
      whole: fresh,
      unused: reached.size === connectedPlaces(before).length,
    });
    if (host && !fresh) await dataplane.change({ put: [sandboxPiece(before)] });
  } catch (error) {
    log.error('a failed connection was not undone; the next start does it', { sandbox: before.id, error });
  }
}
