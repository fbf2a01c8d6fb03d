import type { Command } from 'commander';
import { Refusal } from '../../lib/errors.ts';
import { clientOf, collect, print, refuseNotYet } from '../session.ts';

interface Options {
  readonly driver: string;
  readonly subnet: readonly string[];
  readonly gateway: readonly string[];
  readonly ipv6?: boolean;
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
    .option('--ipv6', 'also IPv6')
    .option('--label <key=value>', 'label; may repeat', collect, [])
    .option('--attachable', 'as every network is');
  refuseNotYet(command, [
    '--aux-address <x>',
    '--config-from <x>',
    '--config-only',
    '--ingress',
    '--internal',
    '--ip-range <x>',
    '--ipam-driver <x>',
    '--ipam-opt <x>',
    '--ipv4 <x>',
    '-o, --opt <x>',
    '--scope <x>',
  ]);
  command.action(async (name: string, options: Options) => {
    const { driver, subnet, gateway, ipv6 = false, label } = options;
    const body = { name, driver, subnets: await pair(subnet, gateway), ipv6, labels: parseLabels(label) };
    const { Id } = await clientOf(command).call('createNetwork', { body });
    print(`${Id}\n`);
  });
}

/** Each gateway goes to the subnet that holds it, as in Docker. */
async function pair(subnets: readonly string[], gateways: readonly string[]) {
  if (gateways.length === 0) return subnets.map((subnet) => ({ subnet }));
  const { contains, parseAddress, parsePrefix } = await import('../../lib/prefix.ts');
  const left = new Set(gateways);
  const paired = subnets.map((subnet) => {
    const gateway = [...left].find((candidate) => contains(parsePrefix(subnet), parseAddress(candidate)));
    if (gateway === undefined) return { subnet };
    left.delete(gateway);
    return { subnet, gateway };
  });
  const [lonely] = left;
  if (lonely !== undefined) throw new Refusal('invalid', `no matching subnet for gateway ${lonely}`);
  return paired;
}

function parseLabels(labels: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    labels.map((label) => {
      const equals = label.indexOf('=');
      return equals < 0 ? [label, ''] : [label.slice(0, equals), label.slice(equals + 1)];
    }),
  );
}
