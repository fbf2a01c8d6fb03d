import { type Command, Option } from 'commander';
import type { Client } from '../adapters/api/client.ts';
import { defined } from '../lib/defined.ts';
import { Refusal } from '../lib/errors.ts';
import { formatAddress, parseAddress, withoutLength } from '../lib/prefix.ts';
import { defaultNetwork } from '../model/network.ts';
import { requireAddress, wishedAddresses } from './addresses.ts';
import { clientOf, formatBy, print } from './session.ts';

interface ExposeOptions {
  readonly network?: string;
  readonly hostname?: string;
  readonly masquerade: boolean;
  readonly withoutMasquerade?: boolean;
  readonly format?: string;
}

export function addExpose(program: Command): void {
  const command = program
    .command('expose')
    .description('Put this host itself on a network, and print its addresses there')
    .argument('[address...]', 'address that it is to have')
    .option('--network <network>', `network to join (${defaultNetwork}, if there is none or that; else the only one)`)
    .option('-h, --hostname <name>', "name of this host on the network (the host's own)")
    .option('--no-masquerade', 'what this host forwards onto the network keeps its source address')
    .addOption(new Option('--without-masquerade', 'as Weave calls it').hideHelp())
    .option('-f, --format <template>', 'json, or a template such as {{.interface}}');
  command.action(async (addresses: readonly string[], options: ExposeOptions) => {
    const client = clientOf(command);
    const wishes = { ...wishedAddresses(addresses), ...defined<{ name?: string }>({ name: options.hostname }) };
    const name = options.network ?? (await onlyNetwork(client));
    const exposed = await client.call('exposeHost', {
      params: { name },
      body: {
        ...wishes,
        ...(options.masquerade && !options.withoutMasquerade ? {} : { masquerade: false }),
      },
    });
    print(
      `${options.format === undefined ? bare(exposed.addresses).join('\n') : await formatBy(options.format, exposed)}\n`,
    );
  });
}

export function addHide(program: Command): void {
  const command = program
    .command('hide')
    .description('Take this host off a network again, and print the addresses that it had there')
    .argument('[address]', 'address that it has there: with another it stays')
    .option('--network <network>', 'network to leave (that of the address, or the only one that it is on)');
  command.action(async (address: string | undefined, { network }: { network?: string }) => {
    const client = clientOf(command);
    const body = address === undefined ? {} : { address: canonical(requireAddress(address)) };
    const name = network ?? (await exposedNetwork(client, body.address));
    if (name === undefined) return;
    const { addresses } = await client.call('hideHost', { params: { name }, body });
    print(
      bare(addresses)
        .map((text) => `${text}\n`)
        .join(''),
    );
  });
}

/** The default one, if it is there or no other is, else the only one. @throws Refusal 'invalid' naming the choices */
async function onlyNetwork(client: Client): Promise<string> {
  const all = (await client.call('listNetworks', {})).filter(({ Scope }) => Scope === 'global');
  const [only, ...more] = all;
  if (only === undefined || all.some(({ Name }) => Name === defaultNetwork)) return defaultNetwork;
  if (more.length === 0) return only.Id;
  throw new Refusal(
    'invalid',
    `there are several networks, name one with --network: ${listed(all.map(({ Name }) => Name))}`,
  );
}

/** That on which it has the address, or the only one. @throws Refusal 'invalid' naming the choices, 'not-found' */
async function exposedNetwork(client: Client, address: string | undefined): Promise<string | undefined> {
  const status = await client.call('getStatus', {});
  const exposed = status.state === 'waiting' ? [] : status.exposed;
  const having = exposed.filter(({ addresses }) => address !== undefined && bare(addresses).includes(address));
  if (address !== undefined && having.length === 0) {
    throw new Refusal('not-found', `this host has ${address} on no network: skein status shows where it is`);
  }
  const [only, ...more] = address === undefined ? exposed : having;
  if (more.length === 0) return only?.id;
  const names = exposed.map(({ network }) => network);
  throw new Refusal('invalid', `this host is on several networks, name one with --network: ${listed(names)}`);
}

const mostNamed = 10;

function listed(names: readonly string[]): string {
  const rest = names.length - mostNamed;
  return `${names.slice(0, mostNamed).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

function bare(addresses: readonly string[]): readonly string[] {
  return addresses.map(withoutLength);
}

function canonical(text: string): string {
  return formatAddress(parseAddress(text));
}
