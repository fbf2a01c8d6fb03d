import type { Command } from 'commander';
import { Refusal } from '../../lib/errors.ts';
import { clientOf, each, print } from '../session.ts';

export function addRm(network: Command): void {
  const command = network.command('rm').alias('remove').description('Remove networks').argument('<network...>');
  command.option('-f, --force', 'do not complain of a network that is not there');
  command.action(async (names: readonly string[], { force = false }: { force?: boolean }) => {
    const client = clientOf(command);
    await each(names, async (name) => {
      try {
        await client.call('removeNetwork', { params: { name } });
      } catch (error) {
        if (force && error instanceof Refusal && error.kind === 'not-found') return;
        throw error;
      }
      print(`${name}\n`);
    });
  });
}
