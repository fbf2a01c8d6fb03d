import { Writer } from '../../lib/bytes.ts';
import { type Address, formatAddress, parseAddress, parseInterfaceAddress } from '../../lib/prefix.ts';
import { formatMac, macBytes } from '../netlink/attribute.ts';
import type { Netlink } from '../netlink/socket.ts';
import { clsact, ETH_P, type Filter, filters, isMatching, type Key, keyValue } from './filter.ts';

/**
 * A shortcut at a link's ingress: TCP from one MAC and its addresses to MACs that begin in a certain way leaves by another
 * link at once. It comes before the nftables hooks of the link, so what it lets pass nobody looks at afterwards: each of
 * its filters compares everything that makes a frame the sender's own. What it does not know goes on as without it: other
 * protocols, VLAN tags, extension headers of IPv6.
 */
export interface Shortcut {
  readonly mac: string;
  /** One of IPv4 may have a prefix length, `10.0.1.5/24`: then what it takes goes to an address of that subnet. */
  readonly addresses: readonly string[];
  /** The first two bytes of the destination, as `02:42`: no group's. */
  readonly prefix: string;
  /** Index of the link that it leads to; 0 when that is gone: then what it knows is dropped. */
  readonly to: number;
}

const TCP = 6;
const DESTINATION = -16;
const SOURCE = { high: -8, lowAndType: -4 } as const;
/** By family: where the packet has its source, and the word with its protocol. */
const IPV4 = { source: 12, protocol: [0x00ff0000, TCP << 16, 8] } as const;
const IPV4_DESTINATION = 16;
const IPV6 = { source: 8, protocol: [0x0000ff00, TCP << 8, 4] } as const;

export const shortcuts = {
  /**
   * To a link that has none.
   * Equivalent to `tc qdisc add dev LINK clsact` and for each IPv4 address `tc filter add dev LINK ingress protocol ip prio 1 u32
   * match u8 6 0xff at 9 match u16 PREFIX 0xffff at -14 match ether src MAC match u16 0x0800 0xffff at -2 match ip src ADDRESS
   * action mirred egress redirect dev TO`. @throws KernelError
   */
  add(nl: Netlink, index: number, shortcut: Shortcut): void {
    const made = shortcut.addresses.map((address) => {
      const isIpv4 = !address.includes(':');
      const place = { index, side: 'ingress', ...(isIpv4 ? FIRST : SECOND) } as const;
      return filters.addMessage(place, { keys: keysFor(shortcut, address), to: shortcut.to });
    });
    for (const error of nl.requests([clsact.addMessage(index), ...made])) if (error) throw error;
  },

  /** For `Netlink.requests`. The clsact stays: to remove it would cost a link that is up packets. */
  removeMessage: (index: number) => filters.clearMessage(index, 'ingress'),

  /** @returns undefined when there is none; one that was changed has '' among its addresses. @throws KernelError */
  get(nl: Netlink, index: number): Shortcut | undefined {
    const found = filters.list(nl, index, 'ingress').filter(({ keys }) => keys !== undefined);
    const [first] = found;
    if (first === undefined) return undefined;
    const [prefix, high, low] = [keyValue(first, 1), keyValue(first, 2), keyValue(first, 3)];
    const mac = formatMac(words(high, low).subarray(0, 6));
    const shortcut = { mac, prefix: formatMac(words(prefix).subarray(2)), to: first.to };
    const addresses = found.map((filter) => {
      const address = addressOf(filter);
      const { protocol, priority } = address.includes(':') ? SECOND : FIRST;
      const isPlaced = filter.protocol === protocol && filter.priority === priority && filter.to === first.to;
      return isPlaced && isMatching(keysFor(shortcut, address), filter) ? address : '';
    });
    return { ...shortcut, addresses };
  },
} as const;

const FIRST = { priority: 1, protocol: ETH_P.IP } as const;
const SECOND = { priority: 2, protocol: ETH_P.IPV6 } as const;

/** What other packets do not have comes first. */
function keysFor({ mac, prefix }: Pick<Shortcut, 'mac' | 'prefix'>, address: string): readonly Key[] {
  const bytes = Buffer.from(macBytes(mac));
  const { length, ...parts } = partsOf(address);
  const { family, value } = parts.address;
  const { source, protocol } = family === 4 ? IPV4 : IPV6;
  const type = family === 4 ? ETH_P.IP : ETH_P.IPV6;
  const count = family === 4 ? 1 : 4;
  const own = Array.from({ length: count }, (_, i): Key => {
    const word = Number((value >> BigInt(32 * (count - 1 - i))) & 0xffffffffn);
    return [0xffffffff, word, source + 4 * i];
  });
  return [
    protocol,
    [0xffff, Number.parseInt(prefix.replace(':', ''), 16), DESTINATION],
    [0xffffffff, bytes.readUInt32BE(0), SOURCE.high],
    [0xffffffff, ((bytes.readUInt16BE(4) << 16) | type) >>> 0, SOURCE.lowAndType],
    ...own,
    ...(length === undefined ? [] : [subnetKey(value, length)]),
  ];
}

/** As its last words say. */
function addressOf({ keys = [] }: Filter): string {
  const family = keys.length < 8 ? 4 : 6;
  const own = keys.slice(4, family === 4 ? 5 : 8).map(([, value]) => value);
  const address = formatAddress({ family, value: own.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n) });
  const [mask] = (family === 4 ? keys[5] : undefined) ?? [];
  return mask === undefined ? address : `${address}/${mask.toString(2).replaceAll('0', '').length}`;
}

function partsOf(text: string): { readonly address: Address; readonly length?: number } {
  if (!text.includes('/')) return { address: parseAddress(text) };
  return parseInterfaceAddress(text);
}

/** That an IPv4 packet goes to the subnet that an address is in. */
function subnetKey(value: bigint, length: number): Key {
  const mask = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
  return [mask, Number(value & BigInt(mask)), IPV4_DESTINATION];
}

function words(...values: readonly number[]): Uint8Array {
  const writer = new Writer();
  for (const value of values) writer.u32be(value);
  return writer.finish();
}
