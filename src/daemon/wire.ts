import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { type HandedSocket, openApi } from '../adapters/api/server.ts';
import { returningContainers } from '../controllers/containers/former.ts';
import { openContainers } from '../controllers/containers/open.ts';
import { openEndpoints } from '../controllers/endpoints/open.ts';
import { chooseUnderlay } from '../controllers/hosts/advertise.ts';
import { followCarrier } from '../controllers/hosts/carrier.ts';
import { beginEpoch } from '../controllers/hosts/identity.ts';
import { findNeeded } from '../controllers/hosts/needed.ts';
import { openHosts } from '../controllers/hosts/open.ts';
import { WayMtu } from '../controllers/hosts/way-mtu.ts';
import { type OpenedNames, openNames } from '../controllers/names/open.ts';
import { openNetworks } from '../controllers/networks/open.ts';
import { openRecords } from '../controllers/records/open.ts';
import type { Carrier, Dataplane } from '../dataplane/dataplane.ts';
import type { Foreign } from '../dataplane/foreign/foreign.ts';
import { openForeign } from '../dataplane/foreign/open.ts';
import { openDataplane } from '../dataplane/open.ts';
import { openHostResolvers } from '../dns/host-resolvers.ts';
import { openNameServer } from '../dns/open.ts';
import { messageOf, Refusal } from '../lib/errors.ts';
import { Feed } from '../lib/feed.ts';
import type { Log } from '../lib/log.ts';
import { formatAddress, parseInterfaceAddress } from '../lib/prefix.ts';
import { Scope } from '../lib/scope.ts';
import { settle } from '../lib/settle.ts';
import { featureLevel } from '../model/cluster.ts';
import type { Host } from '../model/host.ts';
import { nameServerAddresses } from '../model/name-server.ts';
import type { NamesPlace } from '../model/setting-values.ts';
import type { Settings } from '../model/settings.ts';
import { version } from '../model/version.ts';
import { openJournal } from '../state/kv/local/journal.ts';
import { parseStoreUrl, type StoreUrl } from '../state/kv/url.ts';
import { type Meshed, openMeshed, type Waiting } from './meshed.ts';
import { pathsOf } from './paths.ts';
import { gatewayPools } from './pools.ts';
import { openProblems, probingOf } from './probing.ts';
import { isMesh, rememberStore, storeIn } from './remembered-store.ts';
import { repairRegularly } from './repair.ts';
import { openStored, type Stored } from './shared.ts';
import { welcome } from './welcome.ts';

export interface Threads {
  readonly journal: Worker;
  readonly dataplane: Worker;
  readonly names: Worker;
}

export interface DaemonInit {
  readonly settings: Settings;
  readonly log: Log;
  /** Paths of the sockets of the API. */
  readonly sockets: readonly string[];
  /** Sockets of the API that listen already. */
  readonly handed: readonly HandedSocket[];
  /** Threads that were started before all this was loaded; by default they are started now. */
  readonly threads?: Threads;
  /** Begins to end the daemon; returns at once. */
  readonly stop: (reason?: Error) => void;
  /** Begins to close everything and to open it anew; returns at once. */
  readonly restart: () => void;
}

/** The interface of a container to the outside, in bytes. */
const exitMtu = 1500;

/**
 * Opens everything, from the ground up; closing goes the other way and leaves the kernel as it is. This is the one place
 * where implementations are named.
 */
