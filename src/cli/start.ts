import { type Command, InvalidArgumentError } from 'commander';
import { clientOf, each, print, refuseNotYet } from './session.ts';

export function addStart(program: Command): void {
  const command = program
    .command('start')
    .description('Run the command of containers that have ended again')
    .argument('<container...>');
  refuseNotYet(command, ['-a, --attach', '-i, --interactive']);
  command.action(async (names: readonly string[]) => {
    const client = clientOf(command);
    await each(names, async (name) => {
      await client.call('startContainer', { params: { name } });
      print(`${name}\n`);
    });
  });
}

export function addRestart(program: Command): void {
  const command = program
    .command('restart')
    .description('End containers and run their commands again')
    .argument('<container...>')
    .option(...timeout);
  refuseNotYet(command, ['-s, --signal <x>']);
  command.action(async (names: readonly string[], { timeout: seconds }: { timeout?: number }) => {
    const client = clientOf(command);
    await each(names, async (name) => {
      await client.call('restartContainer', { params: { name }, body: seconds === undefined ? {} : { seconds } });
      print(`${name}\n`);
    });
  });
}

export const timeout = ['-t, --timeout <seconds>', 'until it is killed (10)', parseSeconds] as const;

/** @throws InvalidArgumentError */
function parseSeconds(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('it is not a number of seconds');
  return Number(text);
}
