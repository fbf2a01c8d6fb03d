import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { NamedEndpoint } from '../../src/dns/dns.ts';
import { Names } from '../../src/dns/names.ts';
import { openNameServer } from '../../src/dns/open.ts';
import { run } from '../../src/lab/run.ts';
import { heapUsed } from '../../src/lib/heap.testing.ts';
import type { Scope } from '../../src/lib/scope.ts';
import type { Bench } from '../bench.ts';
import { holding } from '../bounds.ts';
import { compile } from '../compile.ts';
import { median, type Report, rotated, round } from '../report.ts';
import { askedThen, attached, attachedBefore, whileAttaching } from './attaching.ts';
import { type Load, loadCommand, parseLoad } from './load.ts';
import { bindSockets, type Container, openPlace, serverNamespace, servers } from './place.ts';

const rounds = 5;
const seconds = 2;
const names = 10_000;
const containers = 50;
const inFlight = 20;
/** Half of what the server has to be able to. */
const halfLoad = 45_000;

const least = { 'local_qps.skein': 90_000 } as const;
const most = { p99_ms: 1, p99_attach_ms: 10, name_bytes: 1000 } as const;

type Server = keyof typeof servers;
const both = Object.keys(servers) as readonly Server[];

/** CPU 0 is both servers', the last one asks. */
const serverCpu = 0;
const loadCpu = cpus().length - 1;

/**
 * Names of 10 000 containers, asked for from 50 of them. Skein's name server, in its thread, and a dnsmasq that has the same
 * names answer at two addresses of one bridge, in turn, all of either on one CPU.
 */
export const dns: Bench = async ({ scope, say }) => {
  const program = await compile('dns-load');
  // Before this process, and all that it starts, is bound to one CPU.
  const attaches = await whileAttaching({ scope, say }, { program, cpu: loadCpu });
  await run(['taskset', '--all-tasks', '--cpu-list', '--pid', `${serverCpu}`, `${process.pid}`]);
  const nameBytes = measureNames();
  const asking = await openPlace(containers);
  await openSkein(scope, asking);
  const dnsmasq = await openDnsmasq(scope);
  const cpuOf = (which: Server) => (which === 'skein' ? process.pid : dnsmasq);
  const load = async (which: Server, rate: number): Promise<Load> => {
    const asked = { seconds, inFlight, rate, names, server: servers[which] };
    const namespaces = asking.map(({ namespace }) => namespace);
    const { stdout } = await run(loadCommand(program, { cpu: loadCpu, ...asked }, namespaces));
    return parseLoad(stdout);
  };
  for (const which of both) await load(which, 0);

  say(`${rounds} rounds of ${seconds} s: ${names} names, ${containers} containers, ${inFlight} questions under way`);
  const measured: Record<Server, Round[]> = { skein: [], dnsmasq: [] };
  for (let n = 0; n < rounds; n++) {
    for (const which of rotated(both, n)) {
      const before = cpuSeconds(cpuOf(which));
      const full = await load(which, 0);
      const used = cpuSeconds(cpuOf(which)) - before;
      const half = await load(which, halfLoad);
      measured[which].push({ full, half, cpuUs: (used * 1e6) / (full.qps * seconds) });
    }
  }
  return report(measured, attaches, nameBytes);
};

interface Round {
  readonly full: Load;
  readonly half: Load;
  /** Of the server, for each question at full load. */
  readonly cpuUs: number;
}

function endpointOf(n: number): NamedEndpoint {
  const id = randomBytes(32).toString('hex');
  const addresses = [`10.20.${2 + (n >> 8)}.${n & 255}`];
  return { kind: 'endpoint', id, network: 'bench', names: [`name${n}`, id.slice(0, 12)], addresses };
}

/** Bytes of the heap for each name, when all else that brought it is gone. */
function measureNames(): number {
  const table = new Names();
  const before = heapUsed();
  for (let n = 0; n < names; n++) table.put(structuredClone(endpointOf(n)));
  const bytes = (heapUsed() - before) / table.size;
  return Math.round(bytes);
}

async function openSkein(scope: Scope, asking: readonly Container[]): Promise<void> {
  const server = await openNameServer();
  scope.defer(() => server.close());
  const sockets = bindSockets();
  const place = { network: 'bench', family: 4 } as const;
  await server.change({
    put: [
      { kind: 'network', id: 'bench', name: 'bench', subnets: ['10.20.0.0/16'] },
      ...Array.from({ length: names }, (_, n) => endpointOf(n)),
      { kind: 'socket', id: 'udp', transport: 'udp', fd: sockets.udp, ...place },
      { kind: 'socket', id: 'tcp', transport: 'tcp', fd: sockets.tcp, ...place },
      ...asking.map(({ namespace, address }) => {
        const places = [{ network: 'bench', address }];
        return { kind: 'asker' as const, id: namespace, places, networks: ['bench'], resolvers: [] };
      }),
    ],
  });
}

