import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { messageOf, Refusal } from '../lib/errors.ts';
import { print } from './session.ts';

type Open = (isUsed: (name: string) => boolean) => Promise<Command>;

export function addHelp(program: Command, open: Open): void {
  program
    .command('help')
    .description('Show the help of a command, or write the manual pages')
    .argument('[command...]', 'such as network create')
    .option('--man <directory>', 'write the manual pages there, skein.1 and one for each command')
    .action(async (words: readonly string[], { man }: { man?: string }) => {
      if (man !== undefined) await writeManual(man, open);
      else print(await helpOf(words, open));
    });
}

async function writeManual(directory: string, open: Open): Promise<void> {
  const { formatManual } = await import('./manual.ts');
  try {
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of formatManual(await open(() => true))) writeFileSync(join(directory, name), text);
  } catch (cause) {
    throw new Refusal('invalid', `cannot write manual pages to ${directory}: ${messageOf(cause)}`, { cause });
  }
}

async function helpOf(words: readonly string[], open: Open): Promise<string> {
  let command = await open((name) => name === words[0]);
  for (const word of words) {
    const inner = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (inner === undefined) {
      throw new Refusal('not-found', `there is no command ${words.join(' ').slice(0, 80)}; see skein --help`);
    }
    command = inner;
  }
  let help = '';
  command.configureOutput({
    writeOut: (text) => {
      help += text;
    },
  });
  command.outputHelp();
  return help;
}
