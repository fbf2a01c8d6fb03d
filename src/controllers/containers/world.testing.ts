import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silent } from '../../lib/log.ts';
import type { Journal } from '../../state/journal.ts';
import type { RunSpec } from './containers.ts';
import { MemoryEndpoints, memoryJournal } from './harness.testing.ts';
import { type OpenedContainers, openContainers } from './open.ts';

/** Containers of which all that outlives their daemon is in one directory, so that another process finds it. */
export interface World {
  readonly containers: OpenedContainers;
  readonly endpoints: MemoryEndpoints;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
}

/** As a daemon that starts there. `commit` stands in front of the journal's. */
export async function openWorld(
  directory: string,
  shim: string,
  commitBy?: (commit: Journal['commit']) => Journal['commit'],
): Promise<World> {
  const endpoints = new MemoryEndpoints(join(directory, 'sandboxes.json'));
  const journal = memoryJournal(join(directory, 'journal.json'));
  const commit = commitBy === undefined ? journal.commit : commitBy(journal.commit);
  const containers = await openContainers(
    { endpoints, journal: { load: journal.load, commit }, log: silent, now: Date.now },
    {
      directory: join(directory, 'state'),
      controls: join(directory, 'run'),
      shim,
      resolvConfs: [join(directory, 'resolv.conf')],
    },
  );
  return { containers, endpoints, journal };
}

export async function makeWorld(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'skein-w-'));
  await writeFile(join(directory, 'resolv.conf'), 'nameserver 192.0.2.53\n');
  return directory;
}

/** What is left in it of all containers. */
export async function tracesIn(directory: string, { containers, endpoints, journal }: World): Promise<object> {
  return {
    listed: containers.list().map(({ id }) => id),
    sandboxes: endpoints.sandboxes().map(({ id }) => id),
    journal: await journal.load('container'),
    directories: await readdir(join(directory, 'state')),
    sockets: await readdir(join(directory, 'run')),
  };
}

export async function endWorld(directory: string, { containers, endpoints }: World): Promise<void> {
  for (const { id } of containers.list()) await containers.remove(id, { force: true });
  await containers.close();
  for (const { id } of endpoints.sandboxes()) await endpoints.closeSandbox(id);
  await rm(directory, { recursive: true, force: true });
}

export function shell(script: string, more: Partial<RunSpec> = {}): RunSpec {
  const plain = { aliases: [], env: [], interactive: false, tty: false, remove: false };
  return { ...plain, command: ['sh', '-c', script], ...more };
}
