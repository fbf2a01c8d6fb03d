import type { Command } from 'commander';
import { clientOf, each, print, refuseNotYet } from './session.ts';

export function addRm(program: Command): void {
  const command = program
    .command('rm')
    .description('Remove containers')
    .argument('<container...>')
    .option('-f, --force', 'also running ones');
  refuseNotYet(command, ['-l, --link', '-v, --volumes']);
  command.action(async (names: readonly string[], { force = false }: { force?: boolean }) => {
    const client = clientOf(command);
    await each(names, async (name) => {
      await client.call('removeContainer', { params: { name }, query: { force } });
      print(`${name}\n`);
    });
  });
}
