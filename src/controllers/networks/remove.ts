import { randomBytes } from 'node:crypto';
import { Refusal } from '../../lib/errors.ts';
import type { Network } from '../../model/network.ts';
import type { Catalog } from '../../state/catalog.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Intents } from './intents.ts';
import type { KnownNetworks } from './known.ts';
import { hasMark, withoutMark } from './mark.ts';

export interface RemoveNeeds {
  readonly catalog: Pick<Catalog, 'update'>;
  readonly registry: Pick<Registry, 'list'>;
  readonly hosts: Pick<Hosts, 'self' | 'list'>;
  readonly intents: Pick<Intents, 'begin' | 'settle'>;
  readonly known: Pick<KnownNetworks, 'remove'>;
}

/**
 * Marks the network, looks for endpoints, then removes it or takes the mark back (`docs/decisions/0002`). Each removal acts
 * on its own mark only: one that finds another's mark in its place begins again.
 * @throws Refusal 'forbidden' (has endpoints, each with its host) | 'conflict' (others remove it, again and again) |
 *   'unavailable'
 */
export async function removeNetwork({ id, name }: Network, needs: RemoveNeeds): Promise<void> {
  const { catalog, registry, hosts, intents, known } = needs;
  for (let attempt = 0; attempt < 5; attempt++) {
    const mark = randomBytes(8).toString('hex');
    const removing = { host: hosts.self.id, since: new Date().toISOString(), mark };
    await intents.begin(id, name);
    let done = false;
    try {
      if ((await catalog.update(id, (network) => ({ ...network, removing }))) === undefined) done = true;
      else {
        const entries = await registry.list({ kind: 'endpoints', network: id });
        if (entries.length > 0) {
          await catalog.update(id, (network) => (hasMark(network, mark) ? withoutMark(network) : network));
          throw inUse(name, entries, hosts);
        }
        done = (await catalog.update(id, (network) => (hasMark(network, mark) ? undefined : network))) === undefined;
      }
      if (done) known.remove(id);
    } finally {
      await intents.settle(id, name, { unused: false });
    }
    if (done) return;
  }
  throw new Refusal('conflict', `network ${name} is being removed by another host as well; try again`);
}

function inUse(name: string, entries: Awaited<ReturnType<Registry['list']>>, hosts: Pick<Hosts, 'list'>): Refusal {
  const hostNames = new Map(hosts.list().map(({ host }) => [host.id, host.name]));
  const endpoints = entries.flatMap(({ record }) => (record.kind === 'endpoint' ? [record.endpoint] : []));
  const shown = endpoints.slice(0, 5).map(({ name: endpoint, id, host }) => {
    return `name:"${endpoint}" id:"${id.slice(0, 12)}" host:"${hostNames.get(host) ?? host.slice(0, 12)}"`;
  });
  const more = endpoints.length > shown.length ? ` and ${endpoints.length - shown.length} more` : '';
  return new Refusal(
    'forbidden',
    `error while removing network: network ${name} has active endpoints (${shown.join(', ')}${more})`,
  );
}
