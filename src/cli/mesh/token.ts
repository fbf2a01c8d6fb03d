import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { JoinToken, joinCommand } from '../../model/join-token.ts';
import { clientOf, print } from '../session.ts';

export function addToken(program: Command): void {
  const token = program.command('token').description('What lets hosts into a cluster without a store');
  token
    .command('show')
    .description('Print the token of the cluster')
    .option('--command', 'the whole command that another host joins with')
    .action(async ({ command: whole }: { command?: boolean }, command: Command) => {
      const view = await clientOf(command).call('getToken', {});
      print(`${whole ? joinCommand(view) : view.token}\n`);
    });
  token
    .command('rotate')
    .description('Make another token, and print it; the old one is refused by name from then on')
    .option('--command', 'the whole command that another host joins with')
    .action(async ({ command: whole }: { command?: boolean }, command: Command) => {
      const view = await clientOf(command).call('rotateToken', {});
      print(`${whole ? joinCommand(view) : view.token}\n`);
    });
  token
    .command('new')
    .description('Make a token for a cluster that does not exist yet: hosts launched with it wait for each other')
    .action(() => print(`${new JoinToken(randomBytes(16)).reveal()}\n`));
}
