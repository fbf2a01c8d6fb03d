import type { Command, Option } from 'commander';
import type { Client, NetworkView } from '../adapters/api/client.ts';
import { commands, openProgram } from './commands.ts';
import { restartPolicies } from './restart-policy.ts';
import { clientOf, print } from './session.ts';

/** What can stand at the place of the last of `words`, the way that the shell takes it. What cannot be asked for is left out. */
export async function complete([shell = '', ...words]: readonly string[]): Promise<void> {
  const last = words.at(-1) ?? '';
  // bash takes `=` for a word of its own.
  const typed = last === '=' ? '' : last;
  const fitting = (
    await candidates(
      words.slice(0, -1).filter((word) => word !== '='),
      typed,
    )
  ).filter(({ word }) => word.startsWith(typed));
  const separator = { zsh: ':', fish: '\t' }[shell];
  print(
    fitting
      .map(({ word, says }) => {
        if (separator === undefined) return `${word}\n`;
        const name = shell === 'zsh' ? word.replaceAll(':', '\\:') : word;
        return says === '' ? `${name}\n` : `${name}${separator}${says}\n`;
      })
      .join(''),
  );
}

interface Candidate {
  readonly word: string;
  readonly says: string;
}

async function candidates(before: readonly string[], typed: string): Promise<readonly Candidate[]> {
  const words = Object.entries(commands).flatMap(([name, { alias }]) => [
    name,
    ...(alias === undefined ? [] : [alias]),
  ]);
  const used = before.find((word) => words.includes(word));
  const program = await openProgram((name) => name === used);
  const { command, waiting, operands } = placeOf(program, before);
  if (waiting !== undefined) return await valuesOf(waiting, command, program);
  if (typed.startsWith('-')) return flagsOf(command);
  if (command.commands.length > 0) {
    return command.commands.map((inner) => ({ word: inner.name(), says: inner.description() }));
  }
  const choices = command.registeredArguments[operands]?.argChoices;
  if (choices !== undefined) return choices.map(plain);
  return await namesFor(kindOf(command, operands), program);
}

interface Place {
  readonly command: Command;
  /** The flag whose value comes next. */
  readonly waiting: Option | undefined;
  readonly operands: number;
}

function placeOf(program: Command, words: readonly string[]): Place {
  let command = program;
  let waiting: Option | undefined;
  let operands = 0;
  for (const word of words) {
    if (waiting !== undefined) {
      program.setOptionValue(waiting.attributeName(), word);
      waiting = undefined;
    } else if (word.startsWith('-')) {
      const option = [...command.options, ...program.options].find(
        ({ long, short }) => word === long || word === short,
      );
      if (option?.required) waiting = option;
    } else {
      const inner = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
      if (inner !== undefined) command = inner;
      else operands += 1;
    }
  }
  return { command, waiting, operands };
}

function flagsOf(command: Command): readonly Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long, description }) => (long == null ? [] : [{ word: long, says: description }]));
}

async function valuesOf(option: Option, command: Command, program: Command): Promise<readonly Candidate[]> {
  if (option.argChoices !== undefined) return option.argChoices.map(plain);
  switch (option.long ?? '') {
    case '--from':
      return await namesFor('container', program);
    case '--network':
      if (command.name() === 'hide') return await namesFor('exposed', program);
      return await namesFor('network', program);
    case '--net':
      return await namesFor('network', program);
    case '--restart':
      return restartPolicies.map(plain);
    case '--type':
      return ['container', 'network'].map(plain);
    case '--format':
      return ['json', 'table'].map(plain);
    case '--host':
      return await labHosts();
    default:
      return [];
  }
}

/** `network` is one of the cluster; the way out of a host can be looked at alone. On an `exposed` one the host itself is. */
type Kind =
  | ('network' | 'exposed' | 'any network' | 'container' | 'object' | 'record')
  | ('host' | 'target' | 'nothing');

