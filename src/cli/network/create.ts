import { type Command, Option } from 'commander';
import { clientOf, collect, complain, print, refuseNotYet } from '../session.ts';
import { type IpamFlags, pairSubnets } from './ipam.ts';

interface Options extends IpamFlags {
  readonly driver: string;
  readonly ipv6?: boolean;
  readonly internal?: boolean;
  readonly attachable?: boolean;
  readonly names: 'unique' | 'shared';
  readonly opt: readonly string[];
  readonly label: readonly string[];
}

export function addCreate(network: Command): void {
  const command = network
    .command('create')
    .description('Make a network')
    .argument('<name>')
    .option('-d, --driver <driver>', 'overlay is the only one', 'overlay')
    .option('--subnet <prefix>', 'subnet such as 10.0.9.0/24; may repeat', collect, [])
    .option('--gateway <address>', 'gateway of the subnet that holds it; may repeat', collect, [])
    .option('--ip-range <prefix>', 'part of a subnet that containers get addresses from; may repeat', collect, [])
    .option('--aux-address <name=address>', 'address that no container gets; may repeat', collect, [])
    .option('--ipv6', 'also IPv6')
    .option('--internal', 'no way out of the host for containers on internal networks alone')
    .addOption(
      new Option('--names <kind>', 'shared: several hosts may have one name, which then leads to all of them')
        .choices(['unique', 'shared'])
        .default('unique'),
    )
    .option('--attachable', 'shown by inspect; containers can join every network')
    .option('-o, --opt <key=value>', 'com.docker.network.driver.mtu=BYTES; may repeat', collect, [])
    .option('--label <key=value>', 'label; may repeat', collect, []);
  refuseNotYet(command, [
    '--config-from <x>',
    '--config-only',
    '--ingress',
    '--ipam-driver <x>',
    '--ipam-opt <x>',
    '--ipv4 <x>',
    '--scope <x>',
  ]);
  command.action(async (name: string, options: Options) => {
    const { driver, names, ipv6 = false, internal = false, attachable = false } = options;
    const body = { name, driver, names, ipv6, internal, attachable, subnets: [...pairSubnets(options)] };
    const { Id, Warning } = await clientOf(command).call('createNetwork', {
      body: { ...body, options: parsePairs(options.opt), labels: parsePairs(options.label) },
    });
    for (const sentence of Warning.split('\n')) if (sentence !== '') complain(`warning: ${sentence}`);
    print(`${Id}\n`);
  });
}

/** `key=value`, or `key` with an empty value. */
function parsePairs(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
