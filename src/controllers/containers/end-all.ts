import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../lib/backoff.ts';
import { openLine } from './line.ts';
import { runShim, type ShimPlace } from './shim.ts';
import { Supervisor } from './supervisor.ts';

/** Of all containers of a host, see `ContainersInit`. */
export interface ContainerPlaces {
  readonly directory: string;
  readonly controls: string;
  readonly shim: string;
}

const sigkill = 9;
const patience = 10_000;

/** Ids of the containers whose command runs, without a daemon. */
export async function livingContainers(places: ContainerPlaces): Promise<readonly string[]> {
  const ids = await idsIn(places.directory);
  const lives = await Promise.all(
    ids.map(async (id) => {
      const line = await openLine(placeOf(places, id).control);
      if (typeof line === 'object') line.close();
      return line !== undefined;
    }),
  );
  return ids.filter((_, i) => lives[i]);
}

/**
 * Kills every container, without a daemon, what a supervisor that was killed left behind too.
 * @returns ids of those that live on
 */
export async function endContainers(places: ContainerPlaces): Promise<readonly string[]> {
  const ids = await idsIn(places.directory);
  const ended = await Promise.all(ids.map((id) => endContainer(placeOf(places, id))));
  return ids.filter((_, i) => !ended[i]);
}

async function endContainer(place: ShimPlace): Promise<boolean> {
  const orphaned = await runShim(place, 'end').catch(() => undefined);
  if (orphaned?.code === 0) return true;
  const supervisor = await Supervisor.open(place);
  const given = AbortSignal.any([supervisor.ended, AbortSignal.timeout(patience)]);
  await supervisor.ask({ kind: 'signal', signal: sigkill });
  await pause(patience, given);
  supervisor.close();
  return supervisor.ended.aborted;
}

function placeOf({ directory, controls, shim }: ContainerPlaces, id: string): ShimPlace {
  return { directory: join(directory, id), control: join(controls, `${id.slice(0, 12)}.sock`), shim };
}

async function idsIn(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name));
}
