import type { Command } from 'commander';
import { clientOf, each, print, refuseNotYet } from '../session.ts';

export function addRm(network: Command): void {
  const command = network.command('rm').alias('remove').description('Remove networks').argument('<network...>');
  refuseNotYet(command, ['-f, --force']);
  command.action(async (names: readonly string[]) => {
    const client = clientOf(command);
    await each(names, async (name) => {
      await client.call('removeNetwork', { params: { name } });
      print(`${name}\n`);
    });
  });
}
