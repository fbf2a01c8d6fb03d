import { type Command, InvalidArgumentError } from 'commander';
import type { Client, ContainerView } from '../adapters/api/client.ts';
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
} from './listing.ts';
import { clientOf, collect, print, refuseNotYet } from './session.ts';
import { formatDuration, printable } from './table.ts';

interface Options extends ListOptions {
  readonly all?: boolean;
  readonly last?: number;
  readonly latest?: boolean;
  readonly weave?: boolean;
}

const headers = {
  ...{ ID: 'CONTAINER ID', Image: 'IMAGE', Command: 'COMMAND', CreatedAt: 'CREATED AT', RunningFor: 'CREATED' },
  ...{ State: 'STATE', Status: 'STATUS', Ports: 'PORTS', Names: 'NAMES', Networks: 'NETWORKS', ...labelHeaders },
};
const states = ['created', 'running', 'restarting', 'paused', 'removing', 'exited', 'dead'];

/** Docker's columns. There are no images: IMAGE is the root directory, `-` for the host's own; ports do not exist yet. */
export function addPs(program: Command): void {
  const command = program
    .command('ps')
    .description('List containers of this host')
    .option('-a, --all', 'also those that ended')
    .option('-q, --quiet', 'only ids')
    .option(
      '-f, --filter <key=value>',
      'only those with this id, name, status, exited (code), label, network, or made before or since a container',
      collect,
      [],
    )
    .option('-l, --latest', 'the newest, in whatever state')
    .option('-n, --last <count>', 'the newest so many, in whatever state', parseCount)
    .option('--format <template>', 'json, table, or a template such as {{.Names}}')
    .option('--no-trunc', 'whole ids and commands')
    .option('--weave', 'the lines of weave ps: id, MAC and addresses of each interface, that of the host itself first');
  refuseNotYet(command, ['-s, --size']);
  command.action(async (options: Options) => {
    const client = clientOf(command);
    const containers = await select(client, options);
    if (options.weave) {
      const { weaveLines } = await import('./weave-ps.ts');
      print((await weaveLines(client, containers)).map((line) => `${printable(line)}\n`).join(''));
      return;
    }
    const rows = containers.map((container) => fieldsOf(container, options.trunc));
    const columns = ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names'] as const;
    await printListing({ rows, headers, columns, id: 'ID' }, options);
  });
}

/** @throws Refusal; InvalidArgumentError */
function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('it is not a number');
  return Number(text);
}

async function select(
  client: Client,
  { all = false, filter, last, latest }: Options,
): Promise<readonly ContainerView[]> {
  const filters = parseFilters(filter, ['id', 'name', 'status', 'exited', 'label', 'network', 'before', 'since']);
  requireOneOf('status', filters.status, states);
  const newest = latest ? 1 : last;
  const ended = all || newest !== undefined || filters.status !== undefined;
  const containers = await client.call('listContainers', { query: { all: ended } });
  const [before, since] = await Promise.all([edge(client, filters.before), edge(client, filters.since)]);
  return containers
    .filter(
      ({ Id, Name, State, Created, Config, NetworkSettings }) =>
        matches(filters.id, Id) &&
        matches(filters.name, Name, Name.replace(/^\//, '')) &&
        isOneOf(filters.status, State.Status) &&
        (filters.exited === undefined ||
          (State.Status === 'exited' && isOneOf(filters.exited, String(State.ExitCode)))) &&
        hasLabels(filters.label, labelsOf(Config)) &&
        isOnNetwork(filters.network, NetworkSettings.Networks) &&
        (before === undefined || Created < before) &&
        (since === undefined || Created > since),
    )
    .slice(0, newest);
}

/** When the container that the filter names was made. @throws Refusal */
async function edge(client: Client, names: readonly string[] | undefined): Promise<string | undefined> {
  const [name] = names ?? [];
  return name === undefined ? undefined : (await client.call('getContainer', { params: { name } })).Created;
}

function isOnNetwork(
  wanted: readonly string[] | undefined,
  networks: ContainerView['NetworkSettings']['Networks'],
): boolean {
  return (
    Object.entries(networks).some(([name, { NetworkID }]) => matches(wanted, name, NetworkID)) || wanted === undefined
  );
}

function labelsOf({ Labels }: ContainerView['Config']): Readonly<Record<string, string>> {
  if (typeof Labels !== 'object' || Labels === null) return {};
  return Object.fromEntries(Object.entries(Labels).map(([key, value]) => [key, String(value)]));
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
    ...labelFields(labelsOf(Config)),
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
