import type { Command } from 'commander';
import type { ContainerView } from '../adapters/api/client.ts';
import { clientOf, printListing, refuseNotYet } from './session.ts';
import { formatDuration, printable } from './table.ts';

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
  const { Rootfs } = Config;
  return {
    ID: short ? Id.slice(0, 12) : Id,
    Image: typeof Rootfs === 'string' && Rootfs !== '' ? Rootfs : '-',
    Command: formatCommand(Config.Cmd, short),
    CreatedAt: Created,
    RunningFor: `${formatDuration(Date.now() - Date.parse(Created))} ago`,
    State: State.Status,
    Status: statusOf(State),
    Ports: '',
    Names: Name.replace(/^\//, ''),
    Networks: Object.keys(NetworkSettings.Networks).join(','),
  };
}

/** As Docker shows it: arguments with a space in single quotes, cut to 20 characters, and the whole as Go quotes it. */
export function formatCommand([program = '', ...args]: readonly string[], short: boolean): string {
  const all = [program, ...args.map((arg) => (arg.includes(' ') ? `'${arg}'` : arg))].join(' ');
  const characters = Array.from(all);
  const shown = short && characters.length > 20 ? `${characters.slice(0, 19).join('')}…` : all;
  return `"${shown.replace(/["\\\p{Cc}]/gu, quoted)}"`;
}

const named: Readonly<Record<string, string>> = { '\n': 'n', '\r': 'r', '\t': 't', '"': '"', '\\': '\\' };

function quoted(character: string): string {
  const letter = named[character];
  return letter === undefined ? printable(character) : `\\${letter}`;
}

function statusOf({ Status, ExitCode, StartedAt, FinishedAt }: ContainerView['State']): string {
  switch (Status) {
    case 'created':
      return 'Created';
    case 'running':
      return `Up ${formatDuration(Date.now() - Date.parse(StartedAt))}`;
    case 'restarting':
      return `Restarting (${ExitCode}) ${formatDuration(Date.now() - Date.parse(FinishedAt))} ago`;
    case 'exited':
      return `Exited (${ExitCode}) ${formatDuration(Date.now() - Date.parse(FinishedAt))} ago`;
  }
}
