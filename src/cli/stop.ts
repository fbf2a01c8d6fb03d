import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { pause } from '../lib/backoff.ts';
import { Refusal } from '../lib/errors.ts';
import { clientOf, each, print, refuseNotYet, socketOf } from './session.ts';
import { timeout } from './start.ts';

const patience = 30_000;

export function addStop(program: Command): void {
  const command = program
    .command('stop')
    .description('End containers, or without a name the daemon: containers and networks then stay as they are')
    .argument('[container...]')
    .option(...timeout);
  refuseNotYet(command, ['-s, --signal <x>']);
  command.action(async (names: readonly string[], { timeout: seconds }: { timeout?: number }) => {
    const client = clientOf(command);
    if (names.length === 0 && seconds !== undefined)
      throw new Refusal('invalid', '--timeout is for containers: name them');
    if (names.length > 0) {
      await each(names, async (name) => {
        await client.call('stopContainer', { params: { name }, body: seconds === undefined ? {} : { seconds } });
        print(`${name}\n`);
      });
      return;
    }
    const { pid } = await client.call('getStatus', {});
    const isGone = watchDaemon(pid);
    await client.call('stopDaemon', {});
    const { signal } = new AbortController();
    for (const deadline = Date.now() + patience; Date.now() < deadline; await pause(20, signal)) {
      if (isGone?.() === true) return;
      if (isGone !== undefined) continue;
      try {
        await client.call('getVersion', {});
      } catch {
        return;
      }
    }
    throw new Refusal(
      'unavailable',
      `the daemon at ${socketOf(command)} still answers after ${patience / 1000} s; see its log`,
    );
  });
}

/**
 * Whether it has ended, when it is a process of this machine. Where systemd listens for it, asking would start it again.
 */
function watchDaemon(pid: number): (() => boolean) | undefined {
  const isThere = () => {
    try {
      return /\/daemon\/main\.[jt]s\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
      return false;
    }
  };
  return isThere() ? () => !isThere() : undefined;
}
