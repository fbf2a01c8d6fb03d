import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, Refusal } from '../lib/errors.ts';
import { howToGetEtcd, unpackedEtcd } from './home.ts';

/** A real etcd for the lab, the tests and the benches: one member, cleartext, in a directory of the caller's. */
export interface RunningEtcd {
  /** As the store's URL takes it: `etcd://127.0.0.1:2379`. */
  readonly url: string;
  readonly pid: number;
  /** SIGTERM, and SIGKILL when it takes longer than 3 s; resolves when the process is gone. May be called twice. */
  stop(): Promise<void>;
}

export interface StartEtcd {
  readonly dataDir: string;
  /** `address:port` for clients. */
  readonly listen: string;
}

/** The program: in PATH, else where `npm test` and the demo unpack Debian's package. */
export function findEtcd(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), unpackedEtcd];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, 'etcd'))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @throws Refusal 'unavailable' when there is no etcd on this machine */
export function etcdCommand({ dataDir, listen }: StartEtcd): readonly [string, ...string[]] {
  const program = findEtcd();
  if (program === undefined) throw new Refusal('unavailable', `start etcd: there is none in PATH; ${howToGetEtcd}`);
  const client = `http://${listen}`;
  // One member speaks to no peer: any port does.
  const peer = `http://${listen.slice(0, listen.lastIndexOf(':'))}:0`;
  return [
    program,
    ...['--name', 'lab', '--data-dir', dataDir, '--logger', 'zap', '--log-level', 'warn'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `lab=${peer}`],
  ];
}

/** Resolves when it serves clients. @throws Error with the last lines that it wrote when it ends, or is not ready in 20 s */
export async function startEtcd({ dataDir, listen }: StartEtcd): Promise<RunningEtcd> {
  const [program, ...args] = etcdCommand({ dataDir, listen });
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = lastLines(child, 20);
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= end(child, gone);
    return stopping;
  };
  try {
    await untilHealthy(`http://${listen}/health`, gone);
  } catch (cause) {
    await stop();
    throw new Error(`start etcd on ${listen}: ${messageOf(cause)}; it wrote: ${lines.join(' ')}`, { cause });
  }
  return { url: `etcd://${listen}`, pid: child.pid ?? 0, stop };
}

function lastLines(child: ChildProcess, most: number): string[] {
  const lines: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    lines.push(...text.split('\n').filter((line) => line !== ''));
    lines.splice(0, lines.length - most);
  });
  return lines;
}

async function untilHealthy(url: string, gone: Promise<void>): Promise<void> {
  const over = new AbortController();
  const healthy = ask(url, over.signal);
  const late = sleep(20_000, 'it was not ready in 20 s', { signal: over.signal });
  try {
    const reason = await Promise.race([healthy, gone.then(() => 'it ended'), late]);
    if (reason !== undefined) throw new Error(reason);
  } finally {
    over.abort();
    await Promise.allSettled([healthy, late]);
  }
}

async function ask(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const answer = await fetch(url, { signal }).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(25, undefined, { signal });
  }
}

async function end(child: ChildProcess, gone: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await gone;
  clearTimeout(impatience);
}
