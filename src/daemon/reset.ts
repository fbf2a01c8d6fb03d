import { existsSync, readFileSync } from 'node:fs';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { openClient } from '../adapters/api/client.ts';
import { endContainers, livingContainers } from '../controllers/containers/end-all.ts';
import { parseIdentity } from '../controllers/hosts/identity.ts';
import { forwardingNeeds } from '../dataplane/foreign/forwarding.ts';
import { manageAgain, UNMANAGED_FILE } from '../dataplane/foreign/network-manager.ts';
import { takeBackGuests } from '../dataplane/foreign/open.ts';
import { changedSettings, FORWARDING, HostSettings, SETTINGS_FILE } from '../dataplane/host-settings.ts';
import { openDataplane } from '../dataplane/open.ts';
import { bootId, closePinDirectory } from '../kernel/namespace.ts';
import { openSyscalls } from '../kernel/syscall.ts';
import { backoff } from '../lib/backoff.ts';
import { messageOf, Refusal } from '../lib/errors.ts';
import { type Cluster, parseCluster } from '../model/cluster.ts';
import { parseContainer } from '../model/container.ts';
import { keysBelow } from '../model/keys.ts';
import type { StoreOption } from '../model/setting-values.ts';
import type { Settings } from '../model/settings.ts';
import { depart } from '../state/kv/departure.ts';
import { openJournal } from '../state/kv/local/journal.ts';
import { openStore } from '../state/kv/open.ts';
import { parseStoreUrl } from '../state/kv/url.ts';
import { isAside, setAside } from './aside.ts';
import { type Departure, departuresIn, formatDepartures } from './departures.ts';
import { endHolders } from './holders.ts';
import { pathsOf } from './paths.ts';
import { placeOf } from './place.ts';
import { isMesh, storeIn } from './remembered-store.ts';
import { lockRunDirectory } from './run-lock.ts';

export interface ResetInit {
  readonly settings: Settings;
  /** Also when containers run. */
  readonly force: boolean;
  /** Tells what was done, and what could not be, in sentences. */
  readonly say: (sentence: string) => void;
  readonly complain: (sentence: string) => void;
}

/** What of a host has to be known before its state directory goes. */
interface Known {
  readonly host?: string;
  readonly cluster?: Cluster;
  readonly store?: string;
  /** Where the daemon was. */
  readonly place?: string;
  /** Names of containers by id. */
  readonly names: ReadonlyMap<string, string>;
}

const patience = { depart: 10_000, stop: 15_000, terminate: 10_000, kill: 5_000 } as const;

/**
 * Takes every trace of Skein off this host: daemon, containers, kernel, cluster state, files. Each step stands by itself, so
 * that what fails keeps nothing else from being done; what the later steps need (the state directory) goes when the kernel is
 * clean, as it holds what settings were, and last the run directory, whose lock lets no daemon start meanwhile. May repeat,
 * after a crash too.
 * @returns whether nothing is left
 * @throws Refusal 'conflict' when containers run and it is not forced
 */
