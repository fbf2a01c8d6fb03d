import { pause } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { overlaps, parsePrefix } from '../../lib/prefix.ts';
import type { Serial } from '../../lib/serial.ts';
import { defaultNetwork, type Network, type Subnet } from '../../model/network.ts';
import { most } from '../../model/text.ts';
import { Taken } from '../../state/allocator.ts';
import type { Catalog } from '../../state/catalog.ts';
import { Claimed, type Claims } from '../../state/claims.ts';
import { planApart } from '../ipam/plan.ts';
import { type CreateNeeds, createNetwork, refuseClashes, takeExplicit, warningsOf } from './create.ts';
import { subnets as pool } from './intents.ts';
import type { KnownNetworks } from './known.ts';

export interface UseNeeds extends Omit<CreateNeeds, 'warn'> {
  readonly catalog: Pick<Catalog, 'add' | 'get' | 'update'>;
  readonly claims: Pick<Claims, 'claim' | 'holder'>;
  readonly known: Pick<KnownNetworks, 'find' | 'list' | 'put'>;
  /** Whatever is done to one network is done here under its id. */
  readonly serial: Serial;
  /** First subnet of the default network. */
  readonly defaultRange: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Who finds the name of the default network taken waits so long for who makes it, in milliseconds. */
const patience = 5_000;
const lookEvery = 20;

/** See `Networks.use`. Costs nothing where all is there. */
export async function useNetwork(nameOrId: string, subnets: readonly string[], needs: UseNeeds): Promise<Network> {
  const network = nameOrId === defaultNetwork ? await theDefault(needs) : needs.known.find(nameOrId);
  if (!network.apart || lacking(network, subnets).length === 0) return network;
  return await needs.serial.run(network.id, () => addSubnets(needs.known.find(network.id), subnets, needs));
}

function lacking({ subnets }: Pick<Network, 'subnets'>, wanted: readonly string[]): readonly string[] {
  return wanted.filter((text) => !subnets.some(({ subnet }) => subnet === text));
}

/** The first use makes it. Of two hosts that do at once one gets the name, and the other what the first makes. */
async function theDefault(needs: UseNeeds): Promise<Network> {
  const deadline = Date.now() + patience;
  for (;;) {
    const there = ofName(needs) ?? (await needs.serial.run(`make ${defaultNetwork}`, () => makeDefault(needs)));
    if (there !== undefined) return there;
    if (Date.now() > deadline || needs.signal.aborted) {
      throw new Refusal(
        'unavailable',
        `another host makes network ${defaultNetwork} and has not done it yet: try again`,
      );
    }
    await pause(lookEvery, needs.signal);
  }
}

function ofName({ known }: Pick<UseNeeds, 'known'>): Network | undefined {
  return known.list().find(({ name }) => name === defaultNetwork);
}

/** @returns undefined when it is another's to make */
async function makeDefault(needs: UseNeeds): Promise<Network | undefined> {
  const { catalog, claims, defaultRange, known, log } = needs;
  const holder = ofName(needs)?.id ?? (await claims.holder({ kind: 'networks' }, defaultNetwork))?.id;
  if (holder !== undefined) {
    const there = await catalog.get(holder);
    if (there !== undefined) known.put(there);
    return there;
  }
  const warn = (sentence: string) => log.warn('the default network is in the way', { advice: sentence });
  try {
    return await createNetwork(
      {
        name: defaultNetwork,
        subnets: [{ subnet: defaultRange }],
        apart: true,
        names: 'shared',
        ipv6: false,
        internal: false,
        attachable: true,
        options: {},
        labels: {},
      },
      { ...needs, warn },
    );
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== 'conflict') throw error;
    const { cause } = error;
    // Another host was quicker. Where hosts do not hear of a name at once, its subnet tells.
    if (ofName(needs) || cause instanceof Claimed || (cause instanceof Taken && cause.by.owner.name === defaultNetwork))
      return undefined;
    const advice = `take another range for it with --ipalloc-range, or name a network with --network`;
    throw new Refusal(error.kind, `the default network cannot be made: ${error.message} (${advice})`, { cause: error });
  }
}

/**
 * What is taken stays the network's until that is removed, also if this host dies before the record says so: then the next
 * who asks for the subnet gets it. Nothing is given back, as another host may ask for the same now.
 */
async function addSubnets(network: Network, wanted: readonly string[], needs: UseNeeds): Promise<Network> {
  const { allocator, catalog, hosts, intents, known, log } = needs;
  const { id, name } = network;
  const subnets = planApart(lacking(network, wanted));
  if (subnets.length === 0) return network;
  if (network.removing !== undefined) throw new Refusal('conflict', `network ${name} is being removed`);
  refuseOverlap(network, subnets);
  refuseClashes(subnets, { hosts, needed: await needs.needed() });
  await intents.begin(id, name);
  try {
    for (const { subnet } of subnets) {
      await takeExplicit(allocator, pool, { owner: { host: hosts.self.id, id, name }, subnet });
    }
    const now = await catalog.update(id, (current) => {
      refuseOverlap(current, subnets);
      const missing = new Set(lacking(current, wanted));
      return { ...current, subnets: [...current.subnets, ...subnets.filter(({ subnet }) => missing.has(subnet))] };
    });
    if (now === undefined) throw new Refusal('conflict', `network ${name} was removed meanwhile`);
    known.put(now);
    await intents.end(id);
    for (const sentence of warningsOf(subnets, needs))
      log.warn('a subnet is in the way', { network: id, advice: sentence });
    return now;
  } catch (error) {
    await intents.settle(id, name, { unused: true });
    throw error;
  }
}

/** @throws Refusal 'invalid' | 'conflict' */
function refuseOverlap({ name, subnets }: Network, wanted: readonly Subnet[]): void {
  for (const { subnet } of wanted) {
    const other = subnets.find(
      (one) => one.subnet !== subnet && overlaps(parsePrefix(one.subnet), parsePrefix(subnet)),
    );
    if (other === undefined) continue;
    const { length } = parsePrefix(other.subnet);
    throw new Refusal(
      'invalid',
      `subnet ${subnet} overlaps ${other.subnet} of network ${name}: give addresses of that with its length, /${length}, or take another subnet`,
    );
  }
  const all = new Set([...subnets, ...wanted].map(({ subnet }) => subnet));
  if (all.size > most.subnets) {
    throw new Refusal(
      'conflict',
      `network ${name} has ${subnets.length} subnets, and no more than ${most.subnets} can be`,
    );
  }
}
