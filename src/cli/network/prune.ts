import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { NetworkView } from '../../adapters/api/client.ts';
import { Refusal } from '../../lib/errors.ts';
import { hasLabels, parseFilters } from '../listing.ts';
import { clientOf, collect, complain, print } from '../session.ts';

const warning = `WARNING! This will remove all custom networks not used by at least one container.
Are you sure you want to continue? [y/N] `;

export function addPrune(network: Command): void {
  const command = network
    .command('prune')
    .description('Remove every network that no container of any host is on')
    .option('-f, --force', 'do not ask')
    .option(
      '--filter <key=value>',
      'only those with this label or without it (label!=), or made before a time or a duration ago (until)',
      collect,
      [],
    );
  command.action(async ({ force = false, filter }: { force?: boolean; filter: readonly string[] }) => {
    const isWanted = parsePruneFilter(filter, Date.now());
    if (!force && !(await agreed())) return;
    const client = clientOf(command);
    const networks = await client.call('listNetworks', {});
    const removed: string[] = [];
    for (const candidate of networks.filter((each) => each.Scope === 'global' && isWanted(each))) {
      try {
        await client.call('removeNetwork', { params: { name: candidate.Id } });
        removed.push(candidate.Name);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        // In use, or gone meanwhile: neither is what was asked for.
        if (error.kind === 'forbidden' || error.kind === 'not-found') continue;
        complain(error.message);
        process.exitCode = 1;
      }
    }
    if (removed.length > 0) print(`Deleted Networks:\n${removed.map((name) => `${name}\n`).join('')}\n`);
  });
}

/** @throws Refusal 'invalid' */
export function parsePruneFilter(
  texts: readonly string[],
  now: number,
): (network: Pick<NetworkView, 'Labels' | 'Created'>) => boolean {
  const filters = parseFilters(texts, ['label', 'label!', 'until']);
  const before = Math.min(...(filters.until ?? []).map((text) => momentOf(text, now)));
  return ({ Labels, Created }) =>
    hasLabels(filters.label, Labels) &&
    (filters['label!'] ?? []).every((label) => !hasLabels([label], Labels)) &&
    Date.parse(Created) < before;
}

const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** `1h30m` ago, seconds since 1970, or a date. @throws Refusal 'invalid' */
function momentOf(text: string, now: number): number {
  if (/^(?:\d+(?:\.\d+)?(?:h|ms|m|s))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)];
    return now - parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (units[unit] ?? 0), 0);
  }
  const moment = /^\d{1,12}$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (!Number.isNaN(moment)) return moment;
  throw new Refusal('invalid', `until=${text.slice(0, 80)} is neither a duration such as 1h30m nor a time`);
}

async function agreed(): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    // The end of the input is a no.
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    return /^y(?:es)?$/i.test((await Promise.race([lines.question(warning), ended])).trim());
  } finally {
    lines.close();
  }
}
