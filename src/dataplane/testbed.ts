import { type ChildProcess, execFile, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Dataplane, Piece } from './dataplane.ts';
import { type Call, fromWire, type WireError } from './protocol.ts';

/**
 * Hosts for tests: each a network and a mount namespace of its own with its own /run, held by a process that is not the
 * data plane's, so that this one can be killed; all of them on one wire.
 */
export class Testbed {
  readonly #wire: ChildProcess;
  readonly #hosts: TestHost[] = [];

  constructor(wire: ChildProcess) {
    this.#wire = wire;
  }

  static async open(): Promise<Testbed> {
    const wire = await hold();
    inNamespaces(wire, 'ip link add wire type bridge mcast_snooping 0 && ip link set wire up');
    return new Testbed(wire);
  }

  /** A host on the wire, with these addresses on `u0`. */
  async host(...addresses: readonly string[]): Promise<TestHost> {
    const holder = await hold();
    const port = `p${this.#hosts.length}`;
    execFileSync('ip', [
      ...['link', 'add', port, 'mtu', '1500', 'netns', String(this.#wire.pid)],
      ...['type', 'veth', 'peer', 'name', 'u0', 'netns', String(holder.pid)],
    ]);
    inNamespaces(this.#wire, `ip link set ${port} master wire up`);
    const host = new TestHost(holder);
    host.sh('sysctl -qw net.ipv6.conf.u0.accept_dad=0; ip link set u0 up');
    for (const address of addresses) host.sh(`ip addr add ${address} dev u0 nodad`);
    this.#hosts.push(host);
    return host;
  }

  async close(): Promise<void> {
    for (const host of this.#hosts) await host.end();
    this.#wire.kill('SIGKILL');
  }
}

/** One host; its data plane runs in a process of its own. */
export class TestHost {
  readonly #holder: ChildProcess;
  #daemon: ChildProcess | undefined;
  #next = 0;
  /** What is to hold sockets, instead of what is built. */
  holder: string | undefined;

  constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  /** Runs a shell command on the host. @returns what it printed. @throws when it fails */
  sh(command: string): string {
    return inNamespaces(this.#holder, command);
  }

  /** Runs a shell command in a namespace pinned on the host, and does not wait. */
  async start(namespace: string, command: string): Promise<string> {
    const args = ['-t', String(this.pid), '-n', '-m', 'ip', 'netns', 'exec', namespace, 'sh', '-c', command];
    const { stdout } = await promisify(execFile)('nsenter', args);
    return stdout;
  }

  /** The same, waiting for it. */
  in(namespace: string, command: string): string {
    return this.sh(`ip netns exec ${namespace} sh -c ${quote(command)}`);
  }

  succeeds(namespace: string, command: string): boolean {
    try {
      this.in(namespace, command);
      return true;
    } catch {
      return false;
    }
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** Of the process that holds the data plane, while it runs. */
  get daemonPid(): number {
    return this.#daemon?.pid ?? 0;
  }

  readonly dataplane: Dataplane = {
    set: (pieces) => this.#call('set', pieces),
    change: (change) => this.#call('change', change),
    repair: () => this.#call('repair'),
    adopt: (source) => this.#call('adopt', source),
    unanswered: (sockets) => this.#call('unanswered', sockets),
    look: () => this.#call('look'),
    close: () => this.#call('close'),
  };

  set(pieces: readonly Piece[]) {
    return this.dataplane.set(pieces);
  }

  /** As a crash does it. */
  async kill(): Promise<void> {
    const daemon = this.#daemon;
    if (!daemon) return;
    this.#daemon = undefined;
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
  }

  /** Of what holds sockets while no data plane runs, if anything does. */
  get socketHolderPid(): number | undefined {
    const mounts = (pid: number | string) => readlinkSync(`/proc/${pid}/ns/mnt`);
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .find((pid) => {
        try {
          const isOne = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/skein-holder\0');
          return isOne && mounts(pid) === mounts(this.pid);
        } catch {
          // It has ended meanwhile.
          return false;
        }
      });
  }

  async end(): Promise<void> {
    await this.kill();
    const holder = this.socketHolderPid;
    if (holder !== undefined) process.kill(holder, 'SIGKILL');
    this.#holder.kill('SIGKILL');
  }

  /**
   * All that there is in the host and its pinned namespaces, in the words of the usual tools, sorted. Without what follows
   * a little later by itself: carrier and what depends on it.
   */
  state(): string {
    const report = [
      'ip -o link | sed -E "s/^[0-9]+: ([^@:]*).*[<,](UP).*mtu ([0-9]+).*link\\/(.*) brd.*/\\1 \\2 mtu \\3 \\4/"',
      'ip -o addr show scope global | sed "s/^[0-9]*: //"',
      'ip -4 route; ip -6 route | grep -v fe80',
      'ip neigh show nud permanent',
      'bridge fdb show | grep -E "static|dst"',
      'bridge -d link | grep -oE "(locked|isolated|learning|flood) [a-z]+"',
      'nft list ruleset | sort',
      "ss -Hltun | awk '{ print $1, $2, $5 }'",
      'for d in vxlan0 $(ls /sys/class/net | grep -E "^veth[0-9]+$"); do for s in ingress egress; do tc filter show dev $d $s 2>/dev/null | grep -E "match|mirred|link" | sed "s/^/$d $s /"; done; done',
      'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding',
    ].join('; ');
    const namespaces = this.sh('ls /run/skein/netns 2>/dev/null || true').split('\n').filter(Boolean);
    const parts = [`== host\n${sorted(this.sh(report))}`];
    for (const name of namespaces) parts.push(`== ${name}\n${sorted(this.in(name, report))}`);
    return parts.join('\n');
  }

  async #call<T>(...call: Call): Promise<T> {
    this.#daemon ??= await this.#start();
    const daemon = this.#daemon;
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const take = (answer: { readonly id: number; readonly value?: T; readonly error?: WireError }) => {
      if (answer.id !== id) return;
      daemon.off('message', take);
      if (answer.error) reject(fromWire(answer.error));
      else resolve(answer.value as T);
    };
    daemon.on('message', take);
    daemon.send({ id, call });
    return promise;
  }

  async #start(): Promise<ChildProcess> {
    const daemon = fork(fileURLToPath(new URL('testbed-daemon.ts', import.meta.url)), {
      execPath: 'nsenter',
      env: { ...process.env, ...(this.holder !== undefined && { TESTBED_HOLDER: this.holder }) },
      execArgv: ['-t', String(this.pid), '-n', '-m', process.execPath],
    });
    await once(daemon, 'message');
    return daemon;
  }
}

export const isRoot = process.getuid?.() === 0;

/** Polls until it is so. */
export async function until(condition: () => boolean, what: string, ms = 5000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what} did not happen within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function hold(): Promise<ChildProcess> {
  const script =
    'mount -t tmpfs tmpfs /run && mkdir -p /run/netns && ip link set lo up && echo ready && exec sleep 600';
  const holder = spawn('unshare', ['-n', '-m', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  return holder;
}

function inNamespaces(holder: ChildProcess, command: string): string {
  return execFileSync('nsenter', ['-t', String(holder.pid), '-n', '-m', 'sh', '-c', command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function sorted(text: string): string {
  const lines = text.split('\n').map((line) =>
    line
      .replace(/ linkdown| link-netns(id)? \S+/, '')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );
  return lines.toSorted().join('\n').trim();
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Numbers of the CPUs that this process may run on, from `0-1,4` as proc(5) has it. */
export function allowedCpus(): readonly number[] {
  const [, list = '0'] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, n) => first + n);
  });
}
