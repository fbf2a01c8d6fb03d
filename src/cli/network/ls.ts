import type { Command } from 'commander';
import type { Client, NetworkView } from '../../adapters/api/client.ts';
import {
  hasLabels,
  isOneOf,
  type ListOptions,
  labelFields,
  labelHeaders,
  matches,
  parseFilters,
  printListing,
  requireOneOf,
} from '../listing.ts';
import { clientOf, collect } from '../session.ts';

const headers = {
  ...{ ID: 'NETWORK ID', Name: 'NAME', Driver: 'DRIVER', Scope: 'SCOPE', CreatedAt: 'CREATED AT', IPv6: 'IPV6' },
  ...{ Internal: 'INTERNAL', ...labelHeaders },
};

export function addLs(network: Command): void {
  const command = network
    .command('ls')
    .alias('list')
    .description('List networks')
    .option('-q, --quiet', 'only ids')
    .option(
      '-f, --filter <key=value>',
      'only those with this id, name, driver, scope, label, type (custom or builtin) or dangling (true or false)',
      collect,
      [],
    )
    .option('--format <template>', 'json, table, or a template such as {{.Name}}')
    .option('--no-trunc', 'whole ids');
  command.action(async (options: ListOptions) => {
    const client = clientOf(command);
    const networks = await select(client, options.filter);
    const rows = networks
      .map(({ Id, Name, Driver, Scope, Created, EnableIPv6, Internal, Labels }) => ({
        ID: options.trunc ? Id.slice(0, 12) : Id,
        Name,
        Driver,
        Scope,
        CreatedAt: Created,
        IPv6: String(EnableIPv6),
        Internal: String(Internal),
        ...labelFields(Labels),
      }))
      .sort((a, b) => (a.Name < b.Name ? -1 : 1));
    await printListing({ rows, headers, columns: ['ID', 'Name', 'Driver', 'Scope'], id: 'ID' }, options);
  });
}

async function select(client: Client, texts: readonly string[]): Promise<readonly NetworkView[]> {
  const filters = parseFilters(texts, ['id', 'name', 'driver', 'scope', 'label', 'type', 'dangling']);
  requireOneOf('type', filters.type, ['custom', 'builtin']);
  requireOneOf('dangling', filters.dangling, ['true', 'false']);
  const found = (await client.call('listNetworks', {})).filter(
    ({ Id, Name, Driver, Scope, Labels }) =>
      matches(filters.id, Id) &&
      matches(filters.name, Name) &&
      isOneOf(filters.driver, Driver) &&
      isOneOf(filters.scope, Scope) &&
      isOneOf(filters.type, Scope === 'local' ? 'builtin' : 'custom') &&
      hasLabels(filters.label, Labels),
  );
  if (filters.dangling === undefined) return found;
  const whole = await Promise.all(found.map(({ Id }) => client.call('getNetwork', { params: { name: Id } })));
  return whole.filter(({ Scope, Containers }) =>
    isOneOf(filters.dangling, String(Scope !== 'local' && Object.keys(Containers).length === 0)),
  );
}
