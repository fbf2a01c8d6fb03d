import type { Command } from 'commander';
import { defined } from '../../lib/defined.ts';
import type { NamedPort } from '../../model/named-port.ts';
import { AddressInput } from '../../model/text.ts';
import { collectGiven } from '../given.ts';
import { collectPorts } from '../named-port.ts';
import { clientOf, complain, print } from '../session.ts';

export function addAdd(dns: Command): void {
  const command = dns
    .command('add')
    .description('Give a name to addresses; it is kept on this host and goes with it')
    .argument('<name>', 'name, of one label or several')
    .argument('<address...>', 'what it stands for, beside what it has', collectGiven('address', AddressInput))
    .option('--network <network>', 'only for containers on this network; without it for all of the cluster')
    .option(
      '--port <port>',
      'what listens there, beside what it has, to be found as _NAME._PROTO.…: [NAME:]PORT[/PROTO] or FIRST-LAST[/PROTO]; may repeat',
      collectPorts,
    );
  command.action(
    async (
      name: string,
      addresses: readonly string[],
      { network, port }: { network?: string; port?: readonly NamedPort[] },
    ) => {
      const body = {
        ...{ name, addresses: [...addresses] },
        ...defined<{ network?: string; ports?: NamedPort[] }>({ network, ports: port && [...port] }),
      };
      const { name: given, warning } = await clientOf(command).call('addRecord', { body });
      print(`${given}\n`);
      if (warning !== undefined) complain(`warning: ${warning}`);
    },
  );
}
