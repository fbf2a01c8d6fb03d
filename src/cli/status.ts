import { Argument, type Command } from 'commander';
import type { DnsView, ExposedView, StatusView, WaitingView } from '../adapters/api/client.ts';
import { defined } from '../lib/defined.ts';
import { nameOf } from './mesh/names.ts';
import { meshParts } from './mesh/status.ts';
import { clientOf, formatBy, print } from './session.ts';
import { formatDuration, printable } from './table.ts';

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .description('Show how this host, its store and the cluster do')
    .addArgument(
      new Argument(
        '[part]',
        'dns: how names are answered, and by whom others; of a cluster without a store also peers: its hosts and their links; connections: the links of this host, and how packets of containers go; targets: the places that it dials; ipam: who owns which numbers',
      ).choices(['dns', ...Object.keys(meshParts)]),
    )
    .option('-f, --format <template>', 'json, or a template such as {{.cluster.id}}; of the lists also table');
  command.action(async (part: 'dns' | keyof typeof meshParts | undefined, { format }: { format?: string }) => {
    const client = clientOf(command);
    if (part !== undefined && part !== 'dns') await meshParts[part](client, defined({ format }));
    else if (part === undefined) await show(await client.call('getStatus', {}), format, formatEither);
    else await show(await client.call('getDns', {}), format, formatDns);
  });
}

async function show<T>(status: T, format: string | undefined, asText: (status: T, now: number) => string) {
  if (format !== undefined) print(`${await formatBy(format, status)}\n`);
  else print(asText(status, Date.now()));
}

export function formatDns(dns: DnsView, now: number): string {
  const { servers, domains, resolvers, endpoints, questions, forwarded, failed, refused, staleSince, unheld } = dns;
  const stale = staleSince === undefined ? 0 : now - Date.parse(staleSince);
  const rows: [string, string][] = [
    ['Servers', servers.join(', ')],
    ['Domains', domains.join(', ')],
    ['Names', `of ${endpoints} endpoints and records`],
    [
      'Questions',
      `${questions}, of which others were asked ${forwarded}; they left ${failed} unanswered; ${refused} refused`,
    ],
    ...(resolvers.length === 0 ? ([['Others', 'the host has no resolvers']] satisfies [string, string][]) : []),
    ...resolvers.map(({ address, silent }, i): [string, string] => [
      i === 0 ? 'Others' : '',
      `${address}${silent ? ' is silent' : ''}`,
    ]),
    ...(staleSince === undefined
      ? []
      : ([
          [
            'Stale',
            `since ${staleSince} (${formatDuration(stale)}): the store is away, names of other hosts are as they were`,
          ],
        ] satisfies [string, string][])),
    ...(unheld === undefined
      ? []
      : ([['Unheld', `questions will not wait for the next daemon: ${unheld}`]] satisfies [string, string][])),
  ];
  return formatRows(rows);
}

function formatEither(status: StatusView | WaitingView, now: number): string {
  return status.state === 'waiting' ? formatWaiting(status, now) : formatStatus(status, now);
}

/** Of a host that has no cluster yet: what it waits for, and what to do. */
export function formatWaiting({ version, pid, started, host, mesh, targets }: WaitingView, now: number): string {
  const met = mesh.met.map(nameOf);
  return formatRows([
    ['Version', `${version}, pid ${pid}, started ${formatDuration(now - Date.parse(started))} ago`],
    ['Host', `${nameOf(host)} (${host.id})`],
    ['Cluster', 'none yet: this host waits for others with its token: skein connect HOST'],
    ['Place', `${mesh.place}, where others connect to it`],
    ...(met.length > 0 ? [row('Met', met.join(', '))] : []),
    ...targets.map(({ address, host: who, state, why }, i) => {
      const answered = who === undefined ? '' : `, ${nameOf(who)}`;
      return row(i === 0 ? 'Targets' : '', `${address}${answered}: ${why ?? state}`);
    }),
    ...(mesh.problem === undefined ? [] : [row('Problem', mesh.problem)]),
  ]);
}

function formatMesh({ hosts, links, role, place, empty }: NonNullable<StatusView['mesh']>): string {
  const size = `${hosts} ${hosts === 1 ? 'host' : 'hosts'}, ${links} ${links === 1 ? 'link' : 'links'}`;
  return `${size}, ${role}, at ${place}${empty && hosts === 1 ? '; empty: this host can still join others' : ''}`;
}

function row(name: string, value: string): [string, string] {
  return [name, value];
}

export function formatStatus(status: StatusView, now: number): string {
  const { cluster, store, host, hosts, networks, containers, exposed, paths, skipped, mesh } = status;
  const ago = (time: string) => `${formatDuration(now - Date.parse(time))} ago`;
  const health =
    store.failingSince === undefined
      ? `answers${store.lastAnswer === undefined ? '' : `, last ${ago(store.lastAnswer)}`}`
      : `has not answered since ${store.failingSince} (${ago(store.failingSince)}): ${store.lastError ?? 'unknown reason'}`;
  const rows: [string, string][] = [
    ['Version', `${status.version}, pid ${status.pid}, started ${ago(status.started)}`],
    ['Cluster', `${cluster.id}, generation ${cluster.generation}, feature level ${cluster.featureLevel}`],
    ['Underlay', `IPv${cluster.underlay}, UDP port ${cluster.dataPort}`],
    mesh === undefined ? ['Store', `${store.url} ${health}`] : ['Mesh', formatMesh(mesh)],
    ...(mesh?.problem === undefined ? [] : [row('', mesh.problem)]),
    ...store.members
      .filter(({ healthy }) => !healthy)
      .map(({ url }): [string, string] => ['', `${url} does not answer`]),
    ['Host', `${host.name} (${host.id})`],
    ['Address', `${host.advertise}, data ${host.data}, MTU ${host.mtu}`],
    ['Hosts', `${hosts.alive} alive, ${hosts.lost} lost`],
    ['Networks', String(networks)],
    ['Containers', `${containers.running} running of ${containers.all}`],
    ...exposed.map((place, i): [string, string] => [i === 0 ? 'Exposed' : '', formatExposed(place)]),
    ...paths.map(({ sentence }, i): [string, string] => [i === 0 ? 'Problems' : '', sentence]),
    ...skipped.map(({ place, reason }, i): [string, string] => [i === 0 ? 'Skipped' : '', `${place}: ${reason}`]),
  ];
  return formatRows(rows);
}

function formatRows(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([name, value]) => `${(name && `${name}:`).padEnd(13)}${printable(value)}\n`).join('');
}

function formatExposed({ network, name, addresses, interface: device, masquerade }: ExposedView): string {
  return `on ${network} as ${name}, ${addresses.join(' ')} (${device}${masquerade ? '' : ', no masquerade'})`;
}
