import type { Command } from 'commander';
import { clientOf, each, print } from './session.ts';

export function addKill(program: Command): void {
  const command = program
    .command('kill')
    .description('Send a signal to containers')
    .argument('<container...>')
    .option('-s, --signal <signal>', 'name or number', 'SIGKILL');
  command.action(async (names: readonly string[], { signal }: { signal: string }) => {
    const client = clientOf(command);
    await each(names, async (name) => {
      await client.call('killContainer', { params: { name }, body: { signal } });
      print(`${name}\n`);
    });
  });
}
