import type { Command } from 'commander';
import { Refusal } from '../lib/errors.ts';
import { writeFrames } from './follow.ts';
import { clientOf, complain, refuseNotYet } from './session.ts';

export function addLogs(program: Command): void {
  const command = program
    .command('logs')
    .description('Show what a container wrote')
    .argument('<container>')
    .option('-f, --follow', 'go on until it ends')
    .option('-n, --tail <lines>', 'only the last lines', 'all');
  refuseNotYet(command, ['--details', '--since <x>', '-t, --timestamps', '--until <x>']);
  command.action(async (name: string, { follow = false, tail }: { follow?: boolean; tail: string }) => {
    if (tail !== 'all' && !/^\d{1,9}$/.test(tail)) {
      throw new Refusal('invalid', `--tail ${JSON.stringify(tail)} is neither a number nor all`);
    }
    const client = clientOf(command);
    const { Id } = await client.call('getContainer', { params: { name } });
    const { signal } = new AbortController();
    const lines = tail === 'all' ? {} : { tail: Number(tail) };
    await writeFrames(client.output(Id, { follow, ...lines, signal, onLost: complain }));
  });
}
