import type { Command } from 'commander';
import { printObjects } from '../inspect.ts';
import { clientOf, refuseNotYet } from '../session.ts';

export function addInspect(network: Command): void {
  const command = network
    .command('inspect')
    .description('Show networks as JSON')
    .argument('<network...>')
    .option('-f, --format <template>', 'json, or a template such as {{.Id}}');
  refuseNotYet(command, ['-v, --verbose']);
  command.action(async (names: readonly string[], { format }: { format?: string }) => {
    const client = clientOf(command);
    await printObjects(names, format, (name) => client.call('getNetwork', { params: { name } }));
  });
}
