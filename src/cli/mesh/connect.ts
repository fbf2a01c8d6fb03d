import type { Command } from 'commander';
import type { Client, JoinedView } from '../../adapters/api/client.ts';
import { backoff } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import { parseMeshPlace } from '../../model/mesh-place.ts';
import { parseTokenSource, readToken } from '../../model/token-source.ts';
import { clientOf, complain, print, socketOf } from '../session.ts';
import { printable } from '../table.ts';
import { joining } from './joining.ts';
import { nameOf } from './names.ts';

export function addConnect(program: Command): void {
  const command = program
    .command('connect')
    .description(
      'Connect to other hosts of a cluster without a store, from now on; a host that holds nothing joins theirs',
    )
    .argument('[place...]', 'where they are, HOST[:PORT]')
    .option(
      '--token <token>',
      'what lets this host in: @FILE, - for the standard input, or the token itself (SKEIN_TOKEN)',
    )
    .option('--replace', 'to these alone: others given before are dialled no more');
  command.action(async (places: readonly string[], options: { token?: string; replace?: boolean }) => {
    const { token: text = process.env['SKEIN_TOKEN'] || undefined, replace = false } = options;
    if (places.length === 0 && !replace) throw new Refusal('invalid', 'name a host to connect to: skein connect HOST');
    const targets = places.map(parseMeshPlace);
    const token = text === undefined ? {} : { token: readToken(parseTokenSource(text)).reveal() };
    const client = clientOf(command);
    const first = await client.call('joinHosts', { body: { targets, replace, ...token } });
    const met = first.reached.some(({ host }) => host !== undefined);
    const joins = first.restarts || (first.cluster === undefined && met);
    const cluster = joins ? await joining(socketOf(command), first.cluster) : first.cluster;
    if (joins && cluster !== undefined) print(`joined cluster ${cluster.slice(0, 12)}\n`);
    // Now that it belongs to it, what does not come through between them is seen, too.
    const again = joins && cluster !== undefined && targets.length > 0;
    const reached = again ? await reachedAgain(client, first.reached) : first.reached;
    for (const { target, host, why } of reached) {
      if (host !== undefined) print(`${target} is ${printable(nameOf(host))}\n`);
      if (why === undefined) continue;
      complain(printable(why));
      process.exitCode = 1;
    }
    if (cluster === undefined) print('this host goes on waiting for a cluster: skein status says for whom\n');
  });
}

type Reached = JoinedView['reached'];

/** Those who were met just now begin anew in the cluster, too, and are given a moment for it. */
async function reachedAgain(client: Client, before: Reached): Promise<Reached> {
  const met = new Set(before.filter(({ host }) => host !== undefined).map(({ target }) => target));
  let reached = before;
  for await (const _ of backoff({ first: 100, most: 500, signal: AbortSignal.timeout(patience) })) {
    ({ reached } = await client.call('joinHosts', { body: { targets: before.map(({ target }) => target) } }));
    if (reached.every(({ target, host }) => host !== undefined || !met.has(target))) break;
  }
  return reached;
}

/** In milliseconds. */
const patience = 5_000;

export function addDisconnect(program: Command): void {
  const command = program
    .command('disconnect')
    .alias('forget')
    .description('Dial hosts no more; links that stand go on')
    .argument('<place...>', 'as skein status targets shows them');
  command.action(async (places: readonly string[]) => {
    await clientOf(command).call('leaveHosts', { body: { targets: places.map(parseMeshPlace) } });
  });
}
