import type { Command } from 'commander';
import { clientOf, refuseNotYet } from '../session.ts';

export function addDisconnect(network: Command): void {
  const command = network
    .command('disconnect')
    .description('Take a container off a network')
    .argument('<network>')
    .argument('<container>');
  refuseNotYet(command, ['-f, --force']);
  command.action(async (name: string, container: string) => {
    await clientOf(command).call('disconnectContainer', { params: { name }, body: { container } });
  });
}
