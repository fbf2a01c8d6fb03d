import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Network } from '../../model/network.ts';
import { type Allocator, Taken } from '../../state/allocator.ts';
import type { Catalog } from '../../state/catalog.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { networkMtu } from '../ipam/ipam.ts';
import { vnis } from './intents.ts';
import type { KnownNetworks } from './known.ts';
import { parseOptions } from './options.ts';

export interface AdmitNeeds {
  readonly catalog: Pick<Catalog, 'update'>;
  readonly allocator: Pick<Allocator, 'take'>;
  readonly hosts: Pick<Hosts, 'self' | 'cluster'>;
  readonly known: Pick<KnownNetworks, 'find' | 'put' | 'rivals'>;
  readonly log: Log;
}

/**
 * Sees to it that a container of this host can be on a network. Costs nothing where all is well. Why a small path lowers
 * the network's MTU for all: docs/decisions/0005. @throws Refusal 'conflict' | 'unavailable'
 */
export async function admitNetwork(id: string, needs: AdmitNeeds): Promise<void> {
  const network = needs.known.find(id);
  const [rival] = needs.known.rivals(network);
  if (rival !== undefined) await proveVni(network, rival, needs);
  await fitMtu(network, needs);
}

/** Records say that two networks have one VNI: who holds it in the store has it. */
async function proveVni(network: Network, rival: Network, { allocator, hosts }: AdmitNeeds): Promise<void> {
  const { id, name, vni } = network;
  try {
    await allocator.take(vnis, { host: hosts.self.id, id, name }, String(vni));
  } catch (cause) {
    if (!(cause instanceof Taken)) throw cause;
    throw new Refusal(
      'conflict',
      `network ${name} cannot be used: its record has VNI ${vni}, which is that of network ${rival.name}; remove ${name} and make it again`,
      { cause },
    );
  }
}

async function fitMtu(network: Network, { catalog, hosts, known, log }: AdmitNeeds): Promise<void> {
  const { self, cluster } = hosts;
  const { mtu } = parseOptions(network.options);
  const path = { name: self.name, mtu: self.mtu };
  const fitting = networkMtu([path], { underlay: cluster.underlay, ipv6: network.ipv6, wish: mtu });
  if (network.mtu <= fitting) return;
  const lowered = await catalog.update(network.id, (now) => (now.mtu > fitting ? { ...now, mtu: fitting } : now));
  if (lowered === undefined) throw new Refusal('not-found', `network ${network.name} was removed meanwhile`);
  known.put(lowered);
  log.warn('the MTU of a network was lowered for all: the path of this host carries no more', {
    ...{ network: network.id, name: network.name, was: network.mtu, mtu: fitting },
  });
}
