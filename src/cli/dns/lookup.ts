import { isIP } from 'node:net';
import type { Command } from 'commander';
import { Refusal } from '../../lib/errors.ts';
import { clientOf, formatBy, print } from '../session.ts';
import { printable } from '../table.ts';

interface Options {
  readonly type?: string;
  readonly from?: string;
  readonly format?: string;
}

export function addLookup(dns: Command): void {
  const command = dns
    .command('lookup')
    .description('Show what containers are answered for a name, one address or datum a line')
    .argument('<name>', 'name, or an address to find its name')
    .option('--type <type>', 'type of the records, such as SRV; without it A and AAAA, or PTR of an address')
    .option('--from <container>', 'the container that asks; without it the host, which sees what any of them does')
    .option('-f, --format <template>', 'json, or a template such as {{.status}}');
  command.action(async (name: string, { type, from, format }: Options) => {
    if (name === '') throw new Refusal('invalid', 'cannot look up an empty name: give one, or an address');
    const client = clientOf(command);
    const ask = (one: string) =>
      client.call('lookUpName', {
        params: { name },
        query: { type: one, ...(from !== undefined && { container: from }) },
      });
    const types = type === undefined ? (isIP(name) === 0 ? ['A', 'AAAA'] : ['PTR']) : [type.toUpperCase()];
    const answers = await Promise.all(types.map(ask));
    const status = answers.find((answer) => answer.status !== 'NOERROR')?.status ?? 'NOERROR';
    const records = answers.flatMap((answer) => answer.records);
    if (format !== undefined) {
      const own = answers.every((answer) => answer.own);
      print(`${await formatBy(format, { name, status, own, records })}\n`);
      return;
    }
    print(records.map(({ data }) => `${printable(data)}\n`).join(''));
    if (records.length > 0) return;
    const asked = answers.find((answer) => answer.asked !== undefined)?.asked;
    const what =
      status === 'NOERROR'
        ? `has no record of type ${types.join(' or ')}`
        : `is answered with ${status}${asked === undefined ? '' : blame(asked)}`;
    throw new Refusal('not-found', `${name} ${what}`);
  });
}

/** Why nobody outside helped. */
function blame(asked: readonly { readonly address: string; readonly silent: boolean }[]): string {
  const silent = asked.filter((server) => server.silent).map(({ address }) => address);
  if (asked.length === 0) return ': there is no resolver to be asked for it';
  if (silent.length === 0) return `: ${asked.map(({ address }) => address).join(', ')} could not say`;
  return `: ${silent.join(', ')} did not answer`;
}
