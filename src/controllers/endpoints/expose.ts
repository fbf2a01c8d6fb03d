import { defined } from '../../lib/defined.ts';
import { Refusal } from '../../lib/errors.ts';
import { formatPrefix, networkOf, parseInterfaceAddress, parsePrefix, withoutLength } from '../../lib/prefix.ts';
import type { Serial } from '../../lib/serial.ts';
import { type AddressWish, parseAddressWish, wishedSubnets } from '../../model/address-wish.ts';
import { hostInterface, type Network } from '../../model/network.ts';
import { Claimed } from '../../state/claims.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { choicesFor } from '../ipam/ipam.ts';
import type { Networks } from '../networks/networks.ts';
import { givenName } from '../records/given-name.ts';
import type { Clashes } from './clashes.ts';
import type { Expose, Exposed, OpenSandbox } from './endpoints.ts';
import type { JoinOptions } from './join.ts';
import type { Leaving } from './leave.ts';
import { type Connected, connectedPlaces, type SandboxRecord } from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface ExposingNeeds {
  readonly networks: Pick<Networks, 'find' | 'list' | 'use'>;
  readonly hosts: Pick<Hosts, 'self'>;
  readonly clashes: Pick<Clashes, 'find'>;
  readonly sandboxes: Sandboxes;
  readonly leave: Leaving;
  /** Whatever is done to one sandbox is done here under its id. */
  readonly serial: Serial;
  readonly join: (record: SandboxRecord, requests: OpenSandbox['connect'], options: JoinOptions) => Promise<void>;
  readonly bootId: string;
  /** Every name can be asked for with them. */
  readonly domains: readonly string[];
}

/**
 * The host itself on networks: one sandbox, made at the first exposure, which has a place on each. It stays when it has
 * none left: who else uses that the host forwards packets since then is not known.
 */
export class Exposing {
  readonly #needs: ExposingNeeds;

  constructor(needs: ExposingNeeds) {
    this.#needs = needs;
  }

  /** @throws Refusal, KernelError */
  async expose(asked: Expose): Promise<Exposed> {
    const { domains, networks, serial } = this.#needs;
    const surroundings = { domains, networks: networks.list().map(({ name }) => name) };
    const wishes = asked.name === undefined ? asked : { ...asked, name: givenName(asked.name, surroundings) };
    return await serial.run('host', async () => {
      const network = await networks.use(wishes.network, wishedSubnets(wishes.addresses ?? []));
      const known = this.#placeOn(network.id);
      if (known !== undefined) {
        refuseOther(wishes, known, network);
        return exposedAt(known);
      }
      if (network.internal && wishes.masquerade === false) {
        throw new Refusal(
          'invalid',
          `network ${network.name} is internal: nothing is forwarded onto it, with or without masquerade`,
        );
      }
      await this.#refuseClash(network, wishes);
      await this.#join(network, wishes);
      const place = this.#placeOn(network.id);
      if (place === undefined) throw new Error(`this host is not on network ${network.name} after it was exposed`);
      return exposedAt(place);
    });
  }

  /** @throws Refusal 'not-found' | 'conflict' */
  async hide(network: string, address?: string): Promise<Exposed | undefined> {
    const { leave, networks, serial } = this.#needs;
    return await serial.run('host', async () => {
      // The catalog may not show one that was removed while this host was lost.
      const place = this.#placeOn(network) ?? this.#placeOn(networks.find(network).id);
      const record = this.#record();
      if (place === undefined && address !== undefined) {
        throw new Refusal(
          'not-found',
          `this host is not on network ${networks.find(network).name}, with ${address} or any other`,
        );
      }
      if (place === undefined || record === undefined) return undefined;
      const { addresses } = place.endpoint;
      if (address !== undefined && !addresses.some((text) => withoutLength(text) === address)) {
        throw new Refusal(
          'conflict',
          `this host has ${addresses.map(withoutLength).join(' and ')} on that network, not ${address}`,
        );
      }
      await serial.run(record.id, async () => {
        const now = this.#needs.sandboxes.find(record.id);
        await leave.letGo(
          now,
          now.places.filter(({ id }) => id === place.id),
          { whole: false },
        );
      });
      return exposedAt(place);
    });
  }

