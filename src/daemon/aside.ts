import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';

/** What of a state directory could not be read, and may hold what nobody else knows: no reset removes it. */
export function isAside(name: string): boolean {
  return name.startsWith('unread-');
}

/**
 * Moves those of these files that are there into a directory of their own beside them, in this order: after a death in
 * between, the last one says that there is still something to set aside. @returns it, when there were any
 */
export async function setAside(directory: string, names: readonly string[], now: Date): Promise<string | undefined> {
  const all = new Set(await readdir(directory).catch(() => []));
  const there = names.filter((name) => all.has(name));
  if (there.length === 0) return undefined;
  const aside = join(directory, `unread-${now.toISOString().replaceAll(':', '')}`);
  await mkdir(aside, { mode: 0o700 });
  for (const name of there) await rename(join(directory, name), join(aside, name));
  return aside;
}
