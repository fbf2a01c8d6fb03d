import type { Command } from 'commander';
import type { ContainerView } from '../adapters/api/client.ts';
import { clientOf, printListing, refuseNotYet } from './session.ts';
import { formatDuration } from './table.ts';

interface Options {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly format?: string;
  readonly trunc: boolean;
}

/** Docker's columns. There are no images: IMAGE is the root directory, `-` for the host's own; ports do not exist yet. */
export function addPs(program: Command): void {
  const command = program
    .command('ps')
    .description('List containers of this host')
    .option('-a, --all', 'also those that ended')
    .option('-q, --quiet', 'only ids')
    .option('--format <template>', 'json, or a template such as {{.Names}}')
    .option('--no-trunc', 'whole ids and commands');
  refuseNotYet(command, ['-f, --filter <x>', '-l, --latest', '-n, --last <x>', '-s, --size']);
  command.action(async (options: Options) => {
    const containers = await clientOf(command).call('listContainers', { query: { all: options.all ?? false } });
    const fields = containers.map((container) => fieldsOf(container, options.trunc));
    const header = ['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PORTS', 'NAMES'];
    const rows = fields.map((row) => [
      row.ID,
      row.Image,
      row.Command,
      row.RunningFor,
      row.Status,
      row.Ports,
      row.Names,
    ]);
    printListing({ header, rows, fields, ids: fields.map(({ ID }) => ID) }, options);
  });
}

function fieldsOf({ Id, Name, Created, State, Config, NetworkSettings }: ContainerView, short: boolean) {
  const words = Config.Cmd.join(' ');
  const { Rootfs } = Config;
  return {
    ID: short ? Id.slice(0, 12) : Id,
    Image: typeof Rootfs === 'string' && Rootfs !== '' ? Rootfs : '-',
    Command: `"${short && words.length > 20 ? `${words.slice(0, 19)}…` : words}"`,
    CreatedAt: Created,
    RunningFor: `${formatDuration(Date.now() - Date.parse(Created))} ago`,
    State: State.Status,
    Status: statusOf(State),
    Ports: '',
    Names: Name.replace(/^\//, ''),
    Networks: Object.keys(NetworkSettings.Networks).join(','),
  };
}

function statusOf({ Status, ExitCode, StartedAt, FinishedAt }: ContainerView['State']): string {
  switch (Status) {
    case 'created':
      return 'Created';
    case 'running':
      return `Up ${formatDuration(Date.now() - Date.parse(StartedAt))}`;
    case 'exited':
      return `Exited (${ExitCode}) ${formatDuration(Date.now() - Date.parse(FinishedAt))} ago`;
  }
}