export async function reset({ settings, force, say, complain }: ResetInit): Promise<boolean> {
  if (process.getuid?.() !== 0) throw new Refusal('forbidden', 'reset needs root: it changes the kernel and /var/lib');
  const paths = pathsOf(settings);
  const places = { directory: paths.containers, controls: paths.controls, shim: paths.shim };
  const living = await livingContainers(places);
  if (living.length > 0 && !force) {
    const list = living.map((id) => id.slice(0, 12)).join(', ');
    throw new Refusal('conflict', `containers run on this host (${list}): end them first, or say --force`);
  }
  let whole = true;
  const step = async (what: string, task: () => Promise<string | undefined>): Promise<boolean> => {
    try {
      const done = await task();
      if (done !== undefined) say(done);
      return true;
    } catch (error) {
      complain(`cannot ${what}: ${messageOf(error)}`);
      whole = false;
      return false;
    }
  };

  await step('hand on what this host owns of the cluster', () => departFrom(paths));
  if (!(await step('end the daemon', () => endDaemon(paths)))) return false;
  const ran = existsSync(settings.runDir);
  const lock = lockRunDirectory({ runDir: settings.runDir, pidFile: paths.pid }, openSyscalls());
  /** In the state directory: what may hold something that is owed, and cannot be read. */
  const unread: string[] = [];
  let known: Known = { names: new Map() };
  const recalled = await step('read what this host remembers', async () => {
    known = await recall(paths.journal);
    return undefined;
  });
  if (!recalled) unread.push(...filesOfDatabase(basename(paths.journal)));
  await step('end the containers', async () => {
    const left = await endContainers(places);
    if (left.length > 0) throw new Error(`${left.map((id) => known.names.get(id) ?? id).join(', ')} did not die`);
    return living.length === 0 ? undefined : `ended ${count(living.length, 'container')}`;
  });
  await step("take our rules out of others' chains", async () => {
    const taken = await takeBackGuests(settings.stateDir);
    return taken === 0 ? undefined : `took ${count(taken, 'rule')} out of others' chains`;
  });
  await step('see who else needs packets forwarded', async () => {
    const left = await leaveToOthers(settings.stateDir);
    return left.length === 0 ? undefined : left.join('\n');
  });
  await step('end what keeps the sockets for names', async () => {
    const ended = await endHolders(settings.runDir);
    return ended === 0 ? undefined : 'ended what kept the sockets for names';
  });
  const kernel = await step('clear the kernel', () => clearKernel(settings));
  await step('take back what NetworkManager was told', async () =>
    manageAgain() ? `removed ${UNMANAGED_FILE}` : undefined,
  );
  const memory = join(settings.stateDir, 'departures.json');
  const url = settings.clusterStore ?? known.store ?? 'mesh:';
  const owed: Departure[] = [];
  const remembered = await step('read what earlier resets could not give back', async () => {
    owed.push(...departuresIn(memory));
    return undefined;
  });
  if (!remembered) unread.push(basename(memory));
  owed.push(...departureOf(known, url));
  const unpaid: Departure[] = [];
  for (const departure of owed) {
    const paid = await step(`give back what host ${departure.host.slice(0, 12)} holds in the store`, () =>
      giveBack(departure, { defaultPath: paths.store, options: settings.clusterStoreOpt, place: known.place }),
    );
    if (!paid) unpaid.push(departure);
  }
  if (kernel) {
    await step(`remove ${settings.stateDir}`, async () => {
      const aside = await setAside(settings.stateDir, unread, new Date());
      if (aside !== undefined)
        complain(`what could not be read is kept in ${aside}: it may tell what this host still holds in the store`);
      if (unpaid.length === 0) return await empty(settings.stateDir, isAside);
      // Before the journal goes, from which alone it is known.
      await writeFile(`${memory}.new`, formatDepartures(unpaid), { mode: 0o600, flush: true });
      await rename(`${memory}.new`, memory);
      const done = await empty(settings.stateDir, (name) => isAside(name) || name === basename(memory));
      return `${done ?? ''}: reset again once the store answers, and the rest is given back`;
    });
    await step(`remove ${settings.runDir}`, async () => {
      closePinDirectory(openSyscalls(), paths.namespaces);
      const done = await empty(settings.runDir);
      return ran ? done : undefined;
    });
  } else
    complain(`${settings.stateDir} is kept: it holds what this host's settings were; reset again when that is mended`);
  lock.close();
  return whole;
}

/** Of a mesh, while the daemon runs: a host that is gone cannot say it. @throws Refusal, Error */
async function departFrom(paths: ReturnType<typeof pathsOf>): Promise<string | undefined> {
  if (daemonIn(paths.pid) === undefined) return undefined;
  const client = openClient(paths.socket);
  const signal = AbortSignal.timeout(patience.depart);
  const status = await client.call('getStatus', {}, { signal }).catch(() => undefined);
  if (status?.state !== 'ready' || status.mesh === undefined || status.mesh.hosts < 2) return undefined;
  const { heir } = await client.call('departHost', {}, { signal });
  if (heir === undefined)
    throw new Error('no other host can be reached; an admin of the cluster removes this one with skein host rm');
  return `handed what this host owned on to host ${heir.name ?? heir.id}`;
}

/** Afterwards none runs. @throws Error */
async function endDaemon(paths: ReturnType<typeof pathsOf>): Promise<string | undefined> {
  const pid = daemonIn(paths.pid) ?? daemonIn(`${paths.journal}.pid`);
  if (pid === undefined) return undefined;
  await openClient(paths.socket)
    .call('stopDaemon', {}, { signal: AbortSignal.timeout(patience.stop) })
    .catch(() => end(pid, 'SIGTERM'));
  if (await gone(pid, patience.terminate)) return `ended the daemon, process ${pid}`;
  end(pid, 'SIGKILL');
  if (await gone(pid, patience.kill)) return `killed the daemon, process ${pid}`;
  throw new Error(`process ${pid} does not die`);
}

