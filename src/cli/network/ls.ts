import type { Command } from 'commander';
import { clientOf, printListing, refuseNotYet } from '../session.ts';

export function addLs(network: Command): void {
  const command = network
    .command('ls')
    .alias('list')
    .description('List networks')
    .option('-q, --quiet', 'only ids')
    .option('--format <template>', 'json, or a template such as {{.Name}}')
    .option('--no-trunc', 'whole ids');
  refuseNotYet(command, ['-f, --filter <x>']);
  command.action(async (options: { quiet?: boolean; format?: string; trunc: boolean }) => {
    const networks = await clientOf(command).call('listNetworks', {});
    const fields = networks
      .map(({ Id, Name, Driver, Scope, Created, EnableIPv6, Internal, Labels }) => ({
        ID: options.trunc ? Id.slice(0, 12) : Id,
        Name,
        Driver,
        Scope,
        CreatedAt: Created,
        IPv6: String(EnableIPv6),
        Internal: String(Internal),
        Labels: Object.entries(Labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
      }))
      .sort((a, b) => (a.Name < b.Name ? -1 : 1));
    const rows = fields.map(({ ID, Name, Driver, Scope }) => [ID, Name, Driver, Scope]);
    const header = ['NETWORK ID', 'NAME', 'DRIVER', 'SCOPE'];
    printListing({ header, rows, fields, ids: fields.map(({ ID }) => ID) }, options);
  });
}
