import { createHash } from 'node:crypto';
import { Refusal } from '../../src/lib/errors.ts';
import { overlaps, parsePrefix } from '../../src/lib/prefix.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Network } from '../../src/model/network.ts';
import { type Owner, type Pool, Taken } from '../../src/state/allocator.ts';
import { Claimed } from '../../src/state/claims.ts';
import type { MeshState } from '../../src/state/mesh/open.ts';
import type { SimulatedHost, World } from './world.ts';

export const subnets: Pool = { kind: 'subnets', ranges: [{ range: '10.0.0.0/16', size: 24 }], avoid: [] };
export const vnis: Pool = { kind: 'vnis', first: 256, last: 2 ** 24 - 1 };

/** A number that somebody works with. */
export interface Use {
  readonly pool: Pool;
  readonly item: string;
  readonly owner: Owner;
}

interface Place {
  readonly endpoint: Endpoint;
  readonly use: Use;
}

/**
 * What people make hosts do: networks and places on them. It knows what each was told, and notes at once who was told
 * what another has.
 */
export class Users {
  readonly #world: World;
  readonly networks: readonly string[];
  /** Everything that somebody was told to have and has not begun to give back. */
  readonly uses = new Set<Use>();
  readonly places = new Map<string, Place>();
  /** Names that a host was told to have: by network, name and host. */
  readonly names = new Map<
    string,
    { readonly network: string; readonly name: string; readonly id: string; readonly host: string }
  >();
  /** Networks that were added, and that nobody ever asked to remove, with the host that did. */
  readonly made = new Map<string, string>();
  readonly #removed = new Set<string>();
  readonly violations: string[] = [];
  /** What was refused, by why. */
  readonly refused = new Map<string, number>();
  #count = 0;

  constructor(world: World, networks: number) {
    this.#world = world;
    this.networks = Array.from({ length: networks }, (_, n) => hex(`network ${n}`));
  }

  /** Somebody on this host wants something. */
  act(host: SimulatedHost, followed: readonly string[]): void {
    const { chance } = this.#world;
    const above = host.above;
    if (above === undefined) return;
    const dice = chance.next();
    const [network] = followed.length === 0 ? [] : [chance.of(followed)];
    if (dice < 0.12) this.#attempt(host, 'makes a network', (state) => this.#makeNetwork(host, state));
    else if (dice < 0.18) this.#attempt(host, 'labels a network', (state) => this.#label(host, state));
    else if (dice < 0.2) this.#attempt(host, 'removes a network', (state) => this.#removeNetwork(state));
    else if (network !== undefined && dice < 0.75)
      this.#attempt(host, 'attaches', (state) => this.attach(host, state, network, 'somehow'));
    else this.#attempt(host, 'detaches', (state) => this.#detach(host, state));
  }

  /** The disk of this host went back: what it was told since may be said by nobody. */
  forgot(host: SimulatedHost): void {
    for (const use of this.uses) if (use.owner.host === host.id) this.uses.delete(use);
    for (const [id, { endpoint }] of this.places) if (endpoint.host === host.id) this.places.delete(id);
    for (const [key, { host: id }] of this.names) if (id === host.id) this.names.delete(key);
  }

