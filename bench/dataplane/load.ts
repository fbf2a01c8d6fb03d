import { type ChildProcess, spawn } from 'node:child_process';
import { cpus } from 'node:os';
import { run } from '../../src/lab/run.ts';
import { programOf } from '../compile.ts';

/** The loads of `bench/native/load.c`: for how long, which of the numbers that it writes, and what that is. */
export const loads = {
  tcp_rr_us: { load: 'tcp_rr', seconds: 1, field: 'p50_us', says: 'TCP round trip, µs' },
  udp_rr_us: { load: 'udp_rr', seconds: 0.7, field: 'p50_us', says: 'UDP round trip, µs' },
  tcp_crr_us: { load: 'tcp_crr', seconds: 1, field: 'p50_us', says: 'TCP connect, round trip, reset, µs' },
  udp64_pps: { load: 'udp64', seconds: 0.7, field: 'per_second', says: 'UDP, 64 bytes, packets a second' },
  tcp_gbps: { load: 'tcp', seconds: 0.7, field: 'gbps', says: 'TCP, one stream, Gbit/s' },
} as const;

export type LoadName = keyof typeof loads;
export const loadNames: readonly LoadName[] = ['tcp_rr_us', 'udp_rr_us', 'tcp_crr_us', 'udp64_pps', 'tcp_gbps'];

/** Two ends between which the loads run. */
export interface Path {
  readonly client: Enter;
  readonly server: Enter;
  /** Of the server, as the client sees it. */
  readonly address: string;
}

/** The command that runs `command` in an end's network namespace. */
export type Enter = (command: readonly string[]) => readonly string[];

const program = programOf('load');

/** The CPU of both ends of every load: the last one. */
export const loadCpu = cpus().length - 1;

/** This process, and what it starts from now on, leaves that CPU to the loads. */
export async function stayOffLoadCpu(): Promise<void> {
  if (loadCpu === 0) return;
  await run(['taskset', '--all-tasks', '--cpu-list', '--pid', `0-${loadCpu - 1}`, `${process.pid}`]);
}

/** Serves every load until it is killed. @throws Error when it ends at once */
export async function serve(enter: Enter): Promise<ChildProcess> {
  const [first = '', ...args] = enter([program, 'serve', `${loadCpu}`]);
  const child = spawn(first, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('error', reject);
    child.once('exit', () => reject(new Error('the server of the loads ended at once')));
  });
  return child;
}

/** One figure. @throws CommandError */
export async function measure(name: LoadName, { client, address }: Path): Promise<number> {
  const { load, seconds, field } = loads[name];
  const { stdout } = await run(client([program, load, `${loadCpu}`, address, `${seconds}`]));
  const figures: unknown = JSON.parse(stdout);
  const value: unknown = figures instanceof Object ? Reflect.get(figures, field) : undefined;
  if (typeof value !== 'number') throw new Error(`load ${load}: it wrote no ${field}`);
  return value;
}
