import { bootId } from '../kernel/namespace.ts';
import { addresses } from '../kernel/route/addresses.ts';
import { IFF } from '../kernel/route/link.ts';
import { links } from '../kernel/route/links.ts';
import { RTN, routes } from '../kernel/route/routes.ts';
import { formatAddress, parseAddress, withoutLength } from '../lib/prefix.ts';
import type { Carrier, HostView } from './dataplane.ts';
import { HOST } from './objects.ts';
import type { Places } from './places.ts';

/** The interface of the host that has an address, and its index. */
export function carrierOf(
  places: Places,
  address: string,
): { readonly index: number; readonly carrier: Carrier } | undefined {
  const nl = places.netlink(HOST);
  const same = (text: string) => formatAddress(parseAddress(withoutLength(text))) === address;
  const found = addresses.list(nl).find((each) => same(each.address));
  const link = found && links.get(nl, found.index);
  if (link === undefined) return undefined;
  const { index, name, mtu, flags } = link;
  const plugged = (flags & IFF.LOWER_UP) !== 0 ? 'up' : 'unplugged';
  return { index, carrier: { device: name, mtu, state: (flags & IFF.UP) !== 0 ? plugged : 'down' } };
}

/** Types of routes that lead nowhere, in the words of ip-route(8). */
const closing = new Map<number, string>([
  [RTN.BLACKHOLE, 'blackhole'],
  [RTN.UNREACHABLE, 'unreachable'],
  [RTN.PROHIBIT, 'prohibit'],
  [RTN.THROW, 'throw'],
]);

/** What the kernel of this host says of itself. */
export function look(places: Places): HostView {
  const nl = places.netlink(HOST);
  const all = links.list(nl);
  const byLink = Map.groupBy(addresses.list(nl), ({ index }) => index);
  const names = new Map(all.map(({ index, name }) => [index, name]));
  const table = routes.list(nl);
  const ways = table
    .filter(({ type }) => type === RTN.UNICAST)
    .flatMap(({ dst, via, oif, multipath }) => (multipath ?? [{ via, oif }]).map((hop) => ({ dst, ...hop })))
    .flatMap(({ dst, via, oif }) => {
      const device = names.get(oif ?? 0);
      return device === undefined ? [] : [{ dst, via, device }];
    });
  return {
    bootId: bootId(),
    interfaces: all.map(({ index, name, mtu, flags }) => ({
      name,
      mtu,
      up: (flags & IFF.UP) !== 0,
      addresses: (byLink.get(index) ?? []).map(({ address }) => address),
    })),
    routes: ways
      .filter(({ dst }) => !dst.endsWith('/0'))
      .map(({ dst, device }) => ({ prefix: dst, interface: device })),
    closed: table.flatMap(({ dst, type }) => {
      const word = dst.endsWith('/0') ? undefined : closing.get(type);
      return word === undefined ? [] : [{ prefix: dst, type: word }];
    }),
    hops: ways.flatMap(({ via, device }) => (via === undefined ? [] : [{ address: via, interface: device }])),
    pinned: places.pinned(),
  };
}
