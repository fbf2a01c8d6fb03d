import { Reader, Writer } from '../../lib/bytes.ts';
import { defined } from '../../lib/defined.ts';
import { type Attributes, AttributeWriter, decodeAttributes } from '../netlink/attribute.ts';
import { NLM_F } from '../netlink/message.ts';
import type { Netlink, Request } from '../netlink/socket.ts';
import { AF, familyOf, RTM, splitPrefix } from './rtnetlink.ts';

/** Routes (rtnetlink RTM_NEWROUTE and its kin; linux/rtnetlink.h). */
export interface Route extends NextHop {
  /** `10.0.0.0/24`; `0.0.0.0/0` or `::/0` is the default route. */
  readonly dst: string;
  readonly prefsrc?: string;
  /** The metric. IPv6 routes get 1024 unless said. */
  readonly priority?: number;
  readonly table: number;
  /** RTPROT: who made it. */
  readonly protocol: number;
  /** RT_SCOPE */
  readonly scope: number;
  /** RTN */
  readonly type: number;
  /** RTAX_MTU: what it carries, if that is said. */
  readonly mtu?: number;
  /** RTA_MULTIPATH: several ways, instead of `via` and `oif`. */
  readonly multipath?: readonly NextHop[];
}

export interface NextHop {
  readonly via?: string;
  /** Index of the link. */
  readonly oif?: number;
}

/** One to be added, in the main table unless said: static, unicast, with the scope that `ip route` would choose. */
export type NewRoute = Pick<Route, 'dst'> & Partial<Omit<Route, 'multipath' | 'mtu'>>;

export const RT_TABLE = { MAIN: 254, LOCAL: 255 } as const;
export const RT_SCOPE = { UNIVERSE: 0, LINK: 253, HOST: 254, NOWHERE: 255 } as const;
export const RTPROT = { UNSPEC: 0, KERNEL: 2, BOOT: 3, STATIC: 4, RA: 9 } as const;
export const RTN = { UNSPEC: 0, UNICAST: 1, LOCAL: 2, BLACKHOLE: 6, UNREACHABLE: 7, PROHIBIT: 8, THROW: 9 } as const;

const RTA = {
  DST: 1,
  SRC: 2,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
} as const;
const RTAX_MTU = 2;
/** Asks for the route itself, not for what it has become for one destination. */
const RTM_F_FIB_MATCH = 0x2000;
const RTNH_SIZE = 8;

//  struct rtmsg: | rtm_family:8 | dst_len:8 | src_len:8 | tos:8 | table:8 | protocol:8 | scope:8 | type:8 | flags:32 |
/** The content of an RTM_*ROUTE message: header, then RTA_* attributes. */
export const rtmsg = {
  encode(route: NewRoute): Uint8Array {
    const { address, length } = splitPrefix(route.dst);
    const { protocol = RTPROT.STATIC, scope = scopeOf(route, address), type = RTN.UNICAST } = route;
    const writer = new Writer();
    writer.u8(familyOf(address)).u8(length).zeros(3).u8(protocol).u8(scope).u8(type).u32le(0);
    const attributes = new AttributeWriter(writer).address(RTA.DST, length === 0 ? undefined : address);
    attributes
      .u32(RTA.TABLE, route.table ?? RT_TABLE.MAIN)
      .u32(RTA.PRIORITY, route.priority)
      .u32(RTA.OIF, route.oif);
    attributes.address(RTA.PREFSRC, route.prefsrc);
    if (route.via !== undefined && familyOf(route.via) !== familyOf(address)) {
      const { via } = route;
      attributes.via(RTA.VIA, familyOf(via), via);
    } else attributes.address(RTA.GATEWAY, route.via);
    return writer.finish();
  },

  /** @throws DecodeError */
  decode(payload: Uint8Array): Route {
    const reader = new Reader(payload, 'rtmsg');
    const family = reader.u8();
    const length = reader.u8();
    reader.skip(2);
    const table = reader.u8();
    const protocol = reader.u8();
    const scope = reader.u8();
    const type = reader.u8();
    reader.skip(4);
    const attributes = decodeAttributes(reader.rest(), 'RTA');
    const dst = attributes.address(RTA.DST) ?? (family === AF.INET6 ? '::' : '0.0.0.0');
    return defined<Route>({
      dst: `${dst}/${length}`,
      via: gateway(attributes),
      oif: attributes.u32(RTA.OIF),
      prefsrc: attributes.address(RTA.PREFSRC),
      priority: attributes.u32(RTA.PRIORITY),
      table: attributes.u32(RTA.TABLE) ?? table,
      protocol,
      scope,
      type,
      mtu: attributes.nested(RTA.METRICS)?.u32(RTAX_MTU),
      multipath: multipath(attributes.bytes(RTA.MULTIPATH)),
    });
  },
};

