import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { backoff } from '../lib/backoff.ts';
import { Refusal } from '../lib/errors.ts';
import { Scope } from '../lib/scope.ts';
import { wire, wireHost } from './cables.ts';
import { type Description, fileOf, namesOfPlaces, places, readDescription } from './description.ts';
import { checkName, claim, folderOf, listFolders, removeFolder } from './folders.ts';
import { self } from './home.ts';
import { hostOf, type LabHost } from './host.ts';
import { findPlace, isRunning, openPlace, type Place } from './place.ts';
import { bracketed, hostsFile, mostHosts, mostSubnets, type Plan, planOf } from './plan.ts';
import { rebootPlace } from './reboot.ts';
import { startOutside, startStore } from './services.ts';

export type { LabHost } from './host.ts';

/** A cluster on one machine: hosts on an underlay, a store, and the Internet behind a router. */
export interface Lab {
  readonly name: string;
  /** What the hosts' daemons were given as `--cluster-store`. */
  readonly store: string;
  readonly hosts: readonly LabHost[];
  /** @throws Refusal 'not-found' */
  host(name: string): LabHost;
  /** Stands for the Internet: answers pings, and on TCP port 80 the address that asks. */
  readonly outside: Place;
  /** The switches, a bridge `brN` a subnet, and the router; the lab's own etcd runs there. */
  readonly underlay: Place;
  /** Ends everything and leaves nothing. May be called twice. */
  close(): Promise<void>;
}

export interface LabOptions {
  readonly name: string;
  readonly hosts: number;
  /** Over which the hosts are spread by turns, a router between; by default one. */
  readonly subnets?: number;
  /** The address family underneath. */
  readonly underlay: 4 | 6;
  readonly mtu: number;
  /** `etcd`: one of the lab's own; else what the hosts take as `--cluster-store`, by default none, so that they are a mesh. */
  readonly store?: string;
  /** Whether it ends with this process, however that ends. */
  readonly tied: boolean;
  /** Without them nothing of ours runs yet: `daemon.start()` does. By default they are started. */
  readonly daemons?: boolean;
  /** Ends it, also while it is being opened. */
  readonly signal?: AbortSignal;
}

/** For which a host is given to come to its cluster, in milliseconds. */
const joining = 20_000;

export interface LabState {
  readonly name: string;
  /** Undefined when it was cut off at its very beginning. */
  readonly description: Description | undefined;
  /** Whether all of its places are held. */
  readonly alive: boolean;
}

/** Resolves when every daemon answers. @throws Refusal 'conflict' when the name is in use, 'invalid'; whatever failed */
export async function openLab(options: LabOptions): Promise<Lab> {
  check(options);
  const { name, tied, signal, hosts, subnets = 1, underlay, mtu } = options;
  await sweep();
  const plan = planOf({ hosts, subnets, underlay, mtu });
  const isOwn = options.store === 'etcd';
  const store = isOwn ? plan.store : (options.store ?? 'mesh:');
  const folder = claim(name);
  const scope = new Scope();
  scope.defer(() => closeLab(name));
  // How it went is told by the same call below.
  const interrupt = () => void scope.close().catch(() => {});
  signal?.addEventListener('abort', interrupt);
  scope.defer(() => signal?.removeEventListener('abort', interrupt));
  try {
    const description: Description = { hosts, subnets, underlay, mtu, store, ...(tied && { opener: process.pid }) };
    writeFileSync(fileOf(folder), `${JSON.stringify(description, undefined, 2)}\n`);
    configure(folder, plan, store);
    const opened = await Promise.all(
      namesOfPlaces(description).map((place) => openPlace({ name: place, folder: join(folder, place), tied })),
    );
    await wire(plan, new Map(opened.map((place) => [place.name, place])));
    const lab = { ...labOf(name, description), close: () => scope.close() };
    startOutside(lab.outside);
    if (isOwn) await startStore(lab.underlay, plan.store);
    if (options.daemons ?? true) await startDaemons(lab);
    return lab;
  } catch (error) {
    await scope.close();
    signal?.throwIfAborted();
    throw error;
  }
}

/** Hosts without a store are let in by the first one. */
async function startDaemons({ store, hosts }: Pick<Lab, 'store' | 'hosts'>): Promise<void> {
  const [first, ...others] = hosts;
  if (store !== 'mesh:' || first === undefined) {
    await Promise.all(hosts.map(({ daemon }) => daemon.start()));
    return;
  }
  await first.daemon.start();
  if (others.length === 0) return;
  const { stdout: token } = await first.exec(['skein', 'token', 'show']);
  await Promise.all(others.map(({ daemon }) => daemon.start('--token', token.trim(), first.address)));
  await Promise.all(others.map((host) => joined(host)));
}

