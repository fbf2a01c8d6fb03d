import type { Command } from 'commander';
import { readEnvironment } from './environment.ts';
import { follow, requireTerminal } from './follow.ts';
import { clientOf, collect, refuseNotYet } from './session.ts';
import { sizeFor } from './terminal-size.ts';

interface Options {
  readonly detach?: boolean;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env: readonly string[];
  readonly envFile: readonly string[];
}

export function addExec(program: Command): void {
  const command = program
    .command('exec')
    .description('Run a further command in a running container')
    .argument('<container>')
    .argument('<command...>')
    .passThroughOptions()
    .option('-d, --detach', 'do not wait for it')
    .option('-i, --interactive', 'give it the standard input')
    .option('-t, --tty', 'give it a terminal')
    .option('-e, --env <key=value>', 'variable; may repeat', collect, [])
    .option('--env-file <file>', 'file of variables; may repeat', collect, []);
  refuseNotYet(command, ['--detach-keys <x>', '--privileged', '-u, --user <x>', '-w, --workdir <x>']);
  command.action(async (name: string, words: readonly string[], options: Options) => {
    const { detach = false, interactive = false, tty = false } = options;
    if (!detach) requireTerminal({ interactive, tty });
    const client = clientOf(command);
    const env = readEnvironment(options);
    const body = {
      command: words[0] === '--' ? words.slice(1) : [...words],
      env,
      interactive,
      tty,
      ...sizeFor(tty),
    };
    const { Id } = await client.call('execContainer', { params: { name }, body });
    if (!detach) process.exitCode = await follow(client, Id, { interactive, tty });
  });
}