/** The process that a pid file names, if it is a daemon of ours. */
function daemonIn(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8').trim());
    return isDaemon(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isDaemon(pid: number): boolean {
  try {
    return /\/daemon\/main\.[jt]s\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  } catch {
    return false;
  }
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It was quicker.
  }
}

async function gone(pid: number, ms: number): Promise<boolean> {
  const signal = AbortSignal.timeout(ms);
  for await (const _ of backoff({ first: 5, most: 100, signal })) if (!isDaemon(pid)) return true;
  return !isDaemon(pid);
}

async function recall(path: string): Promise<Known> {
  if ((await readdir(join(path, '..')).catch(() => [])).length === 0) return { names: new Map() };
  const journal = await openJournal(path);
  try {
    const [host, cluster, containers, store] = await Promise.all([
      journal.load('host'),
      journal.load('cluster'),
      journal.load('container'),
      storeIn(journal),
    ]);
    const self = host.find(({ id }) => id === 'self');
    const former = cluster.find(({ id }) => id === 'cluster');
    const names = containers.flatMap(({ id, value }) => {
      try {
        return [[id, parseContainer(value, id).name] as const];
      } catch {
        return [];
      }
    });
    return {
      ...(self && { host: parseIdentity(self.value, 'host identity in the state directory').id }),
      ...(former && { cluster: parseCluster(former.value, 'cluster in the state directory') }),
      ...(store !== undefined && { store }),
      place: await placeOf(bootId(), path),
      names: new Map(names),
    };
  } finally {
    await journal.close();
  }
}

/** Settings that others need by now as we have set them, or may need. @returns a sentence for each. @throws Error */
async function leaveToOthers(stateDir: string): Promise<readonly string[]> {
  let needs: ReadonlyMap<string, string>;
  try {
    needs = await forwardingNeeds();
  } catch (error) {
    return leaveInDoubt(stateDir, messageOf(error).trim().replaceAll(/\s+/g, ' '));
  }
  const settings = new HostSettings(join(stateDir, SETTINGS_FILE));
  return [...needs]
    .filter(([path]) => settings.leave(path))
    .map(([path, who]) => `left ${path.replaceAll('/', '.')} as it is: others need it (${who})`);
}

/** To take forwarding from who lives by it is worse than to leave it on. */
function leaveInDoubt(stateDir: string, reason: string): readonly string[] {
  const former = changedSettings(stateDir);
  const settings = new HostSettings(join(stateDir, SETTINGS_FILE));
  const forwarding: readonly string[] = Object.values(FORWARDING);
  return former
    .filter(({ path }) => forwarding.includes(path) && settings.leave(path))
    .map(({ path, was }) => {
      const name = path.replaceAll('/', '.');
      return `left ${name} as it is: whether others need it could not be seen (${reason}); if nobody does: sysctl -w ${name}=${was}`;
    });
}

async function clearKernel({ runDir, stateDir }: Settings): Promise<string | undefined> {
  const dataplane = await openDataplane({ run: runDir, state: stateDir });
  try {
    const { steps } = await dataplane.set([]);
    return steps.length === 0 ? undefined : `took ${count(steps.length, 'thing')} out of the kernel`;
  } finally {
    await dataplane.close();
  }
}

/** SQLite's, of a database in its write-ahead mode, itself last. */
function filesOfDatabase(name: string): readonly string[] {
  return [`${name}-wal`, `${name}-shm`, name];
}

/** Nothing of a host that never was in a cluster, or whose store goes with its state directory. */
function departureOf({ host, cluster }: Known, url: string): readonly Departure[] {
  if (isMesh(url)) return [];
  const store = parseStoreUrl(url);
  if (host === undefined || cluster === undefined || (store.kind === 'local' && store.path === undefined)) return [];
  return [{ host, cluster, store: url }];
}

interface GiveBack {
  readonly defaultPath: string;
  readonly options: readonly StoreOption[];
  readonly place: string | undefined;
}

async function giveBack(
  { host, cluster, store: url }: Departure,
  { defaultPath, options, place }: GiveBack,
): Promise<string> {
  const parsed = parseStoreUrl(url);
  const store = await openStore(parsed, parsed.kind === 'etcd' ? options : [], defaultPath);
  try {
    const gave = await depart(store, { keys: keysBelow(parsed.root), host, cluster, place, now: Date.now });
    if (gave === undefined) {
      return `left the store as it is: host ${host.slice(0, 12)} is alive elsewhere, and this machine was made from a copy of its disk`;
    }
    const held = `${count(gave.endpoints, 'endpoint')}, ${count(gave.names, 'name')}, ${count(gave.addresses, 'address')}${gave.records > 0 ? `, ${count(gave.records, 'record')}` : ''}`;
    return `left cluster ${cluster.id.slice(0, 12)} and gave back ${held}`;
  } finally {
    await store.close();
  }
}

/** Of all but what is kept. The directory itself stays when it is a mount, or others hold it. */
async function empty(directory: string, isKept: (name: string) => boolean = () => false): Promise<string | undefined> {
  const names = await readdir(directory).catch(() => undefined);
  if (names === undefined) return undefined;
  const kept = names.filter(isKept);
  for (const name of names) if (!kept.includes(name)) await rm(join(directory, name), { recursive: true, force: true });
  if (kept.length > 0) return `removed ${directory}, but for ${kept.join(', ')}`;
  await rm(directory, { recursive: true, force: true }).catch(() => undefined);
  return `removed ${directory}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : what.endsWith('s') ? 'es' : 's'}`;
}