export async function openDaemon({
  settings,
  log,
  sockets,
  handed,
  threads,
  stop,
  restart,
}: DaemonInit): Promise<{ close(): Promise<void> }> {
  const scope = new Scope();
  const held = <T extends { close(): Promise<void> }>(part: T): T => {
    scope.defer(() => part.close());
    return part;
  };
  const now = () => Date.now();
  const { stateDir, runDir } = settings;
  const files = pathsOf(settings);
  try {
    const asked = settings.clusterStore === undefined ? undefined : placeOfState(settings.clusterStore);
    await makeDirectory(stateDir, 0o700);
    await makeDirectory(runDir, 0o755);

    // This host: what it remembers, who it is, what its kernel says.
    let foreign: Foreign | undefined;
    let names: OpenedNames | undefined;
    let unheld: string | undefined;
    const carrier = new Feed<{ readonly carrier: Carrier | undefined } | undefined>(undefined);
    const domains = settings.dnsDomain;
    let told: Pick<Dataplane, 'unanswered'> | undefined;
    const onLost = (sockets: readonly string[]) => {
      told?.unanswered(sockets).catch((error: unknown) => log.error('names are not answered', { sockets, error }));
    };
    const [nameServer, journal, dataplane] = await settle([
      openNameServer({ domains, log, onLost, onEnd: stop, ...(threads && { thread: threads.names }) }).then(held),
      openJournal(files.journal, threads?.journal).then(held),
      openDataplane({
        ...{ run: runDir, state: stateDir, holder: files.holder, log, onEnd: stop },
        ...(threads && { thread: threads.dataplane }),
        onForeign: () => foreign?.touched(),
        onCarrier: (now) => carrier.set({ carrier: now }),
        // Not before the endpoints have the kernel taken up.
        onSockets: (change) => names?.sockets(change),
        onUnheld: (why) => {
          unheld = why;
        },
      }).then(held),
    ]);
    told = dataplane;
    const identity = await beginEpoch(journal);
    const view = await dataplane.look();

    // The cluster: shared state, and this host's place in it.
    const place = asked ?? placeOfState((await storeIn(journal)) ?? 'mesh:');
    const common = { settings, journal, identity, view, stop, log };
    const shared: Stored | Meshed | Waiting = held(
      await (place.url ? openStored(place.url, common) : openMeshed({ ...common, restart })),
    );
    const started = new Date(now()).toISOString();
    if ('waiting' in shared) {
      const { waiting: host, membership } = shared;
      await rememberStore(journal, place.text);
      held(await openApi({ waiting: { host, started }, membership, stop: () => stop(), log }, { sockets, handed }));
      await welcome(membership);
      log.info('waits for other hosts with its token', { host: host.name, id: host.id });
      return scope;
    }
    const { cluster, allocator, claims, catalog, registry, membership } = shared;
    await rememberStore(journal, place.text);
    const wishes = { advertise: settings.clusterAdvertise, data: settings.dataAddress };
    const { advertise, data, mtu, routes, device } = chooseUnderlay(view, { ...wishes, family: cluster.underlay });
    const { dataPort } = cluster;
    if (settings.dataPort !== undefined && settings.dataPort !== dataPort) {
      throw new Refusal(
        'conflict',
        `this host cannot join with --data-port ${settings.dataPort}: cluster ${cluster.id.slice(0, 12)} uses UDP port ${dataPort} on all hosts; leave the setting out`,
      );
    }
    const self: Host = {
      id: identity.id,
      name: settings.hostName ?? hostname(),
      key: identity.publicKey,
      ...{ advertise, data, mtu, routes: [...routes], probed: true },
      ...{ version, featureLevel, epoch: identity.epoch, bootId: view.bootId },
      started,
    };

    // What is done in it.
    const hosts = held(await openHosts({ registry, log, now }, { self, cluster }));
    const resolvers = openHostResolvers();
    const needed = () =>
      findNeeded({
        hosts,
        members: shared.servers,
        resolvers: async () => (await resolvers.list()).map(({ address }) => address),
      });
    const networks = held(
      await openNetworks(
        { catalog, allocator, claims, registry, journal, hosts, needed, log },
        { pools: settings.defaultAddressPool, defaultRange: settings.ipallocRange },
      ),
    );
    names = openNames(
      {
        server: nameServer,
        networks,
        staleSince: () => shared.status().failingSince,
        unheld: () => unheld,
        log,
      },
      { domains },
    );
    const records = held(
      await openRecords({ registry, journal, hosts, networks, answers: names, log, now }, { domains }),
    );
    const endpoints = held(
      await openEndpoints(
        { registry, allocator, claims, networks, hosts, needed, dataplane, journal, names, log, now },
        {
          namespaces: files.namespaces,
          exits: { pools: gatewayPools(settings.gatewayAddressPool), mtu: exitMtu },
          returning: await returningContainers(journal),
          listen: settings.dnsListen,
          domains,
        },
      ),
    );
    // Its tunnel is behind the guard, which stands with the endpoints.
    const openProbes = probingOf(dataplane, { host: identity.id, data, port: dataPort });
    const probing = await openProbes(mtu);
    if ('probes' in probing) held(probing.probes);
    hosts.amend({ probed: 'probes' in probing || probing.again });
    const containers = held(
      await openContainers(
        { endpoints, journal, log, now },
        {
          ...{ directory: files.containers, controls: files.controls, shim: files.shim },
          nameServers: nameServerAddresses,
          listeners: () => answeredAt(settings.dnsListen, endpoints.gateway() ?? []),
        },
      ),
    );
    const wayMtu = new WayMtu(hosts, mtu);
    const ways = held(openProblems(probing, { open: openProbes, hosts, mtu: wayMtu, log, now }, { device, mtu }));
    const carrying = held(
      followCarrier({ told: carrier, hosts, mtu: wayMtu, changed: (way) => ways.reopen(way), log, now }, { device }),
    );
    held(repairRegularly({ dataplane, log }));
    foreign = held(await openForeign({ state: stateDir, port: cluster.dataPort, log }));

    // And who may ask for it.
    const gateway = () => {
      const addresses = endpoints.gateway();
      return addresses && { addresses };
    };
    const skipped = () => [
      ...shared.skipped().map(({ key, reason }) => ({ place: key, reason })),
      ...networks.problems(),
    ];
    const needs = {
      hosts,
      paths: { problems: () => [...carrying.problems(), ...ways.problems(), ...endpoints.problems()] },
      networks,
      endpoints,
      containers,
      names,
      records,
      store: shared,
      membership,
      skipped,
      gateway,
      stop: () => stop(),
      log,
    };
    held(await openApi({ ...needs, started }, { sockets, handed }));
    log.info('ready', {
      host: self.name,
      id: self.id,
      cluster: cluster.id,
      store: shared.status().url,
      advertise,
      data,
    });
    if (membership) await welcome(membership);
    return scope;
  } catch (error) {
    await scope.close();
    throw error;
  }
}

/** `url`: of a store; none where the hosts themselves hold the state. @throws ParseError */
function placeOfState(text: string): { readonly text: string; readonly url: StoreUrl | undefined } {
  return { text, url: isMesh(text) ? undefined : parseStoreUrl(text) };
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (cause) {
    throw new Refusal('invalid', `cannot make the directory ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Addresses at which names are answered besides the networks, where others would ask: at the usual port. */
function answeredAt(places: readonly NamesPlace[], gateway: readonly string[]): readonly string[] {
  const bridge = gateway.map((text) => formatAddress(parseInterfaceAddress(text).address));
  return places
    .filter(({ port }) => port === 53)
    .flatMap(({ address }) => (address === 'gateway' ? bridge : [address]));
}
