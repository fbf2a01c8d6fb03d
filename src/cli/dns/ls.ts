import type { Command } from 'commander';
import type { NameView } from '../../adapters/api/client.ts';
import { isOneOf, type ListOptions, matches, parseFilters, printListing, requireOneOf } from '../listing.ts';
import { clientOf, collect } from '../session.ts';

const headers = {
  ...{ ID: 'ID', Name: 'NAME', Aliases: 'ALIASES', Network: 'NETWORK', Addresses: 'ADDRESSES', Ports: 'PORTS' },
  ...{ Kind: 'KIND', Host: 'HOST', State: 'STATE' },
};
const kinds = ['container', 'host', 'namespace', 'record'];

export function addLs(dns: Command): void {
  const command = dns
    .command('ls')
    .alias('list')
    .description(
      'List the names that are known on this host: those of the networks that it is on, and those given by hand',
    )
    .option('-q, --quiet', 'only ids of endpoints and records')
    .option(
      '-f, --filter <key=value>',
      'only those with this id, name, network, address, host, kind (container, host, namespace or record) or state (alive or lost)',
      collect,
      [],
    )
    .option('--format <template>', 'json, table, or a template such as {{.Name}}')
    .option('--no-trunc', 'whole ids, with -q, in templates and of networks and hosts whose names are not known');
  command.action(async ({ trunc, filter, ...options }: ListOptions) => {
    const filters = parseFilters(filter, ['id', 'name', 'network', 'address', 'host', 'kind', 'state']);
    requireOneOf('kind', filters.kind, kinds);
    requireOneOf('state', filters.state, ['alive', 'lost']);
    const rows = (await clientOf(command).call('listNames', {}))
      .filter(
        ({ id, names, network, addresses, host, lost, ...name }) =>
          matches(filters.id, id) &&
          matches(filters.name, ...names) &&
          matches(filters.network, network?.name ?? '', network?.id ?? '') &&
          matches(filters.address, ...addresses) &&
          matches(filters.host, host.name ?? '', host.id) &&
          isOneOf(filters.kind, kindOf(name)) &&
          isOneOf(filters.state, lost ? 'lost' : 'alive'),
      )
      .map((name) => fieldsOf(name, trunc))
      .sort((a, b) => (`${a.Name} ${a.Network}` < `${b.Name} ${b.Network}` ? -1 : 1));
    const columns = ['Name', 'Network', 'Addresses', 'Kind', 'Host', 'State'] as const;
    await printListing({ rows, headers, columns, id: 'ID' }, options);
  });
}

function kindOf({ byHand, container, itself }: Pick<NameView, 'byHand' | 'container' | 'itself'>): string {
  if (byHand) return 'record';
  if (itself) return 'host';
  return container === undefined ? 'namespace' : 'container';
}

function fieldsOf({ id, names, network, addresses, ports, host, lost, ...name }: NameView, short: boolean) {
  const cut = (text: string) => (short ? text.slice(0, 12) : text);
  const [first = '', ...aliases] = names;
  return {
    ID: cut(id),
    Name: first,
    Aliases: aliases.join(','),
    Network: network === undefined ? '*' : (network.name ?? cut(network.id)),
    Addresses: addresses.join(','),
    Ports: ports.map(({ name: called, port, protocol }) => `${called}:${port}/${protocol}`).join(','),
    Kind: kindOf(name),
    Host: host.name ?? cut(host.id),
    State: lost ? 'lost' : 'alive',
  };
}
