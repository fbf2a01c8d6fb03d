import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { Refusal } from '../lib/errors.ts';
import { Scope } from '../lib/scope.ts';
import { parseJson, parseRecord } from '../model/record.ts';
import { etcdCommand } from './etcd.ts';
import { self } from './home.ts';
import { closePlace, findPlace, isRunning, lastWords, openPlace, type Place } from './place.ts';
import {
  bracketed,
  hostLines,
  hostName,
  hostsFile,
  mostHosts,
  outsideLines,
  type Plan,
  planOf,
  switchLines,
} from './plan.ts';
import { run } from './run.ts';

/** A cluster on one machine: hosts on an underlay of one bridge, a store, and the Internet behind a router. */
export interface Lab {
  readonly name: string;
  /** What the hosts' daemons were given as `--cluster-store`. */
  readonly store: string;
  readonly hosts: readonly LabHost[];
  /** @throws Refusal 'not-found' */
  host(name: string): LabHost;
  /** Stands for the Internet: answers pings, and on TCP port 80 the address that asks. */
  readonly outside: Place;
  /** The switch and router; the lab's own etcd runs there. */
  readonly underlay: Place;
  /** Ends everything and leaves nothing. May be called twice. */
  close(): Promise<void>;
}

export interface LabHost extends Place {
  /** On the underlay. */
  readonly address: string;
  /** The daemon's API, as the machine outside reaches it. */
  readonly socket: string;
  readonly daemon: Daemon;
}

export interface Daemon {
  /** Resolves when it answers. @throws CommandError */
  start(): Promise<void>;
  /** Resolves when the process is gone. @throws Error when none runs */
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface LabOptions {
  readonly name: string;
  readonly hosts: number;
  /** The address family underneath. */
  readonly underlay: 4 | 6;
  readonly mtu: number;
  /** By default the lab runs an etcd of its own. */
  readonly store?: string;
  /** Whether it ends with this process, however that ends. */
  readonly tied: boolean;
  /** Without them nothing of ours runs yet: `daemon.start()` does. By default they are started. */
  readonly daemons?: boolean;
  /** Ends it, also while it is being opened. */
  readonly signal?: AbortSignal;
}

export interface LabState {
  readonly name: string;
  /** Undefined when it was cut off at its very beginning. */
  readonly description: Description | undefined;
  /** Whether all of its places are held. */
  readonly alive: boolean;
}

const labs = '/run/skein-lab';
/** A lab that is being ended: no name of a lab looks so. */
const ending = '~';
const places = { underlay: 'underlay', outside: 'outside' } as const;

const Description = v.object({
  hosts: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(mostHosts)),
  underlay: v.picklist([4, 6]),
  mtu: v.pipe(v.number(), v.integer()),
  store: v.string(),
  /** The process that it is tied to. */
  opener: v.optional(v.number()),
});
type Description = v.InferOutput<typeof Description>;

/** What answers for the Internet. */
const answerer = `require('node:net').createServer((socket) => socket.on('error', () => {})
  .end(socket.remoteAddress.replace(/^::ffff:/, '') + '\\n')).listen(80, '::')`;

/** @throws ParseError */
export function parseLabDescription(text: string, place: string): Description {
  return parseRecord(Description, parseJson(text, place), place);
}

