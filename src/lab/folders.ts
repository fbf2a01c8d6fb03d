import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Refusal } from '../lib/errors.ts';
import { self } from './home.ts';
import { closePlace } from './place.ts';
import { labsFolder } from './rootless.ts';

/** Where the labs of this machine are kept, one folder each. */

/** What a lab is called that was given no name. */
export const defaultLab = 'default';
/** A lab that is being ended: no name of a lab looks so. */
const ending = '~';

/** The name is part of paths, and of the socket's, which has room for 107 characters. */
export function checkName(name: string): void {
  if (!/^[a-z0-9][a-z0-9_.-]{0,31}$/i.test(name)) {
    throw new Refusal('invalid', `${JSON.stringify(name)} is no name of a lab: up to 32 letters, digits, _ . and -`);
  }
}

export function folderOf(name: string): string {
  return join(labsFolder(), name);
}

/** Whoever makes the folder has the name. @throws Refusal 'conflict' */
export function claim(name: string): string {
  const folder = folderOf(name);
  // Root's are for others to speak to; in a folder for everyone the others' names are none of theirs.
  mkdirSync(dirname(folder), { recursive: true, mode: folder.startsWith('/run/skein-lab/') ? 0o755 : 0o700 });
  // Somebody else may have made it just before us.
  labsFolder();
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

/** By name, with those whose end was begun and not finished. */
export function listFolders(): readonly { readonly name: string; readonly folder: string; readonly ending: boolean }[] {
  const labs = labsFolder();
  return entriesOf(labs).map((entry) => ({
    name: entry.replace(ending, ''),
    folder: join(labs, entry),
    ending: entry.endsWith(ending),
  }));
}

/**
 * Ends every process of a lab and removes its folder, whole or half made; nothing is done when there is none. The folder
 * goes out of the way first: what is just about to begin finds no place to note itself, and does not begin.
 */
export async function removeFolder(name: string): Promise<void> {
  checkName(name);
  const folder = folderOf(name);
  const leaving = folder + ending;
  await clear(leaving);
  try {
    renameSync(folder, leaving);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  await clear(leaving);
}

async function clear(folder: string): Promise<void> {
  await Promise.all(entriesOf(folder).map((name) => closePlace(join(folder, name))));
  // Should a mount ever stand there, what it shows is not ours.
  if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${folder}/`)) {
    throw new Error(`remove ${folder}: something is mounted in it; unmount that first`);
  }
  // Not by a program: the second Ctrl-C would end that.
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  try {
    rmdirSync(dirname(folder));
  } catch {
    // Other labs are there, or none ever was.
  }
}

function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
