import { type Command, Option } from 'commander';
import { type Client, openClient } from '../adapters/api/client.ts';
import { defaultLab } from '../lab/folders.ts';
import { socketOfHost } from '../lab/host.ts';
import { Refusal } from '../lib/errors.ts';
import { withProgress } from './progress.ts';

const defaultHost = 'unix:///run/skein/skein.sock';

/** The daemon that this command line speaks to. @throws Refusal */
export function clientOf(command: Command): Client {
  const socket = socketOf(command);
  const client = openClient(socket);
  const call: Client['call'] = (...request) =>
    withProgress(`waiting for the daemon at ${socket}`, client.call(...request));
  return { ...client, call };
}

/** @throws Refusal */
export function socketOf(command: Command): string {
  let top = command;
  while (top.parent !== null) top = top.parent;
  const host: unknown = top.opts()['host'];
  return parseTarget(typeof host === 'string' ? host : process.env['SKEIN_HOST'] || defaultHost);
}

/** `unix:///PATH`, a path, the name of a lab's host, or LAB/HOST. @throws Refusal 'invalid' | 'unsupported' */
export function parseTarget(text: string): string {
  if (text.startsWith('unix:///')) return text.slice('unix://'.length);
  if (text.startsWith('/')) return text;
  if (text.startsWith('tcp://')) {
    throw new Refusal('unsupported', `cannot speak to ${text}: TCP needs client certificates, which do not exist yet`);
  }
  const [lab, host] = /^([a-zA-Z0-9][\w.-]{0,62})(?:\/([a-zA-Z0-9][\w.-]{0,62}))?$/.exec(text)?.slice(1) ?? [];
  if (lab === undefined) {
    throw new Refusal(
      'invalid',
      `${JSON.stringify(text.slice(0, 80))} is neither unix:///PATH nor the name of a lab's host`,
    );
  }
  return host === undefined ? socketOfHost(defaultLab, lab) : socketOfHost(lab, host);
}

/** Flags of Docker that do not work yet: refused, never ignored. */
export function refuseNotYet(command: Command, flags: readonly string[]): Command {
  for (const flag of flags) {
    const option = new Option(flag).hideHelp();
    command.addOption(option);
    command.on(`option:${option.name()}`, () => {
      throw new Refusal('unsupported', `${option.long ?? option.short} does not work yet`);
    });
  }
  return command;
}

export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** What a template makes of one value. @throws Refusal 'invalid' */
export async function formatBy(format: string, value: unknown): Promise<string> {
  const { parseTemplate } = await import('../lib/template/template.ts');
  return parseTemplate(format)(value);
}

export function print(text: string): void {
  process.stdout.write(text);
}

/** Does one thing after the other; what fails is said, the others are done all the same. */
export async function each(names: readonly string[], act: (name: string) => Promise<void>): Promise<void> {
  for (const name of names) {
    try {
      await act(name);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      complain(error.message);
      process.exitCode = 1;
    }
  }
}

export function complain(message: string): void {
  process.stderr.write(`skein: ${message}\n`);
}