/** @returns its process */
async function openDnsmasq(scope: Scope): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-dnsmasq-'));
  scope.defer(() => rm(folder, { recursive: true }));
  const hosts = join(folder, 'hosts');
  const lines = Array.from({ length: names }, (_, n) => {
    const {
      names: [name],
      addresses: [address],
    } = endpointOf(n);
    return `${address} ${name}.skein.local ${name}`;
  });
  await writeFile(hosts, `${lines.join('\n')}\n`, { mode: 0o644 });
  const files = [
    '--no-resolv',
    '--no-hosts',
    `--addn-hosts=${hosts}`,
    '--conf-file=/dev/null',
    '--pid-file',
    '--user=root',
  ];
  const listening = [`--listen-address=${servers.dnsmasq}`, '--bind-interfaces', `--cache-size=${names}`];
  const command = ['dnsmasq', '--keep-in-foreground', '--log-facility=-', ...files, ...listening];
  const enter = ['taskset', '--cpu-list', `${serverCpu}`, 'nsenter', `--net=${serverNamespace}`, '--'];
  const [program = '', ...args] = [...enter, ...command];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  scope.defer(() => void child.kill('SIGKILL'));
  const failed = Promise.withResolvers<never>();
  child.on('error', failed.reject);
  child.on('exit', () => failed.reject(new Error('dnsmasq ended: is it installed (apt-get install dnsmasq-base)?')));
  failed.promise.catch(() => {});
  // It says when it has read the names, and answers from then on.
  await Promise.race([toldOf(child.stderr, `read ${hosts}`), failed.promise]);
  child.stderr.resume();
  if (child.pid === undefined) throw new Error('dnsmasq has no process');
  return child.pid;
}

async function toldOf(output: Readable, what: string): Promise<void> {
  for await (const line of createInterface(output)) if (line.includes(what)) return;
  throw new Error(`dnsmasq ended without saying ${JSON.stringify(what)}`);
}

/** Of a process and its threads (proc(5)): utime and stime, in hundredths of a second. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function report(measured: Record<Server, readonly Round[]>, attaches: readonly Load[], nameBytes: number): Report {
  const over = (which: Server, value: (one: Round) => number) => round(median(measured[which].map(value)));
  const qps = (which: Server) => over(which, ({ full }) => full.qps);
  const p99 = (which: Server) => over(which, ({ half }) => half.p99_us / 1000);
  const cpu = (which: Server) => over(which, ({ cpuUs }) => cpuUs);
  const lost = (which: Server) => measured[which].reduce((sum, { full, half }) => sum + full.lost + half.lost, 0);
  const figures = {
    local_qps: { skein: qps('skein'), dnsmasq: qps('dnsmasq') },
    cpu_us: { skein: cpu('skein'), dnsmasq: cpu('dnsmasq') },
    p99_ms: { skein: p99('skein'), dnsmasq: p99('dnsmasq') },
    asker_stood_percent: {
      skein: over('skein', ({ half }) => half.stood * 100),
      dnsmasq: over('dnsmasq', ({ half }) => half.stood * 100),
    },
    p99_attach_ms: round(median(attaches.map(({ p99_us }) => p99_us / 1000))),
    name_bytes: nameBytes,
  };
  const values = { p99_ms: figures.p99_ms.skein, p99_attach_ms: figures.p99_attach_ms, name_bytes: nameBytes };
  return {
    table: [
      ['server', 'questions a second', 'CPU, µs each', `p99 at ${halfLoad} a second, ms`],
      ...both.map((which) => [which, `${qps(which)}`, `${cpu(which)}`, `${p99(which)}`]),
    ],
    notes: [
      `Medians of ${rounds} rounds. All of a server is on CPU ${serverCpu}; who asks is on CPU ${loadCpu}.`,
      `While ${attached} endpoints attach to a daemon one after the other, ${askedThen} questions a second from ${attachedBefore} others there have a p99 of ${figures.p99_attach_ms} ms.`,
      `Who asks, at that load, never waits, and was kept from running for ${figures.asker_stood_percent.skein} % of the time (skein) and ${figures.asker_stood_percent.dnsmasq} % (dnsmasq): from 1 % on, that alone is the 99th percentile.`,
      `A name takes ${nameBytes} bytes: an endpoint with a name, its short id and an IPv4 address.`,
      `Questions that nobody answered within a second: ${both.map((which) => `${lost(which)} ${which}`).join(', ')}.`,
      ...Object.entries(least).map(([key, bound]) => {
        const value = figures.local_qps.skein;
        return `${key}: ${value}; at least ${bound}: ${value >= bound ? 'held' : 'MISSED'}`;
      }),
      ...holding(values, most),
    ],
    figures,
  };
}
