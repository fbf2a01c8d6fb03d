import type { Command } from 'commander';
import type { Client } from '../adapters/api/client.ts';
import { Refusal } from '../lib/errors.ts';
import { clientOf, complain, print, refuseNotYet } from './session.ts';

export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .description('Show containers and networks as JSON')
    .argument('<name...>', 'names or ids; a container comes before a network of the same name')
    .option('-f, --format <template>', 'json, or a template such as {{.Id}}')
    .option('--type <type>', 'container or network: look for nothing else');
  refuseNotYet(command, ['-s, --size']);
  command.action(async (names: readonly string[], { format, type }: { format?: string; type?: string }) => {
    const client = clientOf(command);
    await printObjects(names, format, getterOf(client, type));
  });
}

/** @throws Refusal 'invalid' for a type that is none */
function getterOf(client: Client, type: string | undefined): (name: string) => Promise<object> {
  switch (type) {
    case undefined:
      return async (name) => {
        const found = await client.call('inspect', { params: { name } });
        return found.Kind === 'container' ? found.Container : found.Network;
      };
    case 'container':
      return (name) => client.call('getContainer', { params: { name } });
    case 'network':
      return (name) => client.call('getNetwork', { params: { name } });
    default:
      throw new Refusal('invalid', `${JSON.stringify(type)} is not a valid value for --type: container or network`);
  }
}

/** What is there is shown, what is not is complained of. */
export async function printObjects(
  names: readonly string[],
  format: string | undefined,
  get: (name: string) => Promise<object>,
): Promise<void> {
  const template = format === undefined ? undefined : await templateOf(format);
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
  else print(found.map((object) => `${template(withMaps(object))}\n`).join(''));
  for (const message of missing) complain(message);
  if (missing.length > 0) process.exitCode = 1;
}

async function templateOf(format: string) {
  const { parseTemplate } = await import('../lib/template/template.ts');
  return parseTemplate(format);
}

/** Objects under these names have keys that people chose: Go's maps. The rest are structs. */
const maps = new Set(['Labels', 'Options', 'Containers', 'Networks', 'AuxiliaryAddresses', 'DriverOpts', 'Sysctls']);

function withMaps(value: unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => withMaps(item));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, withMaps(item, key)] as const);
  return maps.has(name) ? new Map(entries) : Object.fromEntries(entries);
}