/** What can be done with routes. `*Message` builds the request only, for `Netlink.requests`. */
export const routes = {
  /**
   * Those of one table, the main one unless said. Equivalent to `ip route show table TABLE` and `ip -6 route show table
   * TABLE`.
   */
  list(nl: Netlink, filter: { readonly table?: number } = {}): Route[] {
    const { table = RT_TABLE.MAIN } = filter;
    const writer = new Writer().u8(AF.UNSPEC).zeros(11);
    new AttributeWriter(writer).u32(RTA.TABLE, table);
    return nl.dump({ action: 'list routes', type: RTM.GETROUTE, payload: writer.finish() }, ({ payload }) => {
      // Kernels before 5.0 do not know filters; routes of other families than IP come along in such a dump.
      if (payload[0] !== AF.INET && payload[0] !== AF.INET6) return undefined;
      const route = rtmsg.decode(payload);
      return route.table === table ? route : undefined;
    });
  },

  /** That by which packets go, if there is one. Equivalent to `ip route get fibmatch DST from SRC`. @throws KernelError */
  find(nl: Netlink, { dst, src }: { readonly dst: string; readonly src: string }): Route | undefined {
    const family = familyOf(dst);
    const bits = family === AF.INET ? 32 : 128;
    const writer = new Writer().u8(family).u8(bits).u8(bits).zeros(5).u32le(RTM_F_FIB_MATCH);
    new AttributeWriter(writer).address(RTA.DST, dst).address(RTA.SRC, src);
    const action = `look up the route from ${src} to ${dst}`;
    const [reply] = nl.request({ action, type: RTM.GETROUTE, payload: writer.finish() });
    return reply && rtmsg.decode(reply.payload);
  },

  addMessage(route: NewRoute): Request {
    const flags = NLM_F.CREATE | NLM_F.EXCL;
    return { action: `add ${describe(route)}`, type: RTM.NEWROUTE, flags, payload: rtmsg.encode(route) };
  },

  /** Instead of the one to the same place with the same metric, if there is one. Equivalent to `ip route replace`. */
  replaceMessage(route: NewRoute): Request {
    const flags = NLM_F.CREATE | NLM_F.REPLACE;
    return { action: `set ${describe(route)}`, type: RTM.NEWROUTE, flags, payload: rtmsg.encode(route) };
  },

  /** Equivalent to `ip route add DST via VIA dev LINK`. */
  add(nl: Netlink, route: NewRoute): void {
    nl.request(routes.addMessage(route));
  },

  /** What is not said may be anything. */
  removeMessage(route: NewRoute): Request {
    const any = { protocol: RTPROT.UNSPEC, scope: RT_SCOPE.NOWHERE, type: RTN.UNSPEC };
    return { action: `remove ${describe(route)}`, type: RTM.DELROUTE, payload: rtmsg.encode({ ...any, ...route }) };
  },

  /** Equivalent to `ip route delete DST via VIA dev LINK`. */
  remove(nl: Netlink, route: NewRoute): void {
    nl.request(routes.removeMessage(route));
  },
};

function describe({ dst, via, oif }: NewRoute): string {
  return `route ${dst}${via === undefined ? '' : ` via ${via}`}${oif === undefined ? '' : ` by link ${oif}`}`;
}

/** IPv4 knows a route to neighbours by its scope; IPv6 routes have none. */
function scopeOf({ via }: NewRoute, dst: string): number {
  return via === undefined && familyOf(dst) === AF.INET ? RT_SCOPE.LINK : RT_SCOPE.UNIVERSE;
}

/** RTA_GATEWAY, or RTA_VIA where the gateway is of the other family than the route. */
function gateway(attributes: Attributes): string | undefined {
  return attributes.address(RTA.GATEWAY) ?? attributes.via(RTA.VIA);
}

//  struct rtnexthop: | rtnh_len:16 | rtnh_flags:8 | rtnh_hops:8 | rtnh_ifindex:32 | RTA_* attributes |  and again
function multipath(bytes: Uint8Array | undefined): NextHop[] | undefined {
  if (bytes === undefined) return undefined;
  const reader = new Reader(bytes, 'RTA_MULTIPATH');
  const hops: NextHop[] = [];
  while (reader.remaining > 0) {
    const length = reader.u16le();
    if (length < RTNH_SIZE) reader.fail(`a length of ${length} is less than a next hop's header`);
    reader.skip(2);
    const oif = reader.u32le();
    const attributes = decodeAttributes(reader.bytes(length - RTNH_SIZE), 'RTA_MULTIPATH');
    reader.skip(Math.min(reader.remaining, (4 - (length % 4)) % 4));
    hops.push(defined<NextHop>({ via: gateway(attributes), oif }));
  }
  return hops;
}
