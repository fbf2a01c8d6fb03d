import type { Command } from 'commander';
import { joinCommand } from '../model/join-token.ts';
import { isOneOf, type ListOptions, matches, parseFilters, printListing, requireOneOf } from './listing.ts';
import { nameOf } from './mesh/names.ts';
import { clientOf, collect, print } from './session.ts';
import { formatDuration, printable } from './table.ts';

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
  host
    .command('rm')
    .description('Lock a host out of a cluster without a store, for good; what it held is taken over')
    .argument('<host>', 'its name, its id or the beginning of it')
    .option('-f, --force', 'although it lives, and at once: without waiting for what other hosts know of it')
    .action(remove);
  host
    .command('promote')
    .description('Make a host of a cluster without a store an admin: it may let hosts in and lock them out')
    .argument('<host>', 'its name, its id or the beginning of it')
    .action(promote);
}

async function remove(name: string, { force = false }: { force?: boolean }, command: Command): Promise<void> {
  const { token, place, ...host } = await clientOf(command).call('removeHost', { params: { name }, query: { force } });
  print(`${printable(nameOf(host))}\n`);
  if (token === undefined) return;
  print(`it knew the token, which was replaced; hosts join with: ${joinCommand({ token, place })}\n`);
}

async function promote(name: string, _: unknown, command: Command): Promise<void> {
  print(`${printable(nameOf(await clientOf(command).call('promoteHost', { params: { name } })))}\n`);
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
