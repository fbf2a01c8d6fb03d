import { contentAfter, nothing } from '../../src/state/mesh/content.ts';
import type { StoredSheet } from '../../src/state/mesh/environment.ts';
import { statement } from '../../src/state/mesh/head.ts';
import { Neighbours } from '../../src/state/mesh/neighbours.ts';
import type { Json, Scope } from '../../src/state/mesh/sheets.ts';
import { costs, endpointOf, lan } from './figures.ts';
import { churn, type Percentiles, Waves } from './waves.ts';
import { type SimulatedHost, World } from './world.ts';

export interface Large {
  /** Milliseconds from the start of the last host until every one has its links and sees that all live. */
  readonly together: number | undefined;
  readonly visible: Percentiles;
  /** Bytes a second a host when nothing changes. */
  readonly idle: number;
  /** Of this process for each host, in bytes. */
  readonly memory: number;
}

/** How many hosts share a network. */
const perNetwork = 10;
/** Milliseconds in which all start. */
const starts = 2_000;

/**
 * A cluster that starts again as a whole: every host has on its disk what all had said. Each has so many endpoints on the
 * network that it shares with nine others.
 */
export function large(seed: number, hosts: number, endpoints: number): Large {
  const world = new World({ seed, costs });
  world.network.weather = lan;
  const first = world.add();
  for (let n = 1; n < hosts; n += 1) world.add(first);
  const links = preload(world, endpoints);
  for (const [at, host] of world.hosts.entries()) {
    host.onStart(({ sheets }) => sheets.follow([networkAt(at)]));
    world.time.at(world.chance.between(0, starts), () => host.start());
  }
  world.run(starts);
  const isThere = ({ id, mesh }: SimulatedHost) => {
    const members = mesh?.members.list() ?? [];
    const up = world.network.linksOf(id);
    return (
      members.every(({ state }) => state === 'alive') && [...(links.get(id) ?? [])].every((other) => up.has(other))
    );
  };
  const together = world.until(() => world.hosts.every(isThere), 60_000, 500);
  const waves = new Waves(world);
  world.run(5_000);
  globalThis.gc?.();
  const memory = process.memoryUsage().heapUsed / hosts;
  churn(world, waves, 40);
  world.run(60_000);
  world.traffic = new Map();
  world.run(10_000);
  const bytes = [...world.traffic.values()].reduce((sum, traffic) => sum + traffic.links + traffic.datagrams, 0);
  return { together, visible: waves.result(), idle: bytes / 10 / hosts, memory };
}

/** @returns the links that there should be */
function preload(world: World, endpoints: number): ReadonlyMap<string, ReadonlySet<string>> {
  const ids = world.hosts.map(({ id }) => id);
  const neighbours = new Neighbours(world.founder.seal);
  const links = new Map(ids.map((id) => [id, neighbours.of(id, ids)]));
  const keys = world.hosts.map(({ id, seal, name }): [string, Json] => [`member/${id}`, { key: seal.key, name }]);
  const everywhere = [stored(world.founder, 'trust', keys)];
  const inNetworks = new Map<string, StoredSheet[]>();
  for (const [at, host] of world.hosts.entries()) {
    const network = networkAt(at);
    const all = inNetworks.get(network) ?? [];
    const own: [string, Json][] = Array.from({ length: endpoints }, (_, n) => [
      `endpoint/${n}`,
      endpointOf(host.id, n),
    ]);
    inNetworks.set(network, [...all, stored(host, `network:${network}`, own)]);
    everywhere.push(
      stored(host, 'host', [
        ['addresses', [host.address]],
        ['neighbours', [...(links.get(host.id) ?? [])].sort()],
        ['networks', [network]],
      ]),
    );
  }
  for (const [at, host] of world.hosts.entries())
    host.disk.fill([...everywhere, ...(inNetworks.get(networkAt(at)) ?? [])]);
  return links;
}

function stored(host: SimulatedHost, scope: Scope, entries: [string, Json][]): StoredSheet {
  const content = contentAfter(nothing, { put: entries, gone: [] }, host.seal);
  if (content === undefined) throw new RangeError(`${scope} of ${host.name} is too long`);
  const unsigned = { owner: host.id, scope, version: [1, 1], digest: content.digest } as const;
  return { head: { ...unsigned, signature: host.seal.sign(statement(host.world.genesisId, unsigned)) }, entries };
}

function networkAt(at: number): string {
  return Math.floor(at / perNetwork).toString(16);
}
