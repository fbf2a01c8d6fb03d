import { contentAfter, nothing } from '../../src/state/mesh/content.ts';
import type { StoredSheet } from '../../src/state/mesh/environment.ts';
import { statement } from '../../src/state/mesh/head.ts';
import { Neighbours } from '../../src/state/mesh/neighbours.ts';
import type { Json, Scope } from '../../src/state/mesh/sheets.ts';
import type { SimulatedHost, World } from './world.ts';

/** What each host of a cluster has said of a network, by the network. */
export type Saying = (host: SimulatedHost, at: number) => ReadonlyMap<string, readonly [string, Json][]>;

/**
 * Every host has on its disk what all had said, as if the whole cluster had been switched off.
 * @returns the links that there should be
 */
export function preload(world: World, saying: Saying): ReadonlyMap<string, ReadonlySet<string>> {
  const ids = world.hosts.map(({ id }) => id);
  const neighbours = new Neighbours(world.founder.seal);
  const links = new Map(ids.map((id) => [id, neighbours.of(id, ids)]));
  const members = world.hosts.map(({ id, seal: { key }, name }): [string, Json] => [`member/${id}`, { key, name }]);
  const everywhere = [stored(world.founder, 'trust', members)];
  const inNetworks = new Map<string, StoredSheet[]>();
  const followed = new Map<SimulatedHost, readonly string[]>();
  for (const [at, host] of world.hosts.entries()) {
    const said = saying(host, at);
    followed.set(host, [...said.keys()]);
    for (const [network, entries] of said) {
      const all = inNetworks.get(network) ?? [];
      inNetworks.set(network, all);
      if (entries.length > 0) all.push(stored(host, `network:${network}`, entries));
    }
    everywhere.push(
      stored(host, 'host', [
        ['addresses', [host.address]],
        ['neighbours', [...(links.get(host.id) ?? [])].sort()],
        ['networks', [...said.keys()].sort()],
      ]),
    );
  }
  for (const [host, networks] of followed)
    host.disk.fill([...everywhere, ...networks.flatMap((network) => inNetworks.get(network) ?? [])]);
  return links;
}

function stored(host: SimulatedHost, scope: Scope, entries: readonly [string, Json][]): StoredSheet {
  const content = contentAfter(nothing, { put: entries, gone: [] }, host.seal);
  if (content === undefined) throw new RangeError(`${scope} of ${host.name} is too long`);
  const unsigned = { owner: host.id, scope, version: [1, 1], digest: content.digest } as const;
  return { head: { ...unsigned, signature: host.seal.sign(statement(host.world.genesisId, unsigned)) }, entries };
}
