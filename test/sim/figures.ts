import type { Sheet } from '../../src/state/mesh/sheets.ts';
import type { Weather } from './network.ts';
import { churn, type Percentiles, Waves } from './waves.ts';
import { type SimulatedHost, World } from './world.ts';

/** A network within one place, as clouds have it. */
export const lan: Weather = { delay: [0.2, 1.5], loss: 0.001, doubled: 0, late: 0.001 };
/**
 * Milliseconds on the machine this was written on: reading a byte of JSON and checking its form; for each update a
 * signature (Ed25519 in node:crypto) and the hashes.
 */
export const costs = { byte: 0.000_02, update: 0.25 } as const;

/** Hosts that have found each other. */
export function together(
  seed: number,
  hosts: number,
  options: { readonly costs?: boolean; readonly weather?: Weather; readonly above?: boolean } = {},
): World {
  const world = new World({ seed, ...(options.costs ? { costs } : {}), above: options.above === true });
  world.network.weather = options.weather ?? lan;
  const first = world.add();
  for (let n = 1; n < hosts; n += 1) world.add(first);
  for (const host of world.hosts) world.time.at(world.chance.between(0, 1_000 + 10 * hosts), () => host.start());
  world.run(1_000 + 10 * hosts);
  const whole = () => world.running.every((host) => host.mesh?.members.list().length === hosts);
  if (world.until(whole, 60_000 + 60 * hosts, 500) === undefined)
    throw new Error(`${hosts} hosts do not find each other`);
  world.run(20_000);
  return world;
}

/** How long it takes until what one says is seen by all who live, while hosts change, die and come back. */
export function visible(seed: number, hosts: number, changes: number): Percentiles {
  const world = together(seed, hosts, { costs: true });
  const waves = new Waves(world);
  churn(world, waves, changes);
  return waves.result();
}

/** How long it takes until all have judged a host lost whose machine is gone. */
export function noticed(seed: number, hosts: number): number | undefined {
  const world = together(seed, hosts);
  world.run(world.chance.between(0, 2_000));
  const dead = world.chance.of(world.hosts.slice(1));
  dead.crash('machine');
  const lost = (host: SimulatedHost) => host.mesh?.members.list().find(({ id }) => id === dead.id)?.state === 'lost';
  return world.until(() => world.running.every(lost), 30_000, 10);
}

/** How often anybody was suspected, or judged lost, though all live. */
export function falseAlarms(
  seed: number,
  hosts: number,
  minutes: number,
  loss: number,
): { suspected: number; lost: number } {
  const world = together(seed, hosts);
  world.network.weather = { ...lan, loss };
  const count = { suspected: 0, lost: 0 };
  for (const host of world.hosts) {
    const before = new Map<string, string>();
    host.mesh?.members.watch(() => {
      for (const { id, state } of host.mesh?.members.list() ?? []) {
        if (before.get(id) === state) continue;
        before.set(id, state);
        if (state === 'suspect') count.suspected += 1;
        if (state === 'lost') count.lost += 1;
      }
    });
  }
  world.run(minutes * 60_000);
  return count;
}

/** Bytes a second that a host sends and receives when nothing changes, the mean and the most of all hosts. */
export function idle(seed: number, hosts: number): { mean: number; most: number } {
  const world = together(seed, hosts);
  // News of the start ride on datagrams for a while.
  world.run(120_000);
  world.traffic = new Map();
  const seconds = 60;
  world.run(seconds * 1_000);
  // Two bytes in ten seconds say over each link that it lives.
  const each = world.hosts.map(({ id, mesh }) => {
    const { links = 0, datagrams = 0 } = world.traffic?.get(id) ?? {};
    const neighbours = mesh?.sheets.read(id, 'host')?.entries.get('neighbours');
    const beats = Array.isArray(neighbours) ? neighbours.length * 2 * 0.1 * 106 : 0;
    return (links + datagrams) / seconds + beats;
  });
  return { mean: each.reduce((sum, one) => sum + one, 0) / each.length, most: Math.max(...each) };
}

/** Milliseconds from its start until a new host holds everything, with so many endpoints on each host of one network. */
export function newcomer(seed: number, hosts: number, endpoints: number): number | undefined {
  const world = together(seed, hosts, { costs: true });
  fill(world, endpoints);
  const late = world.add(world.founder);
  world.founder.admit(late);
  world.run(2_000);
  late.onStart(({ sheets }) => sheets.follow(['1']));
  late.start();
  const complete = () => late.sheets.list('network:1').filter(isFull(endpoints)).length === hosts;
  return world.until(complete, 60_000, 10);
}

/** Every host says so many endpoints on one network. */
function fill(world: World, endpoints: number): void {
  for (const host of world.hosts) {
    host.sheets.follow(['1']);
    void host.sheets.change('network:1', (draft) => {
      for (let n = 0; n < endpoints; n += 1) draft.put(`endpoint/${n}`, endpointOf(host.id, n));
    });
  }
  const complete = () =>
    world.hosts.every((host) => host.sheets.list('network:1').filter(isFull(endpoints)).length === world.hosts.length);
  if (world.until(complete, 120_000, 500) === undefined) throw new Error('the endpoints do not come to everybody');
}

function isFull(endpoints: number): (sheet: Sheet) => boolean {
  return ({ entries }) => entries.size === endpoints;
}

/** About as long as a real one. */
export function endpointOf(host: string, n: number): { readonly [key: string]: string } {
  const id = `${host}${n}`.padEnd(64, '0');
  return {
    ...{
      id,
      network: '1'.repeat(64),
      name: `container-${n}`,
      host,
      sandbox: id.slice(0, 12),
      mac: '02:42:0a:00:00:02',
    },
    ...{
      addresses: `10.0.${n >> 8}.${n & 255}/16`,
      aliases: `alias-${n}`,
      created: '2026-01-01T00:00:00.000Z',
      signature: id,
    },
  };
}