/** Resolves when every daemon answers. @throws Refusal 'conflict' when the name is in use, 'invalid'; whatever failed */
export async function openLab(options: LabOptions): Promise<Lab> {
  check(options);
  const { name, tied, signal } = options;
  await sweep();
  const plan = planOf(options.hosts, options.underlay, options.mtu);
  const store = options.store ?? plan.store;
  const folder = claim(name);
  const scope = new Scope();
  scope.defer(() => closeLab(name));
  // How it went is told by the same call below.
  const interrupt = () => void scope.close().catch(() => {});
  signal?.addEventListener('abort', interrupt);
  scope.defer(() => signal?.removeEventListener('abort', interrupt));
  try {
    const { underlay, mtu } = plan;
    const description: Description = {
      hosts: plan.hosts.length,
      underlay,
      mtu,
      store,
      ...(tied && { opener: process.pid }),
    };
    writeFileSync(join(folder, 'lab.json'), `${JSON.stringify(description, undefined, 2)}\n`);
    configure(folder, plan, store);
    const opened = await Promise.all(
      namesOfPlaces(description).map((place) => openPlace({ name: place, folder: join(folder, place), tied })),
    );
    await wire(plan, new Map(opened.map((place) => [place.name, place])));
    const lab = { ...labOf(name, description), close: () => scope.close() };
    service(lab.outside, [process.execPath, '-e', answerer]);
    if (options.store === undefined) await startStore(lab.underlay, plan);
    if (options.daemons ?? true) await Promise.all(lab.hosts.map((host) => host.daemon.start()));
    return lab;
  } catch (error) {
    await scope.close();
    signal?.throwIfAborted();
    throw error;
  }
}

function check({ name, hosts, mtu, store }: LabOptions): void {
  checkName(name);
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > mostHosts) {
    throw new Refusal('invalid', `a lab has 1 to ${mostHosts} hosts, not ${hosts}`);
  }
  if (!Number.isInteger(mtu) || mtu < 1280 || mtu > 65000) {
    throw new Refusal('invalid', `the MTU of a lab is between 1280 and 65000, not ${mtu}`);
  }
  if (store?.startsWith('local:') && hosts > 1) {
    throw new Refusal('invalid', `${store} is a store for one host; leave --store out for an etcd of the lab's own`);
  }
  if (process.getuid?.() !== 0) throw new Refusal('forbidden', 'a lab needs root: it makes network namespaces');
}

/** The name is part of paths, and of the socket's, which has room for 107 characters. */
function checkName(name: string): void {
  if (!/^[a-z0-9][a-z0-9_.-]{0,31}$/i.test(name)) {
    throw new Refusal('invalid', `${JSON.stringify(name)} is no name of a lab: up to 32 letters, digits, _ . and -`);
  }
}

/** Whoever makes the folder has the name. */
function claim(name: string): string {
  const folder = join(labs, name);
  mkdirSync(labs, { recursive: true, mode: 0o755 });
  try {
    mkdirSync(folder);
  } catch (cause) {
    // The last lab's end took the folder above away.
    if (codeOf(cause) === 'ENOENT') return claim(name);
    if (codeOf(cause) !== 'EEXIST') throw cause;
    const choice = `end it, if it is yours, with: ${self} lab down --name ${name}; or call this one otherwise with --name`;
    throw new Refusal('conflict', `a lab named ${name} is up on this machine; ${choice}`, { cause });
  }
  return folder;
}