/** Resolves when the host belongs to a cluster. */
async function joined(host: LabHost): Promise<void> {
  for await (const _ of backoff({ first: 20, most: 100, signal: AbortSignal.timeout(joining) })) {
    const { code } = await host.attempt(['skein', 'host', 'ls']);
    if (code === 0) return;
  }
  throw new Refusal(
    'unavailable',
    `${host.name} of the lab was not let in by the first host within ${joining / 1000} s`,
  );
}

function check({ name, hosts, subnets = 1, mtu, store }: LabOptions): void {
  checkName(name);
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > mostHosts) {
    throw new Refusal('invalid', `a lab has 1 to ${mostHosts} hosts, not ${hosts}`);
  }
  if (!Number.isInteger(subnets) || subnets < 1 || subnets > Math.min(hosts, mostSubnets)) {
    throw new Refusal('invalid', `${hosts} hosts are on 1 to ${Math.min(hosts, mostSubnets)} subnets, not ${subnets}`);
  }
  if (!Number.isInteger(mtu) || mtu < 1280 || mtu > 65000) {
    throw new Refusal('invalid', `the MTU of a lab is between 1280 and 65000, not ${mtu}`);
  }
  if (store?.startsWith('local:') && hosts > 1) {
    throw new Refusal('invalid', `${store} is a store for one host; leave --store out, and they need none`);
  }
  if (process.getuid?.() !== 0) throw new Refusal('forbidden', 'a lab needs root: it makes network namespaces');
}

/** What each machine finds in its /etc. */
function configure(folder: string, plan: Plan, store: string): void {
  for (const name of namesOfPlaces({ hosts: plan.hosts.length })) {
    const etc = join(folder, name, 'etc');
    for (const part of [join(folder, name), etc, join(etc, 'skein')]) mkdirSync(part);
    writeFileSync(join(etc, 'hosts'), hostsFile(plan));
  }
  for (const { name, address } of plan.hosts) {
    const settings = { 'cluster-store': store, 'cluster-advertise': `${bracketed(address)}:2376` };
    writeFileSync(join(folder, name, 'etc/skein/daemon.json'), `${JSON.stringify(settings, undefined, 2)}\n`);
  }
}

/** A lab that is up. @throws Refusal 'not-found' */
export function findLab(name: string): Lab {
  checkName(name);
  const found = listLabs().find((lab) => lab.name === name);
  if (!found?.description)
    throw new Refusal('not-found', `there is no lab named ${name}; ${self} lab ls shows those that are up`);
  return { ...labOf(name, found.description), close: () => closeLab(name) };
}

function labOf(name: string, description: Description): Omit<Lab, 'close'> {
  const plan = planOf(description);
  const place = (at: string) => {
    const found = findPlace(at, join(folderOf(name), at));
    if (!found)
      throw new Refusal(
        'not-found',
        `${at} of the lab ${name} has ended; clear up with: ${self} lab down --name ${name}`,
      );
    return found;
  };
  const tied = description.opener !== undefined;
  const hostAt = (i: number, at: Place, host: Plan['hosts'][number]): LabHost => {
    const reboot = async () => {
      const after = await rebootPlace(at, { underlay: place(places.underlay), tied });
      await wireHost(plan, host, after);
      hosts[i] = hostAt(i, after, host);
    };
    return { ...hostOf(at, host.address), reboot };
  };
  const hosts = plan.hosts.map((host, i) => hostAt(i, place(host.name), host));
  return {
    name,
    store: description.store,
    hosts,
    host: (wanted) => {
      const host = hosts.find((one) => one.name === wanted);
      if (host) return host;
      throw new Refusal(
        'not-found',
        `the lab ${name} has no host ${wanted}, only ${hosts.map((one) => one.name).join(', ')}`,
      );
    },
    outside: place(places.outside),
    underlay: place(places.underlay),
  };
}

/** Every lab of this machine, by name, what a crash left too. */
export function listLabs(): readonly LabState[] {
  return listFolders().map(({ name, folder, ending }) => {
    const description = readDescription(folder);
    const held = (place: string) => findPlace(place, join(folder, place)) !== undefined;
    const alive = !ending && description !== undefined && namesOfPlaces(description).every(held);
    return { name, description, alive };
  });
}

/** Ends a lab, whole or half made; nothing is done when there is none. */
export async function closeLab(name: string): Promise<void> {
  await removeFolder(name);
}

/** Removes what tied labs left whose process was killed: they themselves ended with it. */
async function sweep(): Promise<void> {
  const orphans = listLabs().filter(({ description }) => description?.opener && !isRunning(description.opener));
  await Promise.all(orphans.map(({ name }) => closeLab(name)));
}
