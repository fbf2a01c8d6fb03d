import { type Command, Option } from 'commander';
import { defined } from '../../lib/defined.ts';
import { AddressInput } from '../../model/text.ts';
import { collectGiven } from '../given.ts';
import { clientOf, print } from '../session.ts';

export function addRemove(dns: Command): void {
  const command = dns
    .command('remove')
    .alias('rm')
    .description('Take addresses from a name that was given on this host, or without one all')
    .argument('<name>', 'name, as it was given')
    .argument(
      '[address...]',
      'what it stands for no more; without one it goes',
      collectGiven('address', AddressInput),
      [],
    )
    .option('--network <network>', 'what was given for this network; without it what was given for all of the cluster')
    .addOption(new Option('--all-networks', 'wherever it was given').conflicts('network'));
  command.action(
    async (
      name: string,
      addresses: readonly string[],
      { network, allNetworks }: { network?: string; allNetworks?: true },
    ) => {
      const query = { addresses: [...addresses], ...defined({ network, everywhere: allNetworks }) };
      for (const gone of await clientOf(command).call('removeRecord', { params: { name }, query })) {
        const at = gone.network === undefined ? [] : [gone.network.name ?? gone.network.id.slice(0, 12)];
        print(`${[gone.name, ...at].join(' ')}\n`);
      }
    },
  );
}
