import type { Command } from 'commander';
import { defined } from '../lib/defined.ts';
import { Refusal } from '../lib/errors.ts';
import { DnsOption, DnsSearch } from '../model/container.ts';
import { gatewayBridge } from '../model/interfaces.ts';
import type { NamedPort } from '../model/named-port.ts';
import { defaultNetwork } from '../model/network.ts';
import { AddressInput } from '../model/text.ts';
import { takeAddresses, wishedAddresses } from './addresses.ts';
import { readEnvironment } from './environment.ts';
import { follow, requireTerminal } from './follow.ts';
import { collectGiven } from './given.ts';
import { collectPorts } from './named-port.ts';
import { parseRestart, type RestartPolicy } from './restart-policy.ts';
import { clientOf, collect, print, refuseNotYet } from './session.ts';
import { sizeFor } from './terminal-size.ts';
import { warnOfUnaskable } from './unaskable.ts';

interface Options {
  readonly detach?: boolean;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly rm?: boolean;
  readonly name?: string;
  readonly network?: string;
  readonly net?: string;
  readonly ip?: string;
  readonly ip6?: string;
  /** Those before `--`. */
  readonly address: readonly string[];
  readonly macAddress?: string;
  readonly networkAlias: readonly string[];
  readonly alias: readonly string[];
  readonly hostname?: string;
  readonly env: readonly string[];
  readonly envFile: readonly string[];
  readonly rootfs?: string;
  readonly restart?: RestartPolicy;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOption: readonly string[];
  readonly expose: readonly NamedPort[];
}

interface Wishes {
  name?: string;
  network?: string;
  mac?: string;
  hostname?: string;
  rootfs?: string;
  restart?: RestartPolicy;
}

const notYet = [
  ...['-a, --attach <x>', '--add-host <x>', '--cap-add <x>', '--cap-drop <x>', '--cpus <x>', '--device <x>'],
  ...['--entrypoint <x>', '--init', '-l, --label <x>', '--link <x>'],
  ...[
    '-m, --memory <x>',
    '--mount <x>',
    '-p, --publish <x>',
    '-P, --publish-all',
    '--pid <x>',
    '--privileged',
    '--pull <x>',
  ],
  ...['--security-opt <x>', '--sysctl <x>', '--tmpfs <x>', '-u, --user <x>', '--ulimit <x>'],
  ...['-v, --volume <x>', '-w, --workdir <x>'],
];

export function addRun(program: Command): void {
  const command = program
    .command('run')
    .description('Run a command in a container of its own')
    .usage('[options] [address...] [--] COMMAND [ARG...]')
    .argument('<command...>')
    .passThroughOptions()
    .option('-d, --detach', 'print the id and do not wait')
    .option('-i, --interactive', 'give it the standard input')
    .option('-t, --tty', 'give it a terminal')
    .option('--rm', 'remove the container when it ends')
    .option(
      '--restart <policy>',
      'when it is started again after it has ended: no, on-failure[:times], always, unless-stopped',
      parseRestart,
    )
    .option('--name <name>', 'name of the container')
    .option(
      '--network <network>',
      `network to join (${defaultNetwork}); ${gatewayBridge} for the way out of the host alone`,
    )
    .option('--net <network>', 'the same')
    .option('--ip <address>', 'IPv4 address on the network')
    .option('--ip6 <address>', 'IPv6 address on the network')
    .option('--mac-address <mac>', 'MAC address on the network')
    .option('--network-alias <name>', 'further name on the network; may repeat', collect, [])
    .option('--alias <name>', 'the same', collect, [])
    .option('-h, --hostname <name>', 'host name of the container')
    .option('-e, --env <key=value>', 'variable; may repeat', collect, [])
    .option('--env-file <file>', 'file of variables; may repeat', collect, [])
    .option(
      '--dns <address>',
      "server to ask for names outside, instead of the host's; may repeat",
      collectGiven('--dns', AddressInput),
      [],
    )
    .option(
      '--dns-search <domain>',
      "domain to complete names with, instead of the host's; . for none; may repeat",
      collectGiven('--dns-search', DnsSearch),
      [],
    )
    .option(
      '--dns-option <option>',
      "option of resolv.conf, instead of the host's; may repeat",
      collectGiven('--dns-option', DnsOption),
      [],
    )
    .option(
      '--expose <port>',
      'what it listens at, to be found as _NAME._PROTO.CONTAINER: [NAME:]PORT[/PROTO] or FIRST-LAST[/PROTO]; may repeat',
      collectPorts,
      [],
    )
    .option('--rootfs <directory>', "root directory; without it the host's own");
  refuseNotYet(command, notYet);
  takeAddresses(command);
  command.action(async (words: readonly string[], options: Options) => {
    const { detach = false, interactive = false, tty = false, rm = false } = options;
    if (options.network !== undefined && options.net !== undefined) {
      throw new Refusal('invalid', 'give one network: --net is the same as --network');
    }
    if (!detach) requireTerminal({ interactive, tty });
    const client = clientOf(command);
    const { name, hostname, rootfs, restart } = options;
    const network = options.network ?? options.net ?? defaultNetwork;
    const { Id } = await client.call('runContainer', {
      body: {
        ...defined<Wishes>({
          name,
          network,
          mac: options.macAddress?.toLowerCase(),
          hostname,
          rootfs,
          restart,
        }),
        ...wishedAddresses(options.address, options),
        command: [...words],
        aliases: [...options.networkAlias, ...options.alias],
        env: readEnvironment(options),
        ...dnsOf(options),
        ...(options.expose.length > 0 && { ports: [...options.expose] }),
        interactive,
        tty,
        ...sizeFor(tty),
        remove: rm,
      },
    });
    if (network !== undefined) warnOfUnaskable(name);
    if (detach) print(`${Id}\n`);
    else {
      const kill = (signal: string) => client.call('killContainer', { params: { name: Id }, body: { signal } });
      process.exitCode = await follow(client, Id, { interactive, tty, kill });
    }
  });
}

function dnsOf({ dns, dnsSearch, dnsOption }: Options) {
  if (dns.length + dnsSearch.length + dnsOption.length === 0) return {};
  return { dns: { servers: [...dns], search: [...dnsSearch], options: [...dnsOption] } };
}
