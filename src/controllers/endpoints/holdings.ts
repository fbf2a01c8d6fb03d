import { Refusal } from '../../lib/errors.ts';
import {
  contains,
  formatAddress,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  withoutLength,
} from '../../lib/prefix.ts';
import { settle } from '../../lib/settle.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Network } from '../../model/network.ts';
import { type Allocator, Exhausted, Taken } from '../../state/allocator.ts';
import { Claimed, type Claims, type Space } from '../../state/claims.ts';
import type { Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { addressPool, type Choice, choicesFor, macOf } from '../ipam/ipam.ts';
import type { ConnectRequest } from './endpoints.ts';
import { overlayOf } from './pieces.ts';
import { type Connected, nowhere, type Place } from './sandbox-record.ts';

export interface HoldingsNeeds {
  readonly registry: Pick<Registry, 'publish' | 'withdraw' | 'list'>;
  readonly allocator: Allocator;
  readonly claims: Claims;
  readonly hosts: Pick<Hosts, 'self' | 'get'>;
  readonly now: () => number;
}

/** What an endpoint holds in the cluster's state: its name, its addresses, its record. */
export interface Holdings {
  /** Takes name and addresses, side by side. A part that was had before another failed is for `release`. @throws Refusal */
  take(place: Place, request: ConnectRequest, at: At): Promise<Endpoint>;
  publish(endpoint: Endpoint): Promise<void>;
  /** @throws Refusal 'conflict' with the host that has the name, 'unavailable' */
  claim(place: Pick<Place, 'id' | 'name' | 'network' | 'overlay'>): Promise<void>;
  /** Whether its name is its own, as the store says now. @throws Refusal 'unavailable' */
  hasName(place: Pick<Place, 'id' | 'name' | 'network' | 'overlay'>): Promise<boolean>;
  /** Takes name and addresses again where they are not held any more, and says what others have. @throws Refusal 'unavailable' */
  keep(place: Connected, network: Network): Promise<Kept>;
  /**
   * Gives all back: what it holds by its record, and, without one, what is found under its id. Addresses that were never
   * in use do not rest. `host`: on whose behalf it was held, this one unless said. May repeat. @throws Refusal 'unavailable'
   */
  release(
    place: Place,
    network: Network | undefined,
    options: { readonly unused: boolean; readonly host?: string },
  ): Promise<void>;
  /** What this host holds on a network under ids that are not known here. @throws Refusal 'unavailable' */
  strays(network: Network, isKnown: (id: string) => boolean): Promise<readonly Place[]>;
}

export type Kept =
  | { readonly kind: 'all' }
  | { readonly kind: 'no-name' }
  | { readonly kind: 'no-address'; readonly address: string; readonly holder: string };

export interface At {
  readonly network: Network;
  readonly sandbox: Endpoint['sandbox'];
  readonly container?: Endpoint['container'] | undefined;
}

/** A name as it is claimed: who asks for it finds it in any case (RFC 4343). */
export function claimed(name: string): string {
  return name.toLowerCase();
}

/** The names among which this place's is the only one of its kind. */
export function namesFor(
  {
    network,
    overlay,
  }: { readonly network: string; readonly overlay?: Pick<NonNullable<Place['overlay']>, 'sharedNames'> | undefined },
  host: string,
): Space & { readonly kind: 'endpoints' } {
  return { kind: 'endpoints', network, ...(overlay?.sharedNames && { host }) };
}

export function openHoldings({ registry, allocator, claims, hosts, now }: HoldingsNeeds): Holdings {
  const ownerOf = ({ id, name }: Pick<Place, 'id' | 'name'>, host = hosts.self.id) => ({ host, id, name });

  async function take(place: Place, request: ConnectRequest, { network, sandbox, container }: At): Promise<Endpoint> {
    const wanted = choicesFor(network, request);
    const [taken] = await settle([settle(wanted.map((choice) => takeOneOf(place, network, choice))), claimName(place)]);
    // Two wishes for any address of one subnet are given one.
    const addresses = [...new Set(taken)];
    return {
      id: place.id,
      network: network.id,
      name: place.name,
      aliases: [...request.aliases],
      mac: request.mac ?? macOf(addresses),
      addresses,
      host: hosts.self.id,
      epoch: hosts.self.epoch,
      sandbox,
      ...(container === undefined ? {} : { container }),
      ...(request.ports === undefined ? {} : { ports: [...request.ports] }),
      created: new Date(now()).toISOString(),
    };
  }

  async function hasName(place: Pick<Place, 'id' | 'name' | 'network' | 'overlay'>): Promise<boolean> {
    return (await claims.holder(namesFor(place, hosts.self.id), claimed(place.name)))?.id === place.id;
  }

  async function keep(place: Connected, network: Network): Promise<Kept> {
    for (const text of place.endpoint.addresses) {
      const { address } = parseInterfaceAddress(text);
      const subnet = network.subnets.find((candidate) => contains(parsePrefix(candidate.subnet), address));
      if (subnet === undefined) continue;
      try {
        await allocator.take(addressPool(network, subnet), ownerOf(place), formatAddress(address));
      } catch (error) {
        // A record that cannot be read has no owner: it may yet be ours.
        if (!(error instanceof Taken) || error.by.owner.id === '') throw error;
        return { kind: 'no-address', address: formatAddress(address), holder: error.by.owner.name };
      }
    }
    try {
      await claims.claim(namesFor(place, hosts.self.id), claimed(place.name), { id: place.id, host: hosts.self.id });
      return { kind: 'all' };
    } catch (error) {
      if (error instanceof Claimed) return { kind: 'no-name' };
      throw error;
    }
  }

  async function claimName(place: Pick<Place, 'id' | 'name' | 'network' | 'overlay'>): Promise<void> {
    try {
      await claims.claim(namesFor(place, hosts.self.id), claimed(place.name), { id: place.id, host: hosts.self.id });
    } catch (error) {
      if (!(error instanceof Claimed)) throw error;
      throw new Refusal('conflict', `service endpoint with name ${place.name} already exists${where(error.by.host)}`, {
        cause: error,
      });
    }
  }

  /** Of the first subnet that is not exhausted. */
  async function takeOneOf(place: Place, network: Network, { family, subnets, wish }: Choice): Promise<string> {
    let full: Exhausted | undefined;
    for (const subnet of subnets) {
      try {
        const address = await takeAddress(place, { network, subnet, wish });
        return `${address}/${parsePrefix(subnet.subnet).length}`;
      } catch (error) {
        if (!(error instanceof Exhausted)) throw error;
        full = error;
      }
    }
    const none = `no available IPv${family} addresses on this network's address pools`;
    throw new Refusal('conflict', `${none}: ${network.name} (${network.id.slice(0, 12)}): ${full?.message}`, {
      cause: full,
    });
  }

  async function takeAddress(
    place: Place,
    { network, subnet, wish }: { network: Network; subnet: Network['subnets'][number]; wish?: string | undefined },
  ): Promise<string> {
    try {
      return await allocator.take(addressPool(network, subnet), ownerOf(place), wish);
    } catch (error) {
      if (!(error instanceof Taken)) throw error;
      throw new Refusal(
        'conflict',
        `address ${error.wish} is already in use by ${error.by.owner.name}${where(error.by.owner.host)}`,
        {
          cause: error,
        },
      );
    }
  }

  /** Nothing where the holder's record does not say. */
  function where(host: string | undefined): string {
    if (host === undefined || host === '') return '';
    return ` on host ${hosts.get(host)?.host.name ?? host.slice(0, 12)}`;
  }

  async function release(
    place: Place,
    network: Network | undefined,
    { unused, host = hosts.self.id }: { readonly unused: boolean; readonly host?: string },
  ): Promise<void> {
    await settle([
      registry.withdraw({ kind: 'endpoints', network: place.network }, place.id),
      claims.release(namesFor(place, host), claimed(place.name), { id: place.id, host }),
      ...(network?.subnets ?? []).map(async (subnet) => {
        const pool = addressPool(network ?? { id: place.network }, subnet);
        await Promise.all(
          (await itemsOf(place, pool, subnet.subnet)).map((item) =>
            allocator.give(pool, ownerOf(place, host), item, { unused }),
          ),
        );
      }),
    ]);
  }

  async function strays(network: Network, isKnown: (id: string) => boolean): Promise<readonly Place[]> {
    const [entries, ...held] = await settle([
      registry.list({ kind: 'endpoints', network: network.id }),
      ...network.subnets.map((subnet) => allocator.held(addressPool(network, subnet))),
    ]);
    const published = entries.flatMap(({ record }) => (record.kind === 'endpoint' ? [record.endpoint] : []));
    const owners = [
      ...published.filter(({ host }) => host === hosts.self.id),
      ...held
        .flat()
        .map(({ owner }) => owner)
        .filter(({ host }) => host === hosts.self.id),
    ];
    const strange = new Map(owners.filter(({ id }) => !isKnown(id)).map(({ id, name }) => [id, name]));
    return [...strange].map(([id, name]) => ({
      ...{ id, name, network: network.id, overlay: overlayOf(network) },
      ...nowhere,
    }));
  }

  async function itemsOf(
    place: Place,
    pool: ReturnType<typeof addressPool>,
    subnet: string,
  ): Promise<readonly string[]> {
    if (place.endpoint !== undefined) {
      const prefix = parsePrefix(subnet);
      return place.endpoint.addresses.map(withoutLength).filter((text) => contains(prefix, parseAddress(text)));
    }
    return (await allocator.held(pool)).filter(({ owner }) => owner.id === place.id).map(({ item }) => item);
  }

  return {
    take,
    release,
    strays,
    hasName,
    keep,
    claim: claimName,
    publish: (endpoint) => registry.publish({ kind: 'endpoint', endpoint }),
  };
}
