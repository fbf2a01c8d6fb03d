import type { HostView } from '../../dataplane/dataplane.ts';
import { pause } from '../../lib/backoff.ts';
import type { Log } from '../../lib/log.ts';
import {
  contains,
  covers,
  formatPrefix,
  networkOf,
  overlaps,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
} from '../../lib/prefix.ts';
import type { PathProblem } from '../hosts/hosts.ts';
import type { Needed } from '../hosts/needed.ts';
import type { Networks } from '../networks/networks.ts';
import { type Connected, connectedPlaces } from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface ClashesNeeds {
  readonly look: () => Promise<Ways>;
  readonly needed: () => Promise<readonly Needed[]>;
  readonly networks: Pick<Networks, 'list'>;
  readonly sandboxes: Pick<Sandboxes, 'list'>;
  readonly log: Log;
  readonly now: () => number;
}

type Ways = Pick<HostView, 'interfaces' | 'routes' | 'closed' | 'hops'>;

/** Between two looks, in milliseconds: addresses, routes and resolvers of a host change seldom. */
const lookEvery = 30_000;

/** What the host would lose, or not find, on a network that it is on itself: a way into its subnet that was there before. */
export class Clashes {
  readonly #needs: ClashesNeeds;
  #problems: readonly PathProblem[] = [];

  constructor(needs: ClashesNeeds) {
    this.#needs = needs;
  }

  /** `own` is the interface that the subnets are to be reached by. */
  async find(
    subnets: readonly string[],
    own: string,
  ): Promise<{ readonly subnet: string; readonly way: string } | undefined> {
    const [view, needed] = await Promise.all([this.#needs.look(), this.#needs.needed()]);
    for (const subnet of subnets) {
      const way = wayInto(subnet, { view, own, needed });
      if (way !== undefined) return { subnet, way };
    }
    return undefined;
  }

  /** Those that came after the host joined. Never waits. */
  problems(): readonly PathProblem[] {
    const here = new Set(this.#places().map(({ network }) => network));
    return this.#problems.filter(({ network }) => network !== undefined && here.has(network));
  }

  /** Looks at once, and then regularly. Ends when `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#look();
      } catch (error) {
        this.#needs.log.debug('it could not be seen what is in the way of networks that this host is on', { error });
      }
      await pause(lookEvery, signal);
    }
  }

  #places(): readonly Connected[] {
    return this.#needs.sandboxes.list().flatMap((record) => (record.host ? connectedPlaces(record) : []));
  }

  async #look(): Promise<void> {
    const { log } = this.#needs;
    const before = this.#problems;
    const found = await Promise.all(this.#places().map((place) => this.#problemOf(place)));
    this.#problems = found.filter((problem) => problem !== undefined);
    for (const { network, sentence } of this.#problems) {
      if (before.some((known) => known.sentence === sentence)) continue;
      log.error('this host reaches addresses of a network that it is on in two ways', { network, advice: sentence });
    }
  }

  async #problemOf({ endpoint, interface: own, network }: Connected): Promise<PathProblem | undefined> {
    const { networks, now } = this.#needs;
    const clash = await this.find(
      endpoint.addresses.map((text) => formatPrefix(networkOf(parseInterfaceAddress(text)))),
      own,
    );
    if (clash === undefined) return undefined;
    const name = networks.list().find(({ id }) => id === network)?.name ?? network.slice(0, 12);
    const sentence = `this host is on network ${name}, whose subnet ${clash.subnet} has addresses that it reaches otherwise (${clash.way}): it loses one or the other; take it off with skein hide --network ${name}, or give the other another address`;
    const known = this.#problems.find((problem) => problem.sentence === sentence);
    return known ?? { kind: 'clash', network, sentence, since: new Date(now()).toISOString() };
  }
}

/**
 * What of a subnet the host has elsewhere: its own networks, routes into it and their next hops, what it needs. A wider
 * route gives way to it.
 */
export function wayInto(
  subnet: string,
  { view, own, needed }: { readonly view: Ways; readonly own: string; readonly needed: readonly Needed[] },
): string | undefined {
  const prefix = parsePrefix(subnet);
  for (const { name, addresses } of view.interfaces) {
    if (name === own) continue;
    const there = addresses.find((text) => overlaps(networkOf(parseInterfaceAddress(text)), prefix));
    if (there !== undefined) return `${there} on ${name}`;
  }
  const route = view.routes.find((each) => each.interface !== own && covers(prefix, parsePrefix(each.prefix)));
  if (route !== undefined) return `${route.prefix} by ${route.interface}`;
  const closed = view.closed.find((each) => covers(prefix, parsePrefix(each.prefix)));
  if (closed !== undefined) return `${closed.type} ${closed.prefix}`;
  const isIn = ({ address }: { readonly address: string }) => contains(prefix, parseAddress(address));
  const hop = view.hops.find((each) => each.interface !== own && isIn(each));
  if (hop !== undefined) return `next hop ${hop.address} by ${hop.interface}`;
  return needed.find(isIn)?.sentence;
}
