import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Client } from '../adapters/api/client.ts';
import { defined } from '../lib/defined.ts';
import { Refusal } from '../lib/errors.ts';
import { isAddressWish } from '../model/address-wish.ts';
import { defaultNetwork } from '../model/network.ts';
import { wishedAddresses } from './addresses.ts';
import { clientOf, collect, formatBy, print } from './session.ts';
import { warnOfUnaskable } from './unaskable.ts';

interface AttachOptions {
  readonly network: string;
  readonly name?: string;
  readonly alias: readonly string[];
  readonly ip?: string;
  readonly ip6?: string;
  readonly macAddress?: string;
  readonly exit?: boolean;
  readonly format?: string;
}

const target = '[address...] <path|pid|name>';

export function addAttach(program: Command): void {
  const command = program
    .command('attach')
    .description('Put a network namespace or a container on a network, and print its addresses there')
    .usage(`[options] ${target}`)
    .argument(
      '<words...>',
      'addresses that it is to have; then the path of a namespace, a pid, or the name of a container',
    )
    .option('--network <network>', 'network to join', defaultNetwork)
    .option('--name <name>', 'name of the endpoint (a random one; a container keeps its own)')
    .option('--alias <name>', 'further name on the network; may repeat', collect, [])
    .option('--ip <address>', 'IPv4 address on the network')
    .option('--ip6 <address>', 'IPv6 address on the network')
    .option('--mac-address <mac>', 'MAC address on the network')
    .option('--exit', 'also the way out of the host')
    .option('-f, --format <template>', 'json, or a template such as {{.interface}}');
  command.action(async (words: readonly string[], options: AttachOptions) => {
    const attached = await attach(clientOf(command), words, options);
    warnOfUnaskable(options.name);
    print(
      `${options.format === undefined ? attached.addresses.join(' ') : await formatBy(options.format, attached)}\n`,
    );
  });
}

async function attach(client: Client, words: readonly string[], options: AttachOptions) {
  const { network, name, alias, macAddress, exit = false } = options;
  const place = parsePlace(words.at(-1) ?? '');
  const wishes = {
    aliases: [...alias],
    ...wishedAddresses(words.slice(0, -1), options),
    ...defined<{ mac?: string }>({ mac: macAddress?.toLowerCase() }),
  };
  if ('container' in place) {
    if (name !== undefined)
      throw new Refusal('invalid', `container ${place.container} keeps its name: leave out --name`);
    if (exit)
      throw new Refusal('invalid', `container ${place.container} has the way out of the host: leave out --exit`);
    return await client.call('connectContainer', { params: { name: network }, body: { ...place, ...wishes } });
  }
  const body = { network, exit, ...place, ...defined<{ name?: string }>({ name }), ...wishes };
  return await client.call('attach', { body });
}

export function addDetach(program: Command): void {
  const command = program
    .command('detach')
    .description('Take a network namespace or a container off a network')
    .argument('<path|pid|name>', 'path of a namespace, a pid, or the name of a container')
    .option('--network <network>', 'network to leave', defaultNetwork);
  command.action(async (word: string, { network }: { network: string }) => {
    const client = clientOf(command);
    const place = parsePlace(word);
    if ('container' in place) {
      await client.call('disconnectContainer', { params: { name: network }, body: place });
    } else await client.call('detach', { body: { network, ...place } });
  });
}

type Place = { readonly path: string } | { readonly pid: number } | { readonly container: string };

const longestWord = 4096;

/** What has a slash is a path, a number that the kernel gives to processes a pid, the rest a container. @throws Refusal */
export function parsePlace(word: string): Place {
  if (word === '' || word.length > longestWord || word.includes('\0') || (word.includes('/') && isAddressWish(word))) {
    throw new Refusal('invalid', `give the path of a namespace, a pid, or the name of a container`);
  }
  if (word.includes('/')) return { path: resolve(word) };
  if (/^[1-9]\d{0,6}$/.test(word)) return { pid: Number(word) };
  return { container: word };
}
