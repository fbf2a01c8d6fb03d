import type { Command } from 'commander';
import { isOneOf, type ListOptions, matches, parseFilters, printListing, requireOneOf } from './listing.ts';
import { clientOf, collect } from './session.ts';
import { formatDuration } from './table.ts';

const headers = {
  ...{ ID: 'HOST ID', Name: 'NAME', Address: 'ADDRESS', DataAddress: 'DATA ADDRESS', State: 'STATE' },
  ...{ LastSeen: 'LAST SEEN', Version: 'VERSION', Self: 'SELF' },
};

export function addHost(program: Command): void {
  const host = program.command('host').description('Hosts of the cluster');
  host
    .command('ls')
    .alias('list')
    .description('List every host that is known; * marks the one that answers')
    .option('-q, --quiet', 'only ids')
    .option('-f, --filter <key=value>', 'only those with this id, name, address or state (alive or lost)', collect, [])
    .option('--format <template>', 'json, table, or a template such as {{.Name}}')
    .option('--no-trunc', 'whole ids')
    .action(list);
}

async function list({ trunc, filter, ...options }: ListOptions, command: Command): Promise<void> {
  const filters = parseFilters(filter, ['id', 'name', 'address', 'state']);
  requireOneOf('state', filters.state, ['alive', 'lost']);
  const hosts = (await clientOf(command).call('listHosts', {})).filter(
    ({ id, name, advertise, state }) =>
      matches(filters.id, id) &&
      matches(filters.name, name) &&
      matches(filters.address, advertise) &&
      isOneOf(filters.state, state),
  );
  const marked = (options.format ?? 'table') === 'table' && options.quiet !== true;
  const rows = hosts.map(({ id, name, advertise, data, state, path, lastSeen, version, self }) => ({
    ID: `${trunc ? id.slice(0, 12) : id}${self && marked ? ' *' : ''}`,
    Name: name,
    Address: advertise,
    DataAddress: data,
    State: path === undefined ? state : `${state} (${path})`,
    LastSeen: seen({ state, lastSeen }),
    Version: version,
    Self: self,
  }));
  const columns = ['ID', 'Name', 'Address', 'DataAddress', 'State', 'LastSeen', 'Version'] as const;
  await printListing({ rows, headers, columns, id: 'ID' }, options);
}

function seen({ state, lastSeen }: { state: string; lastSeen?: string | undefined }): string {
  if (state === 'alive') return 'now';
  return lastSeen === undefined ? '-' : `${formatDuration(Date.now() - Date.parse(lastSeen))} ago`;
}
