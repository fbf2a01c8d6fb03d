import { setTimeout as sleep } from 'node:timers/promises';
import { type LabHost, openLab } from '../../src/lab/lab.ts';
import type { Bench } from '../bench.ts';
import { holding } from '../bounds.ts';
import { createNetwork, openCaller } from '../caller.ts';
import { buildPackage } from '../package.ts';
import { median, round } from '../report.ts';

const starts = 9;
const remotes = 1000;
const containers = 20;
const settled = 60_000;
const network = 'bench';
const bounds = { start_ms: 400, idle_mb: 120, remote1000_mb: 150, per_container_mb: 3 } as const;

/**
 * The built package, four daemons on an etcd of one member: one that does nothing, one with 1000 endpoints, one that has a
 * single endpoint on the network of those, and one with containers. Memory is the VmRSS of the daemon and the shims.
 */
export const footprint: Bench = async ({ scope, say }) => {
  const built = await buildPackage(say);
  const lab = await openLab({
    name: 'bench-footprint',
    hosts: 4,
    underlay: 4,
    mtu: 1500,
    tied: true,
    store: 'etcd',
    daemons: false,
  });
  scope.defer(() => lab.close());
  const [idle, many, few, busy] = [lab.host('h1'), lab.host('h2'), lab.host('h3'), lab.host('h4')];

  say(`${starts} starts`);
  const took: number[] = [];
  for (let i = 0; i <= starts; i++) {
    const start = performance.now();
    await built.launch(idle);
    // The first one makes the files that the later ones find, as after an installation.
    if (i > 0) took.push(performance.now() - start);
    if (i < starts) await idle.daemon.kill('SIGTERM');
  }

  await Promise.all([many, few, busy].map((host) => built.launch(host)));
  await createNetwork(many, network);
  const near = await openCaller(few, { namespaces: 1, network, connections: 1, exit: false });
  scope.defer(() => near.close());
  await near.attach(0);
  say(`${remotes} endpoints on one host, ${containers} containers on another`);
  const far = await openCaller(many, { namespaces: remotes, network, connections: 20, exit: false });
  scope.defer(() => far.close());
  for (let n = 0; n < remotes; n += 20) await Promise.all(Array.from({ length: 20 }, (_, i) => far.attach(n + i)));
  for (let n = 0; n < containers; n++) {
    await busy.exec(built.command('run', '-d', '--name', `c${n}`, '--network', network, '--', 'sleep', 'infinity'));
  }
  say(`${settled / 1000} s of nothing`);
  await sleep(settled);
  // What the daemon with containers holds beside them is what the one holds that has one endpoint on the same network.
  const [idleMb, remoteMb, busyMb] = [await memoryOf(idle), await memoryOf(few), await memoryOf(busy)];
  const figures = {
    start_ms: round(median(took)),
    idle_mb: round(idleMb),
    remote1000_mb: round(remoteMb),
    per_container_mb: round(Math.max(0, busyMb - remoteMb) / containers),
  };
  return {
    table: [
      ['', 'measured', 'at most'],
      ...Object.entries(bounds).map(([key, most]) => [key, `${figures[key as keyof typeof bounds]}`, `${most}`]),
    ],
    notes: [
      `start_ms: skein launch --detach until it returns, which is when the daemon answers; median of ${starts}.`,
      `per_container_mb: with ${containers} containers, above a daemon with the same ${remotes} remote endpoints and one of its own.`,
      `The daemon of the ${remotes} endpoints holds ${round(await memoryOf(many))} MB.`,
      ...holding(figures, bounds),
    ],
    figures,
  };
};

/** VmRSS of our processes on a host, in MB of 2^20 bytes. */
async function memoryOf(host: LabHost): Promise<number> {
  const { stdout } = await host.exec(['ps', '-eo', 'rss=,args=']);
  const ours = stdout.split('\n').filter((line) => /\/daemon\/main\.js|skein-shim/.test(line));
  if (ours.length === 0) throw new Error(`nothing of ours runs on ${host.name}`);
  return ours.reduce((sum, line) => sum + Number.parseInt(line, 10), 0) / 1024;
}
