import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, mkdirSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { openClient } from '../adapters/api/client.ts';
import { messageOf, Refusal } from '../lib/errors.ts';
import { joinCommand } from '../model/join-token.ts';
import { handedOver } from '../model/setting-values.ts';
import {
  namesOf,
  parseSettings,
  type Setting,
  type Settings,
  settingKeys,
  settings,
  settingsFile,
} from '../model/settings.ts';
import { readToken } from '../model/token-source.ts';
import { joining } from './mesh/joining.ts';
import { daemonProgram, execute, type NodeSettings } from './program.ts';
import { withProgress } from './progress.ts';
import { collect, complain, print } from './session.ts';
import { printable } from './table.ts';

const daemon = daemonProgram('main');

/**
 * The daemon waits most of its time and should cost little memory meanwhile: a young generation of at most 4 MB for each thread's
 * heap, and one thread for V8's own work. Memory that was freed goes back to the kernel; see mallopt(3).
 */
export const lean: NodeSettings = {
  flags: ['--max-semi-space-size=4', '--v8-pool-size=1'],
  env: { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' },
};

/** Executes the daemon, with the same Node and the same settings. */
export function addLaunch(program: Command): void {
  const command = program
    .command('launch')
    .description('Start the daemon on this host')
    .argument('[place...]', 'other hosts of a cluster without a store, HOST[:PORT]')
    .option('--detach', 'in the background; returns when it is ready or has failed')
    .option('--config-file <file>', `settings file instead of ${settingsFile}`);
  for (const key of settingKeys) command.addOption(optionOf(key));
  command.action(async (peers: readonly string[], options: Record<string, unknown>) => {
    const flags = flagsOf(options, { host: program.opts()['host'], peers });
    const { configFile } = options;
    const path = typeof configFile === 'string' ? configFile : settingsFile;
    const file = readSettingsFile(path, { required: configFile !== undefined });
    const chosen = parseSettings({ flags, env: process.env, file });
    const { args, env } = handOver(flags, chosen);
    const words = [...(configFile === undefined ? [] : [`--config-file=${path}`]), ...args];
    const node = { ...lean, env: { ...lean.env, ...env } };
    if (options['detach'] === true) await detach(words, chosen, node);
    else execute(daemon, words, node);
  });
}

/**
 * What the daemon is told beside the file. Everybody who lists processes sees its arguments: a token goes in the
 * environment, which root alone reads.
 */
export function handOver(
  flags: Readonly<Record<string, readonly string[]>>,
  { token }: Pick<Settings, 'token'>,
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const secret = namesOf('token');
  const args = settingKeys.flatMap((key) => {
    const { flag } = namesOf(key);
    const { negated = false }: Setting = settings[key];
    const texts = flag === secret.flag ? [] : (flags[flag] ?? []);
    return texts.map((text) => (negated ? `--${flag}` : `--${flag}=${text}`));
  });
  const given = flags[secret.flag] !== undefined || Boolean(process.env[secret.variable]);
  const env = given && token !== undefined ? { [secret.variable]: readToken(token).reveal() } : {};
  return { args, env };
}

function optionOf(key: keyof Settings): Option {
  const { short, value, sentence, many, default: preset, unset, negated = false }: Setting = settings[key];
  if (negated) return new Option(`--${namesOf(key).flag}`, sentence);
  const initial = preset.length === 0 ? unset : preset.length > 2 ? `${preset[0]} …` : preset.join(' ');
  const flags = `${short === undefined ? '' : `-${short}, `}--${namesOf(key).flag} <${value}>`;
  return new Option(flags, `${sentence}${many ? '; may repeat' : ''} (${initial})`).argParser(collect);
}

/** `skein -H unix:///PATH launch` says where to listen, as Docker's daemon once took it. */
function flagsOf(
  options: Readonly<Record<string, unknown>>,
  { host, peers }: { readonly host: unknown; readonly peers: readonly string[] },
): Record<string, readonly string[]> {
  const given = settingKeys.flatMap((key) => {
    const { negated = false }: Setting = settings[key];
    const texts = negated && options[key] === false ? ['false'] : options[key];
    const all = [...(Array.isArray(texts) ? texts.map(String) : []), ...(key === 'peer' ? peers : [])];
    return all.length > 0 ? [[namesOf(key).flag, all] as const] : [];
  });
  return { ...(typeof host === 'string' ? { host: [host] } : {}), ...Object.fromEntries(given) };
}

function readSettingsFile(
  path: string,
  { required }: { required: boolean },
): { path: string; text: string } | undefined {
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    if (!required && cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new Refusal('invalid', `cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

async function detach(args: readonly string[], chosen: Settings, { flags, env }: NodeSettings): Promise<void> {
  const { stateDir } = chosen;
  const log = join(stateDir, 'daemon.log');
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new Refusal('invalid', `cannot make the directory ${stateDir}: ${messageOf(cause)}`, { cause });
  }
  const out = openLogFile(log);
  const begin = fstatSync(out).size;
  const child = spawn(process.execPath, [...flags, daemon, '--ready-fd=3', ...args], {
    detached: true,
    cwd: '/',
    env: { ...process.env, ...env },
    stdio: ['ignore', out, out, 'pipe'],
  });
  const ended = once(child, 'exit');
  const said = await withProgress('starting the daemon', readAll(child.stdio[3]));
  if (said === 'ready\n') {
    child.unref();
    print(`the daemon runs as pid ${child.pid}; its log is ${log}\n${await howItWent(chosen)}`);
    return;
  }
  const [code, signal] = await ended;
  const ending = `the daemon ended with ${signal ?? `code ${code}`} before it was ready`;
  const lines = lastLines(out, begin);
  const why = lines.length === 0 ? `see ${log}` : [`the end of ${log}:`, ...lines].join('\n  ');
  complain(printable(said.trim()) || `${ending}; ${why}`);
  process.exitCode = 1;
}

/** For which hosts that were given are waited for, in milliseconds: by then it is known why one cannot be reached. */
const longestJoining = 5_000;

/** What has come of it where there is no store, and in a cluster of one the next step, as a line to copy. */
export async function howItWent(
  { host, runDir, peer }: Pick<Settings, 'host' | 'runDir' | 'peer'>,
  patience = longestJoining,
): Promise<string> {
  const socket = host.find((path) => path !== handedOver) ?? join(runDir, 'skein.sock');
  const client = openClient(socket);
  try {
    // With others to go to it may begin anew at any moment.
    const cluster = peer.length > 0 ? await joining(socket, undefined, patience) : undefined;
    const status = await client.call('getStatus', {});
    if (status.state === 'waiting') {
      const whys = status.targets.map(({ address, state, why }) => `  ${address}: ${printable(why ?? state)}\n`);
      return `this host waits for others with its token; connect it to one of them: skein connect HOST\n${whys.join('')}`;
    }
    if (status.mesh === undefined) return '';
    if (cluster !== undefined || status.mesh.hosts > 1)
      return `it belongs to cluster ${status.cluster.id.slice(0, 12)}\n`;
    if (status.mesh.role !== 'admin') return '';
    return `other hosts join with: ${joinCommand(await client.call('getToken', {}))}\n`;
  } catch (error) {
    // It runs all the same; `skein status` and `skein token show` say more.
    if (error instanceof Refusal) return '';
    throw error;
  }
}

function openLogFile(path: string): number {
  try {
    return openSync(path, 'a+', 0o600);
  } catch (cause) {
    throw new Refusal('invalid', `cannot write the log ${path}: ${messageOf(cause)}`, { cause });
  }
}

const mostLines = 5;
const mostBytes = 4096;

/** The last lines of the log, but none from before `begin`, where those of this start begin. */
function lastLines(log: number, begin: number): readonly string[] {
  const bytes = Buffer.alloc(mostBytes);
  const length = readSync(log, bytes, { position: Math.max(begin, fstatSync(log).size - mostBytes) });
  const lines = bytes.toString('utf8', 0, length).split('\n').map(printable);
  return lines.filter((line) => line.trim() !== '').slice(-mostLines);
}

async function readAll(stream: unknown): Promise<string> {
  if (typeof stream !== 'object' || stream === null || !(Symbol.asyncIterator in stream)) return '';
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
