import type { Command } from 'commander';
import { clientOf, printListing } from './session.ts';
import { formatDuration } from './table.ts';

export function addHost(program: Command): void {
  const host = program.command('host').description('Hosts of the cluster');
  host
    .command('ls')
    .alias('list')
    .description('List every host that is known')
    .option('-q, --quiet', 'only ids')
    .option('--format <template>', 'json, or a template such as {{.Name}}')
    .option('--no-trunc', 'whole ids')
    .action(async (options: { quiet?: boolean; format?: string; trunc: boolean }, command: Command) => {
      const hosts = await clientOf(command).call('listHosts', {});
      const short = (id: string) => (options.trunc ? id.slice(0, 12) : id);
      const fields = hosts.map(({ id, name, advertise, data, state, lastSeen, version, self }) => ({
        ID: short(id),
        Name: name,
        Address: advertise,
        DataAddress: data,
        State: state,
        LastSeen: seen({ state, lastSeen }),
        Version: version,
        Self: self,
      }));
      const rows = fields.map((row) => [
        `${row.ID}${row.Self ? ' *' : ''}`,
        row.Name,
        row.Address,
        row.DataAddress,
        row.State,
        row.LastSeen,
        row.Version,
      ]);
      const header = ['HOST ID', 'NAME', 'ADDRESS', 'DATA ADDRESS', 'STATE', 'LAST SEEN', 'VERSION'];
      printListing({ header, rows, fields, ids: fields.map(({ ID }) => ID) }, options);
    });
}

function seen({ state, lastSeen }: { state: string; lastSeen?: string | undefined }): string {
  if (state === 'alive') return 'now';
  return lastSeen === undefined ? '-' : `${formatDuration(Date.now() - Date.parse(lastSeen))} ago`;
}
