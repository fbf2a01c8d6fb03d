import type { Command } from 'commander';
import { defined } from '../../lib/defined.ts';
import { clientOf, collect, refuseNotYet } from '../session.ts';

interface Options {
  readonly ip?: string;
  readonly ip6?: string;
  readonly alias: readonly string[];
}

export function addConnect(network: Command): void {
  const command = network
    .command('connect')
    .description('Put a running container on a further network')
    .argument('<network>')
    .argument('<container>')
    .option('--ip <address>', 'IPv4 address')
    .option('--ip6 <address>', 'IPv6 address')
    .option('--alias <name>', 'further name on this network; may repeat', collect, []);
  refuseNotYet(command, ['--driver-opt <x>', '--link <x>', '--link-local-ip <x>', '--gw-priority <x>']);
  command.action(async (name: string, container: string, { ip, ip6, alias }: Options) => {
    const body = { container, aliases: [...alias], ...defined<{ ip?: string; ip6?: string }>({ ip, ip6 }) };
    await clientOf(command).call('connectContainer', { params: { name }, body });
  });
}
