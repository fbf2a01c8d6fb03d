import type { Command } from 'commander';
import type { StatusView } from '../adapters/api/client.ts';
import { clientOf, formatBy, print } from './session.ts';
import { formatDuration, printable } from './table.ts';

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .description('Show how this host, its store and the cluster do')
    .option('-f, --format <template>', 'json, or a template such as {{.cluster.id}}');
  command.action(async ({ format }: { format?: string }) => {
    const status = await clientOf(command).call('getStatus', {});
    if (format !== undefined) print(`${await formatBy(format, status)}\n`);
    else print(formatStatus(status, Date.now()));
  });
}

export function formatStatus(status: StatusView, now: number): string {
  const { cluster, store, host, hosts, networks, containers, paths, skipped } = status;
  const ago = (time: string) => `${formatDuration(now - Date.parse(time))} ago`;
  const health =
    store.failingSince === undefined
      ? `answers${store.lastAnswer === undefined ? '' : `, last ${ago(store.lastAnswer)}`}`
      : `has not answered since ${store.failingSince} (${ago(store.failingSince)}): ${store.lastError ?? 'unknown reason'}`;
  const rows: [string, string][] = [
    ['Version', `${status.version}, pid ${status.pid}, started ${ago(status.started)}`],
    ['Cluster', `${cluster.id}, generation ${cluster.generation}, feature level ${cluster.featureLevel}`],
    ['Underlay', `IPv${cluster.underlay}, UDP port ${cluster.dataPort}`],
    ['Store', `${store.url} ${health}`],
    ...store.members
      .filter(({ healthy }) => !healthy)
      .map(({ url }): [string, string] => ['', `${url} does not answer`]),
    ['Host', `${host.name} (${host.id})`],
    ['Address', `${host.advertise}, data ${host.data}, MTU ${host.mtu}`],
    ['Hosts', `${hosts.alive} alive, ${hosts.lost} lost`],
    ['Networks', String(networks)],
    ['Containers', `${containers.running} running of ${containers.all}`],
    ...paths.map(({ sentence }, i): [string, string] => [i === 0 ? 'Problems' : '', sentence]),
    ...skipped.map(({ place, reason }, i): [string, string] => [i === 0 ? 'Skipped' : '', `${place}: ${reason}`]),
  ];
  return rows.map(([name, value]) => `${(name && `${name}:`).padEnd(13)}${printable(value)}\n`).join('');
}
