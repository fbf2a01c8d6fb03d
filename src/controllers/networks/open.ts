import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import type { Network } from '../../model/network.ts';
import type { Allocator } from '../../state/allocator.ts';
import type { Catalog } from '../../state/catalog.ts';
import type { Claims } from '../../state/claims.ts';
import type { Journal } from '../../state/journal.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Needed } from '../hosts/needed.ts';
import { admitNetwork } from './admit.ts';
import { createNetwork } from './create.ts';
import { Intents } from './intents.ts';
import { KnownNetworks } from './known.ts';
import { followNames } from './names.ts';
import type { Networks } from './networks.ts';
import { removeNetwork } from './remove.ts';
import { useNetwork } from './use.ts';

export interface NetworksNeeds {
  readonly catalog: Catalog;
  readonly allocator: Allocator;
  readonly claims: Claims;
  readonly registry: Pick<Registry, 'list'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly hosts: Pick<Hosts, 'self' | 'cluster' | 'list'>;
  /** What this host has to reach beside all networks. */
  readonly needed: () => Promise<readonly Needed[]>;
  readonly log: Log;
}

export interface NetworksInit {
  /** Where automatic subnets come from. */
  readonly pools: readonly { readonly range: string; readonly size: number }[];
  /** First subnet of the default network. */
  readonly defaultRange: string;
}

/** Resolves when the first snapshot is there; what an earlier life left half done is settled in the background. */
export async function openNetworks(needs: NetworksNeeds, { pools, defaultRange }: NetworksInit): Promise<Networks> {
  const { catalog, hosts } = needs;
  const known = new KnownNetworks();
  const serial = new Serial();
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  const following = known.follow(catalog, { signal: stop.signal, ready: () => ready.resolve() });
  following.catch(ready.reject);
  await ready.promise;
  const intents = new Intents({ ...needs, self: hosts.self.id, signal: stop.signal });
  await intents.resume();
  const parts = { ...needs, intents, known, serial, pools, defaultRange };
  const settle = ({ id, name }: Network) =>
    serial.run(id, async () => {
      await intents.begin(id, name);
      await intents.settle(id, name, { unused: false });
    });
  const naming = followNames({ ...needs, known, settle }, stop.signal);
  return {
    create: (request, warn = () => undefined) => createNetwork(request, { ...parts, warn }),
    list: () => known.list(),
    get: (id) => known.get(id),
    use: (nameOrId, subnets = []) => useNetwork(nameOrId, subnets, { ...parts, signal: stop.signal }),
    find: (nameOrId) => known.find(nameOrId),
    async remove(nameOrId) {
      const network = known.find(nameOrId);
      await serial.run(network.id, () => removeNetwork(network, parts));
      return network;
    },
    async confirm(id) {
      const network = await catalog.get(id);
      return network?.removing === undefined ? network : undefined;
    },
    admit: (id) => admitNetwork(id, parts),
    onPut: (tell) => known.onPut(tell),
    onGone: (tell) => known.onGone(tell),
    problems: () => known.problems(),
    async close() {
      stop.abort();
      await following.catch(() => undefined);
      await naming.catch(() => undefined);
      await intents.close();
    },
  };
}
