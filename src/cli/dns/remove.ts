import type { Command } from 'commander';
import { clientOf, print } from '../session.ts';

export function addRemove(dns: Command): void {
  const command = dns
    .command('remove')
    .alias('rm')
    .description('Take addresses from a name that was given on this host, or without one all')
    .argument('<name>')
    .argument('[address...]')
    .option('--network <network>', 'only where it was given for this network');
  command.action(async (name: string, addresses: readonly string[], { network }: { network?: string }) => {
    const query = { addresses: [...addresses], ...(network !== undefined && { network }) };
    for (const gone of await clientOf(command).call('removeRecord', { params: { name }, query }))
      print(`${gone.name}\n`);
  });
}
