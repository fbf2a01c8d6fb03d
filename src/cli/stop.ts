import type { Command } from 'commander';
import { pause } from '../lib/backoff.ts';
import { Refusal } from '../lib/errors.ts';
import { clientOf, socketOf } from './session.ts';

const patience = 30_000;

export function addStop(program: Command): void {
  const command = program.command('stop').description('End the daemon; containers and networks stay as they are');
  command.action(async () => {
    const client = clientOf(command);
    await client.call('stopDaemon', {});
    const { signal } = new AbortController();
    for (const deadline = Date.now() + patience; Date.now() < deadline; await pause(20, signal)) {
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