/** What the operands of a command name. */
function kindOf(command: Command, operands: number): Kind {
  if (command.parent?.name() === 'dns') return command.name() === 'remove' && operands === 0 ? 'record' : 'nothing';
  const inNetwork = command.parent?.name() === 'network';
  switch (command.name()) {
    case 'connect':
      return inNetwork ? (operands === 0 ? 'network' : 'container') : 'nothing';
    case 'disconnect':
      return inNetwork ? (operands === 0 ? 'network' : 'container') : 'target';
    case 'promote':
      return 'host';
    case 'rm':
      if (command.parent?.name() === 'host') return 'host';
      return inNetwork ? 'network' : 'container';
    case 'inspect':
      return inNetwork ? 'any network' : 'object';
    case 'exec':
    case 'logs':
      return command.parent?.name() === 'lab' || operands > 0 ? 'nothing' : 'container';
    case 'kill':
    case 'start':
    case 'stop':
    case 'restart':
    case 'attach':
    case 'detach':
      return 'container';
    default:
      return 'nothing';
  }
}

/** A shell waits for it: no longer than this, in milliseconds. */
const patience = 1_000;

async function namesFor(kind: Kind, program: Command): Promise<readonly Candidate[]> {
  if (kind === 'nothing') return [];
  try {
    const client = clientOf(program);
    return (await Promise.all(listsOf[kind].map((list) => list(client)))).flat();
  } catch {
    // A shell has no place for it, and goes on without names.
    return [];
  }
}

async function containersOf(client: Client): Promise<readonly Candidate[]> {
  const found = await client.call(
    'listContainers',
    { query: { all: true } },
    { signal: AbortSignal.timeout(patience) },
  );
  return found.map(({ Name, State }) => ({ word: Name.replace(/^\//, ''), says: `container, ${State.Status}` }));
}

/** Those given on this host: others' are not its to take back. */
async function recordsOf(client: Client): Promise<readonly Candidate[]> {
  const signal = AbortSignal.timeout(patience);
  const [{ host: self }, found] = await Promise.all([
    client.call('getStatus', {}, { signal }),
    client.call('listNames', {}, { signal }),
  ]);
  return found
    .filter(({ byHand, host }) => byHand && host.id === self.id)
    .map(({ names: [name = ''], addresses }) => ({ word: name, says: `name of ${addresses.join(', ')}` }));
}

async function otherHosts(client: Client): Promise<readonly Candidate[]> {
  const found = await client.call('listHosts', {}, { signal: AbortSignal.timeout(patience) });
  return found.filter(({ self }) => !self).map(({ name, state }) => ({ word: name, says: `host, ${state}` }));
}

async function targetsOf(client: Client): Promise<readonly Candidate[]> {
  const found = await client.call('listTargets', {}, { signal: AbortSignal.timeout(patience) });
  return found.filter(({ byHand }) => byHand).map(({ address, state }) => ({ word: address, says: `host, ${state}` }));
}

async function anyNetworks(client: Client): Promise<readonly Candidate[]> {
  return (await listNetworks(client)).map(viewNetwork);
}

async function clusterNetworks(client: Client): Promise<readonly Candidate[]> {
  return (await listNetworks(client)).filter(({ Scope }) => Scope === 'global').map(viewNetwork);
}

async function exposedNetworks(client: Client): Promise<readonly Candidate[]> {
  const status = await client.call('getStatus', {}, { signal: AbortSignal.timeout(patience) });
  if (status.state === 'waiting') return [];
  return status.exposed.map(({ network, addresses }) => ({
    word: network,
    says: `network, with ${addresses.join(' ')}`,
  }));
}

function listNetworks(client: Client): Promise<readonly NetworkView[]> {
  return client.call('listNetworks', {}, { signal: AbortSignal.timeout(patience) });
}

function viewNetwork({ Name, Driver }: NetworkView): Candidate {
  return { word: Name, says: `network, ${Driver}` };
}

const listsOf: Record<Exclude<Kind, 'nothing'>, readonly ((client: Client) => Promise<readonly Candidate[]>)[]> = {
  network: [clusterNetworks],
  'any network': [anyNetworks],
  exposed: [exposedNetworks],
  container: [containersOf],
  object: [containersOf, anyNetworks],
  record: [recordsOf],
  host: [otherHosts],
  target: [targetsOf],
};

async function labHosts(): Promise<readonly Candidate[]> {
  const { listLabs } = await import('../lab/lab.ts');
  return listLabs().flatMap(({ name, description }) =>
    Array.from({ length: description?.hosts ?? 0 }, (_, i) => ({
      word: name === 'default' ? `h${i + 1}` : `${name}/h${i + 1}`,
      says: `host of the lab ${name}`,
    })),
  );
}

function plain(word: string): Candidate {
  return { word, says: '' };
}
