import type { Command } from 'commander';
import { Refusal } from '../lib/errors.ts';
import { clientOf, complain, print, refuseNotYet } from './session.ts';
import { parseTemplate } from './template.ts';

export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .description('Show containers and networks as JSON')
    .argument('<name...>')
    .option('-f, --format <template>', 'json, or a template such as {{.Id}}');
  refuseNotYet(command, ['-s, --size', '--type <x>']);
  command.action(async (names: readonly string[], { format }: { format?: string }) => {
    const client = clientOf(command);
    await printObjects(names, format, async (name) => {
      const found = await client.call('inspect', { params: { name } });
      return found.Kind === 'container' ? found.Container : found.Network;
    });
  });
}

/** What is there is shown, what is not is complained of. */
export async function printObjects(
  names: readonly string[],
  format: string | undefined,
  get: (name: string) => Promise<object>,
): Promise<void> {
  const template = format === undefined ? undefined : parseTemplate(format);
  const found: object[] = [];
  const missing: string[] = [];
  for (const name of names) {
    try {
      found.push(await get(name));
    } catch (error) {
      if (!(error instanceof Refusal) || error.kind === 'unavailable' || error.kind === 'forbidden') throw error;
      missing.push(error.message);
    }
  }
  if (format === 'json') print(`${JSON.stringify(found)}\n`);
  else if (template === undefined) print(`${JSON.stringify(found, null, 4)}\n`);
  else print(found.map((object) => `${template(object)}\n`).join(''));
  for (const message of missing) complain(message);
  if (missing.length > 0) process.exitCode = 1;
}
