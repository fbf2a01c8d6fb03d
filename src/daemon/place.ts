import { stat } from 'node:fs/promises';

/** This boot and this state directory, which the journal has locked: another daemon with the same is not running. */
export async function placeOf(bootId: string, journal: string): Promise<string> {
  const { dev, ino } = await stat(journal, { bigint: true });
  return `boot ${bootId}, file ${dev}:${ino}`;
}