  #attempt(host: SimulatedHost, what: string, run: (state: MeshState) => Promise<void>): void {
    const { above } = host;
    if (above === undefined) return;
    this.#world.trace(() => `${host.name} ${what}`);
    run(above.state).catch((error: unknown) => {
      if (!(error instanceof Refusal || error instanceof Claimed || error instanceof Taken)) throw error;
      this.#world.trace(() => `${host.name} ${what}: ${error.message}`);
      const why = `${what}: ${error.message.replace(/[0-9a-f]{12,}/g, 'X')}`;
      this.refused.set(why, (this.refused.get(why) ?? 0) + 1);
    });
  }

  async #makeNetwork(host: SimulatedHost, { allocator, catalog, claims }: MeshState): Promise<void> {
    // Each id is made on one host, and once: they are chance.
    const id = this.networks.find((_, n) => this.#world.hosts[n] === host);
    if (id === undefined || this.#removed.has(id)) return;
    const name = `net-${id.slice(0, 6)}`;
    await claims.claim({ kind: 'networks' }, name, { id, host: host.id });
    const owner = { host: host.id, id: hex(`${id} ${this.#next()}`), name };
    const subnet = await this.#take(allocator, subnets, owner);
    const vni = await this.#take(allocator, vnis, owner);
    const record: Network = {
      ...{
        id,
        name,
        created: '2026-01-01T00:00:00.000Z',
        driver: 'overlay',
        vni: Number(vni),
        mtu: 1450,
        owner: host.id,
      },
      ...{ subnets: [{ subnet, gateway: subnet.replace('.0/', '.1/').replace(/\/.*/, '') }] },
      ...{ ipv6: false, internal: false, attachable: true, options: {}, labels: {} },
    };
    try {
      await catalog.add(record);
      if (!this.#removed.has(id)) this.made.set(id, host.id);
      await claims.claim({ kind: 'networks' }, name, { id });
    } catch (error) {
      await this.#give(allocator, subnets, owner, subnet);
      await this.#give(allocator, vnis, owner, vni);
      throw error;
    }
  }

  async #label(host: SimulatedHost, { catalog }: MeshState): Promise<void> {
    const n = `${this.#next()}`;
    await catalog.update(this.#world.chance.of(this.networks), (now) => ({ ...now, labels: { by: host.name, n } }));
  }

  async #removeNetwork({ catalog }: MeshState): Promise<void> {
    const id = this.#world.chance.of(this.networks);
    this.#removed.add(id);
    this.made.delete(id);
    await catalog.update(id, () => undefined);
  }

  /** @throws Refusal, Claimed, Taken */
  async attach(
    host: SimulatedHost,
    { allocator, catalog, claims, registry }: MeshState,
    network: string,
    how: 'plainly' | 'somehow',
  ): Promise<void> {
    if ((await catalog.get(network)) === undefined) return;
    const own = `own-${this.#next()}`;
    const name = how === 'plainly' ? own : this.#world.chance.of(['web', 'db', own]);
    const id = hex(`${network} ${name} ${host.id} ${this.#next()}`);
    const space = { kind: 'endpoints', network } as const;
    const pool = addressesOf(network);
    const owner = { host: host.id, id, name };
    const wish =
      how === 'somehow' && this.#world.chance.happens(0.1) ? `10.0.0.${this.#world.chance.whole(2, 250)}` : undefined;
    const item = await this.#take(allocator, pool, owner, wish);
    try {
      await claims.claim(space, name, { id, host: host.id });
    } catch (error) {
      await this.#give(allocator, pool, owner, item);
      throw error;
    }
    this.names.set(`${network} ${name} ${id}`, { network, name, id, host: host.id });
    const endpoint: Endpoint = {
      ...{
        id,
        network,
        name,
        aliases: [],
        mac: '02:42:0a:00:00:02',
        addresses: [`${item}/24`],
        host: host.id,
        epoch: 1,
      },
      ...{ sandbox: { id: id.slice(0, 12), key: '/run/netns/x' }, created: '2026-01-01T00:00:00.000Z' },
    };
    host.above?.inUse.add(network);
    await registry.publish({ kind: 'endpoint', endpoint });
    this.places.set(id, { endpoint, use: { pool, item, owner } });
  }

  async #detach(host: SimulatedHost, { allocator, claims, registry }: MeshState): Promise<void> {
    const mine = [...this.places.values()].filter(({ endpoint }) => endpoint.host === host.id);
    if (mine.length === 0) return;
    const { endpoint, use } = this.#world.chance.of(mine);
    const { id, network, name } = endpoint;
    this.places.delete(id);
    this.names.delete(`${network} ${name} ${id}`);
    await registry.withdraw({ kind: 'endpoints', network }, id);
    await claims.release({ kind: 'endpoints', network }, name, { id, host: host.id });
    await this.#give(allocator, use.pool, use.owner, use.item);
  }

  async #take(allocator: MeshState['allocator'], pool: Pool, owner: Owner, wish?: string): Promise<string> {
    const item = await allocator.take(pool, owner, wish);
    this.#world.trace(() => `${this.#world.nameOf(owner.host)} has ${item}`);
    for (const other of this.isOut(owner.host) ? [] : this.uses) {
      if (isApart(pool, item, other) || other.owner.id === owner.id || this.isOut(other.owner.host)) continue;
      this.violations.push(
        `${this.#world.nameOf(owner.host)} was told to have ${item}, which ${this.#world.nameOf(other.owner.host)} has`,
      );
    }
    this.uses.add({ pool, item, owner });
    return item;
  }

  async #give(allocator: MeshState['allocator'], pool: Pool, owner: Owner, item: string): Promise<void> {
    for (const use of this.uses) if (use.owner.id === owner.id && use.item === item) this.uses.delete(use);
    await allocator.give(pool, owner, item);
  }

  /** Some admin has said so: its containers are given up. */
  isOut(id: string): boolean {
    return this.#world.removed.has(id);
  }

  #next(): number {
    this.#count += 1;
    return this.#count;
  }
}

export function addressesOf(network: string): Pool {
  return { kind: 'addresses', network, range: '10.0.0.0/24', reserved: ['10.0.0.1'] };
}

function isApart(pool: Pool, item: string, other: Use): boolean {
  if (pool.kind !== other.pool.kind) return true;
  if (pool.kind === 'subnets') return !overlaps(parsePrefix(item), parsePrefix(other.item));
  const [here, there] = [pool, other.pool].map((one) => (one.kind === 'addresses' ? one.network : ''));
  return item !== other.item || here !== there;
}

export function hex(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
