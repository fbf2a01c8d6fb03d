import type { Command } from 'commander';
import { clientOf } from '../session.ts';

export function addDisconnect(network: Command): void {
  const command = network
    .command('disconnect')
    .description('Take a container off a network')
    .argument('<network>')
    .argument('<container>')
    .option('-f, --force', 'also one of a host that is lost: its name and addresses are free again');
  command.action(async (name: string, container: string, { force = false }: { force?: boolean }) => {
    await clientOf(command).call('disconnectContainer', { params: { name }, body: { container, force } });
  });
}
