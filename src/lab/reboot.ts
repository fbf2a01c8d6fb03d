import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { closePlace, openPlace, type Place } from './place.ts';
import { run } from './run.ts';

/**
 * What a power cut and the boot after it leave of a machine: its disk. Processes and namespaces are gone, /run is empty, the
 * boot id is another, and the cable is plugged in with nothing configured on it. Nobody there had a chance to say goodbye.
 */
export async function rebootPlace(
  place: Place,
  { underlay, tied }: { underlay: Place; tied: boolean },
): Promise<Place> {
  const { folder, name } = place;
  // All but the first of the PID namespace, which holds the disk, and the shell itself.
  await place.attempt(['sh', '-c', 'kill -9 -1']);
  await place.exec(['cp', '-a', '/proc/1/cwd/lib/upper', '/proc/1/cwd/../kept']);
  const cable = `${name}-cable`;
  await run([
    'nsenter',
    `--net=${place.netns}`,
    'ip',
    'link',
    'set',
    'eth0',
    'name',
    cable,
    'netns',
    `${underlay.pid}`,
  ]);
  await closePlace(folder);
  for (const part of ['run', 'disk']) rmSync(join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'boot_id'), `${randomUUID()}\n`);
  const after = await openPlace({ name, folder, tied });
  await run([
    'nsenter',
    `--net=${underlay.netns}`,
    'ip',
    'link',
    'set',
    cable,
    'name',
    'eth0',
    'netns',
    `${after.pid}`,
  ]);
  return after;
}
