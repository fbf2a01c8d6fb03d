import { constants } from 'node:os';
import { CommanderError } from 'commander';
import { NotExecuted } from '../adapters/api/client.ts';
import { messageOf, Refusal } from '../lib/errors.ts';
import { commands, openProgram } from './commands.ts';
import { complain } from './session.ts';
import { printable } from './table.ts';

process.stdout.on('error', (error) => endWithout('output', error));
process.stderr.on('error', (error) => endWithout('error', error));
const chosen = commandIn(process.argv.slice(2));
try {
  if (Number.parseInt(process.versions.node, 10) < 24) {
    throw new Refusal('unsupported', `this is Node ${process.versions.node}; 24 or later is needed`);
  }
  if (chosen === '__complete') await (await import('./complete.ts')).complete(process.argv.slice(3));
  else {
    const program = await openProgram((name) => name === chosen);
    await program.parseAsync();
  }
} catch (error) {
  process.exitCode = fail(error);
}

/** The first word that is neither a flag nor a flag's value. */
function commandIn(words: readonly string[]): string | undefined {
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i];
    if (word === '-H' || word === '--host') i += 1;
    else if (word !== undefined && !word.startsWith('-')) return word;
  }
  return undefined;
}

/** Nobody takes what is written. A reader that has gone away ends it quietly, with the code SIGPIPE would give. */
function endWithout(output: 'output' | 'error', error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.exit(128 + constants.signals.SIGPIPE);
  if (output === 'output') complain(`cannot write to the standard output: ${printable(messageOf(error))}`);
  process.exit(1);
}

function fail(error: unknown): number {
  const failure = (chosen === undefined ? undefined : commands[chosen]?.failure) ?? 1;
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : failure;
  complain(printable(messageOf(error)));
  return error instanceof NotExecuted ? error.exitCode : failure;
}
