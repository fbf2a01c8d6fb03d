import type { Command } from 'commander';
import { version } from '../model/version.ts';
import { clientOf, formatBy, print, socketOf } from './session.ts';

export function addVersion(program: Command): void {
  const command = program
    .command('version')
    .description('Show the versions of this program and of the daemon')
    .option('-f, --format <template>', 'json, or a template such as {{.Server.Version}}');
  command.action(async ({ format }: { format?: string }) => {
    const Client = { Version: version, NodeVersion: process.versions.node, Os: process.platform, Arch: process.arch };
    const answer = clientOf(command).call('getVersion', {});
    const Server = await answer.catch((error: unknown) => {
      if (format !== undefined) throw error;
      return undefined;
    });
    if (format !== undefined) print(`${await formatBy(format, { Client, Server })}\n`);
    else {
      print(`Client:\n${lines(Client)}`);
      print(Server === undefined ? `\nServer: none answers at ${socketOf(command)}\n` : `\nServer:\n${lines(Server)}`);
    }
  });
}

function lines(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([name, value]) => ` ${`${name}:`.padEnd(16)}${String(value)}\n`)
    .join('');
}