function namesOfPlaces({ hosts }: { hosts: number }): readonly string[] {
  return [...Object.values(places), ...Array.from({ length: hosts }, (_, i) => hostName(i))];
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

async function wire(plan: Plan, by: ReadonlyMap<string, Place>): Promise<void> {
  const pids = new Map([...by].map(([name, place]) => [name, place.pid]));
  await links(by, places.underlay, switchLines(plan, pids));
  const forward = 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding';
  await Promise.all([
    by.get(places.underlay)?.exec(['sh', '-euc', forward]),
    links(by, places.outside, outsideLines(plan)),
    ...plan.hosts.map(({ name, address }) => links(by, name, hostLines(plan, address))),
  ]);
}

/** Not in the place's PID namespace: the process ids in the lines are ours. */
async function links(by: ReadonlyMap<string, Place>, name: string, lines: readonly string[]): Promise<void> {
  const place = by.get(name);
  if (!place) throw new Error(`the lab has no place ${name}`);
  await run(['nsenter', `--net=${place.netns}`, 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** Runs on when this process ends, until its place does; writes to a file beside the place's own. */
function service(place: Place, command: readonly string[]): void {
  const log = openSync(join(place.folder, 'service.log'), 'a');
  place.spawn(command, { stdio: ['ignore', log, log], detached: true }).unref();
  closeSync(log);
}

async function startStore(underlay: Place, plan: Plan): Promise<void> {
  const listen = plan.store.slice('etcd://'.length);
  service(underlay, etcdCommand({ dataDir: '/var/lib/etcd-of-the-lab', listen }));
  const deadline = Date.now() + 20_000;
  const ask = ['etcdctl', '--endpoints', `http://${listen}`, '--dial-timeout=1s', 'endpoint', 'health'];
  for (;;) {
    const { code, stderr } = await underlay.attempt(ask);
    if (code === 0) return;
    if (Date.now() > deadline) {
      const log = lastWords(join(underlay.folder, 'service.log'));
      throw new Error(`start the lab's etcd on ${listen}: not healthy after 20 s: ${stderr.trim()} ${log}`);
    }
    await sleep(50);
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

function labOf(name: string, { hosts: count, underlay, mtu, store }: Description): Omit<Lab, 'close'> {
  const plan = planOf(count, underlay, mtu);
  const place = (at: string) => {
    const found = findPlace(at, join(labs, name, at));
    if (!found)
      throw new Refusal(
        'not-found',
        `${at} of the lab ${name} has ended; clear up with: ${self} lab down --name ${name}`,
      );
    return found;
  };
  const hosts = plan.hosts.map((host) => hostOf(place(host.name), host.address));
  return {
    name,
    store,
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

function hostOf(place: Place, address: string): LabHost {
  const runDir = join(place.folder, 'run/skein');
  return { ...place, address, socket: join(runDir, 'skein.sock'), daemon: daemonOf(place, runDir) };
}

function daemonOf(place: Place, runDir: string): Daemon {
  return {
    start: async () => {
      await place.exec(['skein', 'launch', '--detach']);
    },
    kill: async (signal) => {
      // The pid in the file is the one that counts inside.
      const pid = readFileSync(join(runDir, 'skein.pid'), 'utf8').trim();
      const wait = `kill -s ${signal.replace(/^SIG/, '')} ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.01; done`;
      await place.exec(['sh', '-euc', wait], { signal: AbortSignal.timeout(20_000) });
    },
  };
}

/** Every lab of this machine, by name, what a crash left too. */
export function listLabs(): readonly LabState[] {
  return listFolder(labs).map((entry) => {
    const folder = join(labs, entry);
    const description = describe(folder);
    const held = (name: string) => findPlace(name, join(folder, name)) !== undefined;
    const alive = !entry.endsWith(ending) && description !== undefined && namesOfPlaces(description).every(held);
    return { name: entry.replace(ending, ''), description, alive };
  });
}

function describe(folder: string): Description | undefined {
  const file = join(folder, 'lab.json');
  try {
    return parseLabDescription(readFileSync(file, 'utf8'), file);
  } catch {
    return undefined;
  }
}

function listFolder(folder: string): readonly string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

/**
 * Ends every process of a lab and removes its folder, whole or half made; nothing is done when there is none. The folder
 * goes out of the way first: what is just about to begin finds no place to note itself, and does not begin.
 */
export async function closeLab(name: string): Promise<void> {
  checkName(name);
  const leaving = join(labs, name + ending);
  await clear(leaving);
  try {
    renameSync(join(labs, name), leaving);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  await clear(leaving);
}

async function clear(folder: string): Promise<void> {
  await Promise.all(listFolder(folder).map((name) => closePlace(join(folder, name))));
  // Should a mount ever stand there, what it shows is not ours.
  if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${folder}/`)) {
    throw new Error(`remove ${folder}: something is mounted in it; unmount that first`);
  }
  // Not by a program: the second Ctrl-C would end that.
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  try {
    rmdirSync(labs);
  } catch {
    // Other labs are there, or none ever was.
  }
}

/** Removes what tied labs left whose process was killed: they themselves ended with it. */
async function sweep(): Promise<void> {
  const orphans = listLabs().filter(({ description }) => description?.opener && !isRunning(description.opener));
  await Promise.all(orphans.map(({ name }) => closeLab(name)));
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