  #record(): SandboxRecord | undefined {
    return this.#needs.sandboxes.list().find(({ host }) => host);
  }

  #placeOn(network: string): Connected | undefined {
    const record = this.#record();
    return record && connectedPlaces(record).find((place) => place.network === network);
  }

  async #join(
    { id, internal, subnets }: Network,
    { name, masquerade = true, ip, ip6, addresses }: Expose,
  ): Promise<void> {
    const { bootId, hosts, join, sandboxes, serial } = this.#needs;
    const self = hosts.self.name;
    const request = {
      network: id,
      name: name ?? self,
      aliases: name === undefined || name === self ? [] : [self],
      masquerade,
      ...defined<Pick<Expose, 'ip' | 'ip6' | 'addresses'>>({ ip, ip6, addresses }),
    };
    const known = this.#record();
    const record: SandboxRecord = known ?? { id: sandboxes.freshId(), bootId, places: [], host: { forwards: [] } };
    const families = internal ? [] : subnets.map(({ subnet }) => parsePrefix(subnet).address.family);
    const forwards = ([4, 6] as const).filter((one) => families.includes(one) || record.host?.forwards.includes(one));
    await serial.run(record.id, async () => {
      if (known === undefined) sandboxes.add(record);
      await join(sandboxes.find(record.id), [request], { host: { forwards }, fresh: known === undefined }).catch(hint);
    });
  }

  /** Of subnets that are apart the host reaches only those that it is in. */
  async #refuseClash(network: Network, wishes: Expose): Promise<void> {
    const { id, name } = network;
    const reached = network.apart ? choicesFor(network, wishes).flatMap(({ subnets }) => subnets) : network.subnets;
    const clash = await this.#needs.clashes.find(
      reached.map(({ subnet }) => subnet),
      hostInterface(id),
    );
    if (clash === undefined) return;
    throw new Refusal(
      'conflict',
      `this host cannot join network ${name}: its subnet ${clash.subnet} has addresses that this host reaches otherwise (${clash.way}); make the network with another --subnet`,
    );
  }
}

function refuseOther({ ip, ip6, addresses = [], name, masquerade }: Expose, place: Connected, network: Network): void {
  const has = place.endpoint.addresses.map(withoutLength);
  const other =
    [ip, ip6].some((wish) => wish !== undefined && !has.includes(wish)) ||
    !addresses.every((text) => isHad(parseAddressWish(text), place.endpoint.addresses)) ||
    (name !== undefined && name !== place.name) ||
    (masquerade !== undefined && masquerade !== place.masquerade);
  if (!other) return;
  const how = place.masquerade ? '' : ', without masquerade';
  throw new Refusal(
    'conflict',
    `this host is on network ${network.name} already, as ${place.name} with ${has.join(' and ')}${how}: hide it first`,
  );
}

/** @throws the same, of a name that is taken with what to do */
function hint(error: unknown): never {
  if (!(error instanceof Refusal && error.cause instanceof Claimed)) throw error;
  throw new Refusal(error.kind, `${error.message}: give this host another name there, with skein expose -h NAME`, {
    cause: error.cause,
  });
}

function isHad(wish: AddressWish, addresses: readonly string[]): boolean {
  switch (wish.kind) {
    case 'any':
      return true;
    case 'subnet':
      return addresses.some((text) => formatPrefix(networkOf(parseInterfaceAddress(text))) === wish.subnet);
    case 'address':
      return addresses.map(withoutLength).includes(wish.address);
  }
}

function exposedAt({ endpoint, interface: device, masquerade = true }: Connected): Exposed {
  return { endpoint, interface: device, masquerade };
}
