import type { Json } from '../../src/state/mesh/sheets.ts';
import { costs, endpointOf, lan } from './figures.ts';
import { preload } from './preload.ts';
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
  const links = preload(world, ({ id }, at) => {
    const own = Array.from({ length: endpoints }, (_, n): [string, Json] => [`endpoint/${n}`, endpointOf(id, n)]);
    return new Map([[networkAt(at), own]]);
  });
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

function networkAt(at: number): string {
  return Math.floor(at / perNetwork).toString(16);
}
