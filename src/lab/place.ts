import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { home } from '../lib/own-files.ts';
import { unpackedEtcd } from './home.ts';
import { entering } from './rootless.ts';
import { attempt, type Output, type RunOptions, run } from './run.ts';

/**
 * One machine of a lab: network, mount, UTS and PID namespaces of its own, held by a process that does nothing else. All
 * that runs there ends with that process, in whatever state it is.
 */
export interface Place {
  readonly name: string;
  /** What the machine outside sees of it: `run` is its /run. */
  readonly folder: string;
  /** Path of its network namespace. */
  readonly netns: string;
  /** Of the holder, as the machine outside counts. */
  readonly pid: number;
  /** The command that runs `command` there. */
  enter(command: readonly string[]): readonly [string, ...string[]];
  /** @throws CommandError when the exit code is not 0 */
  exec(command: readonly string[], options?: RunOptions): Promise<Output>;
  attempt(command: readonly string[], options?: RunOptions): Promise<Output>;
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess;
}

export interface OpenPlace {
  readonly name: string;
  readonly folder: string;
  /** Ends with the process that opened it. */
  readonly tied: boolean;
}

/**
 * Notes who it is before it makes anything: whoever finds the folder can end it, and once the folder is gone nothing can
 * begin any more. The kernel kills the second process when this one dies (`--kill-child`), and with it, the first of its
 * PID namespace, everything inside.
 */
const outer = `
read -r stat <"/proc/$$/stat"
echo "$stat" >"$1/holder"
exec unshare --net --uts --mount --pid --fork --kill-child --mount-proc --propagation private \
  sh -eu "$1/machine.sh" "$1" "$2"
`;

/**
 * What a machine has of its own: host name, /sys of its network, /etc and /var/lib on top of the real ones, /run, and after
 * a reboot a boot id and the /var/lib of before. Then it stands on its disk, which no path leads to any more, and reaps what
 * loses its parent. In the folder nothing is made with `mkdir -p`: what is gone stays gone.
 */
const inner = `
folder=$1
hostname "$2"
ip link set lo up
mkdir "$folder/disk" "$folder/run"
mount -n -t tmpfs -o mode=755 tmpfs "$folder/disk"
for tree in etc var/lib; do
  disk=$folder/disk/\${tree##*/}
  mkdir "$disk" "$disk/work"
  if [ "$tree" = var/lib ] && [ -d "$folder/kept" ]; then mv "$folder/kept" "$disk/upper"; else mkdir "$disk/upper"; fi
  mount -n -t overlay -o "lowerdir=/$tree,upperdir=$disk/upper,workdir=$disk/work" overlay "/$tree"
done
mkdir -p /etc/skein /var/lib/skein
cp -R --remove-destination "$folder/etc/." /etc/
groups=
if [ -d /sys/fs/cgroup ]; then groups=$folder/disk/cgroup; mkdir "$groups"; mount -n --rbind /sys/fs/cgroup "$groups"; fi
mount -n -t sysfs sysfs /sys
if [ -n "$groups" ]; then mount -n --move "$groups" /sys/fs/cgroup; fi
if [ -f "$folder/boot_id" ]; then mount -n --bind "$folder/boot_id" /proc/sys/kernel/random/boot_id; fi
cd "$folder/disk"
mount -n --bind "$folder/run" /run
echo ready
exec >&2
while :; do sleep 86400 & wait $! || :; done
`;

/**
 * Resolves when it can be used. The folder is there, with an `etc` that is laid over the machine's; it is never made here,
 * as it may have been taken away by who ends the lab meanwhile. @throws Error with what its set-up wrote
 */
export async function openPlace({ name, folder, tied }: OpenPlace): Promise<Place> {
  writeFileSync(join(folder, 'machine.sh'), inner);
  const log = join(folder, 'log');
  const tie = tied ? ['setpriv', '--pdeathsig', 'KILL'] : [];
  const [program, ...args] = [...tie, 'sh', '-euc', outer, 'lab', folder, name];
  const file = openSync(log, 'a');
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', file], detached: true, cwd: '/' });
  closeSync(file);
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    // Ends too when the process does.
    child.stdout?.once('end', () => reject(new Error(`open ${name} of the lab: it ended: ${lastWords(log)}`)));
    child.stdout?.once('data', () => resolve());
  });
  child.stdout?.destroy();
  child.unref();
  const place = findPlace(name, folder);
  if (!place) throw new Error(`open ${name} of the lab: it ended: ${lastWords(log)}`);
  return place;
}

/** What it wrote to its log at last. */
export function lastWords(log: string): string {
  try {
    return readFileSync(log, 'utf8').trim().slice(-1000);
  } catch {
    return '';
  }
}

/** A place that is there, or undefined. */
export function findPlace(name: string, folder: string): Place | undefined {
  const pid = holderOf(folder);
  if (pid === undefined) return undefined;
  const namespaces = ['--net', '--uts', '--mount', `--pid=/proc/${pid}/ns/pid_for_children`];
  const enter = (command: readonly string[]) =>
    ['nsenter', '--target', String(pid), ...entering(pid), ...namespaces, '--', ...command] as const;
  const env = environment();
  return {
    name,
    folder,
    netns: `/proc/${pid}/ns/net`,
    pid,
    enter,
    exec: (command, options) => run(enter(command), { env, ...options }),
    attempt: (command, options) => attempt(enter(command), { env, ...options }),
    spawn: (command, options = {}) => {
      const [program, ...args] = enter(command);
      return spawn(program, args, { env, ...options });
    },
  };
}

/** As outside, with our command and etcd's in PATH, and without settings that were meant for a daemon outside. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('SKEIN_'));
  const path = [home, unpackedEtcd, process.env['PATH'], '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  const found = path.filter((folder) => folder !== undefined).map((folder) => folder.replace(/\/$/, ''));
  return { ...Object.fromEntries(kept), PATH: found.join(delimiter), ETCDCTL_API: '3' };
}

/** Ends everything there; resolves when it is gone. May be called when there is nothing (any more). */
export async function closePlace(folder: string): Promise<void> {
  const holder = holderOf(folder);
  if (holder === undefined) return;
  // With the first process of a PID namespace all others end, and the holder, its parent, when all of them have.
  for (const pid of childrenOf(holder)) end(pid);
  const deadline = Date.now() + 10_000;
  while (holderOf(folder) === holder) {
    if (Date.now() > deadline)
      throw new Error(`end process ${holder}, the holder of ${folder}: it is still there after 10 s`);
    await sleep(5);
    if (childrenOf(holder).length === 0) end(holder);
  }
}

/** Whether there is such a process, and more of it than its exit code. */
export function isRunning(pid: number): boolean {
  const state = statOf(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was quicker.
  }
}

/** The process that holds the place; a later one of the same number has another start time. */
function holderOf(folder: string): number | undefined {
  const noted = statOf(() => readFileSync(join(folder, 'holder'), 'utf8'));
  if (!noted) return undefined;
  const now = statOf(() => readFileSync(`/proc/${noted.pid}/stat`, 'utf8'));
  return now?.started === noted.started && isRunning(noted.pid) ? noted.pid : undefined;
}

/** See proc_pid_stat(5); the name, in brackets, may hold anything. */
function statOf(read: () => string): { pid: number; state: string; started: string } | undefined {
  let text: string;
  try {
    text = read();
  } catch {
    return undefined;
  }
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  const [state, started] = [fields[0], fields[19]];
  const pid = Number.parseInt(text, 10);
  return state === undefined || started === undefined || !(pid > 1) ? undefined : { pid, state, started };
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
