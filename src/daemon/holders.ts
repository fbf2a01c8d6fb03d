import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { HOLDER_SOCKET } from '../dataplane/holding.ts';
import { backoff } from '../lib/backoff.ts';

/** In milliseconds. */
const patience = 5_000;

/**
 * Ends what keeps sockets for names of this run directory, and with it all that it keeps: also one whose socket is gone, so
 * that nobody can speak to it, and one that hangs. @returns how many there were. @throws Error
 */
export async function endHolders(runDir: string): Promise<number> {
  const found = holdersOf(runDir);
  for (const pid of found) process.kill(pid, 'SIGKILL');
  for await (const _ of backoff({ first: 5, most: 100, signal: AbortSignal.timeout(patience) })) {
    if (holdersOf(runDir).length === 0) return found.length;
  }
  throw new Error(`process ${holdersOf(runDir).join(', ')} does not die`);
}

/** By what they were started with, and by the directory that it is to them: hosts of a lab have one of the same name. */
function holdersOf(runDir: string): readonly number[] {
  const path = join(runDir, HOLDER_SOCKET);
  const own = identityOf(runDir);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [program = '', socket, ...rest] = commandOf(pid);
      const isHolder = basename(program) === 'skein-holder' && socket === path && rest.length === 0;
      return isHolder && own !== undefined && identityOf(`/proc/${pid}/root${runDir}`) === own;
    });
}

/** Empty for a process that has ended. */
function commandOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
}

function identityOf(directory: string): string | undefined {
  try {
    const { dev, ino } = statSync(directory);
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}
