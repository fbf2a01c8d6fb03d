import { addresses, type IfAddress } from '../kernel/route/addresses.ts';
import type { Link } from '../kernel/route/link.ts';
import { links } from '../kernel/route/links.ts';
import { type Route, RT_SCOPE, RTPROT, routes } from '../kernel/route/routes.ts';
import { bitsOf, formatPrefix, networkOf, parseInterfaceAddress } from '../lib/prefix.ts';
import type { Places } from './places.ts';

/** Links, addresses and routes of each namespace, listed once. */
export class Lists {
  readonly #places: Places;
  readonly #links = new Map<string, readonly Link[]>();
  readonly #addresses = new Map<string, readonly IfAddress[]>();
  readonly #routes = new Map<string, readonly Route[]>();

  constructor(places: Places) {
    this.#places = places;
  }

  /** Lists it all now. */
  all(namespace: string): void {
    this.links(namespace);
    this.addresses(namespace, 0);
    this.#allRoutes(namespace);
  }

  links(namespace: string): readonly Link[] {
    const known = this.#links.get(namespace);
    if (known) return known;
    const all = links.list(this.#places.netlink(namespace));
    for (const { name, index } of all) this.#places.learnIndex(namespace, name, index);
    this.#links.set(namespace, all);
    return all;
  }

  link(namespace: string, name: string): Link | undefined {
    return this.links(namespace).find((link) => link.name === name);
  }

  addresses(namespace: string, index: number): readonly string[] {
    const all = this.#addresses.get(namespace) ?? addresses.list(this.#places.netlink(namespace));
    this.#addresses.set(namespace, all);
    return all.filter((a) => a.index === index && a.scope === RT_SCOPE.UNIVERSE).map(({ address }) => address);
  }

  /** Default routes, and those that are static and on a link. */
  routes(namespace: string): readonly Route[] {
    return this.#allRoutes(namespace).filter(({ dst, via, protocol }) => {
      return via === undefined ? protocol === RTPROT.STATIC : dst.endsWith('/0');
    });
  }

  /** Whether the subnet of an address is on its link, as the kernel makes it with the address. */
  isConnected(namespace: string, index: number, text: string): boolean {
    const address = parseInterfaceAddress(text);
    if (address.length === bitsOf(address.address.family)) return true;
    const subnet = formatPrefix(networkOf(address));
    const leads = ({ dst, oif, via }: Route) => oif === index && via === undefined && dst === subnet;
    return this.#allRoutes(namespace).some(leads);
  }

  #allRoutes(namespace: string): readonly Route[] {
    const known = this.#routes.get(namespace) ?? routes.list(this.#places.netlink(namespace));
    this.#routes.set(namespace, known);
    return known;
  }
}
