import { readFileSync } from 'node:fs';
import { messageOf, ParseError } from '../lib/errors.ts';
import { parseFlags, parseSettings, type Settings, settingsFile } from '../model/settings.ts';
import { openLog } from './log.ts';
import { runDaemon, tell } from './run.ts';
import { openDaemon } from './wire.ts';

/** `skein launch` executes this with its own flags, and in the background with `--ready-fd`. */
const { readyFd, configFile, rest } = readOwnFlags(process.argv.slice(2));
try {
  const settings = readSettings(rest, configFile);
  const log = openLog(settings, process.stderr);
  // Whoever read the log may be gone; that is no reason to end.
  process.stderr.on('error', () => undefined);
  const code = await runDaemon({ settings, log, open: openDaemon, onReady: (failure) => tell(readyFd, failure) });
  process.exit(code);
} catch (error) {
  process.stderr.write(`skein: ${messageOf(error)}\n`);
  tell(readyFd, messageOf(error));
  process.exit(1);
}

function readOwnFlags(args: readonly string[]): { readyFd?: number; configFile?: string; rest: readonly string[] } {
  const value = (flag: string) => args.find((arg) => arg.startsWith(`--${flag}=`))?.slice(flag.length + 3);
  const readyFd = value('ready-fd');
  const configFile = value('config-file');
  return {
    ...(readyFd === undefined ? {} : { readyFd: Number(readyFd) }),
    ...(configFile === undefined ? {} : { configFile }),
    rest: args.filter((arg) => !/^--(ready-fd|config-file)=/.test(arg)),
  };
}

function readSettings(args: readonly string[], path: string | undefined): Settings {
  const file = readFile(path ?? settingsFile, path !== undefined);
  return parseSettings({ flags: parseFlags(args), env: process.env, file });
}

function readFile(path: string, required: boolean): { path: string; text: string } | undefined {
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    if (!required && cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new ParseError(`cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}
