import { readFileSync } from 'node:fs';
import { messageOf, ParseError } from '../lib/errors.ts';
import { namesOf, parseFlags, parseSettings, type Settings, settingsFile } from '../model/settings.ts';

/** Flags that are not settings, by name: `--ready-fd=3`. */
export type OwnFlags<Name extends string> = Readonly<Partial<Record<Name, string>>>;

/** What the command line hands to a program of the daemon: a few flags of its own, and settings. @throws ParseError */
export function readSettings<Name extends string>(
  args: readonly string[],
  names: readonly Name[],
): { readonly settings: Settings; readonly own: OwnFlags<Name | 'config-file'> } {
  const known: readonly (Name | 'config-file')[] = [...names, 'config-file'];
  const nameIn = (arg: string) => known.find((name) => arg.startsWith(`--${name}=`));
  const own: Partial<Record<Name | 'config-file', string>> = {};
  for (const arg of args) {
    const name = nameIn(arg);
    if (name !== undefined) own[name] ??= arg.slice(name.length + 3);
  }
  const path = own['config-file'];
  const file = readFile(path ?? settingsFile, path !== undefined);
  const flags = parseFlags(args.filter((arg) => nameIn(arg) === undefined));
  const settings = parseSettings({ flags, env: process.env, file });
  // What this process starts does not need to know it.
  delete process.env[namesOf('token').variable];
  return { settings, own };
}

function readFile(path: string, required: boolean): { path: string; text: string } | undefined {
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    if (!required && cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new ParseError(`cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}
