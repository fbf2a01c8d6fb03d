import { closeSync } from 'node:fs';
import { type Namespaces, openNamespaces } from '../../kernel/namespace.ts';
import { type Netlink, openNetlink } from '../../kernel/netlink/socket.ts';
import { addresses, IFA_F } from '../../kernel/route/addresses.ts';
import { links } from '../../kernel/route/links.ts';
import { fdb, neighbours } from '../../kernel/route/neighbours.ts';
import type { Syscalls } from '../../kernel/syscall.ts';
import { sysctls } from '../../kernel/sysctl.ts';
import { Writer } from '../../lib/bytes.ts';
import { diff } from '../../lib/diff.ts';
import { vniRange } from '../../model/network.ts';
import { macFor } from '../mac.ts';

/** A VNI that no network has. */
export const PROBE_VNI = vniRange.first - 1;
/** Where streams are listened for, in the namespace of probes alone. */
export const STREAM_PORT = 7;

export interface ProbeInit {
  readonly host: string;
  readonly data: string;
  readonly port: number;
  readonly mtu: number;
}

/** Descriptors, the caller's to close. */
export interface ProbeSockets {
  /** A datagram socket for ICMPv6 echoes. */
  readonly echo: number;
  /** A stream socket, bound to STREAM_PORT. */
  readonly listener: number;
}

export interface ProbeTarget {
  readonly host: string;
  readonly data: string;
}

const AF_INET6 = 10;
const SOCK = { STREAM: 1, DGRAM: 2, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_PMTUDISC_PROBE = 3;
const IPPROTO_TCP = 6;
const TCP_MAXSEG = 2;
/** No network has ways that are narrower. */
const leastSegment = 536;
/** More is refused (MAX_TCP_WINDOW in net/tcp.h). */
const mostSegment = 32767;
/** Of IPv6 and TCP. */
const headers = 40 + 20;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
/** Without it a link has no IPv6. */
const leastMtu = 1280;

/** Private to this (RFC 4193): follows from the host's id, and is nowhere but in the namespace of probes. */
export function probeAddress(host: string): string {
  const groups = host.slice(0, 16).match(/.{4}/g) ?? [];
  return `fd73:6b65:696e:0:${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}`;
}

/** Of the tunnel of that host. */
export function probeMac(host: string): string {
  return macFor(`probe ${host}`);
}

/**
 * The namespace of probes: a vxlan device and sockets. Nothing pins it, so that it ends with the process; the device's
 * packets leave and arrive in the host's namespace, as those of networks do. Synchronous, for the thread of the kernel.
 */
export class ProbePlace {
  readonly #sys: Syscalls;
  readonly #namespaces: Namespaces;
  readonly #fd: number;
  readonly #netlink: Netlink;
  readonly #index: number;
  readonly sockets: ProbeSockets;
  /** This host's data address. */
  readonly data: string;
  #targets: readonly ProbeTarget[] = [];

  /** @throws KernelError: EADDRINUSE when something else has the port, EEXIST when another device has the VNI */
  constructor(sys: Syscalls, { host, data, port, mtu }: ProbeInit) {
    this.#sys = sys;
    this.data = data;
    this.#namespaces = openNamespaces(sys);
    this.#fd = this.#namespaces.makeUnpinned();
    const outside = openNetlink(sys);
    this.#netlink = this.#inside(() => openNetlink(sys));
    try {
      this.#inside(() => {
        sysctls.set('net/ipv6/conf/default/addr_gen_mode', '1');
        sysctls.set('net/ipv4/ping_group_range', '0 0');
      });
      const info = {
        kind: 'vxlan',
        vxlan: { id: PROBE_VNI, local: data, port, learning: false, proxy: false },
      } as const;
      const address = probeMac(host);
      links.add(outside, { name: 'vxlan0', address, mtu: Math.max(mtu, leastMtu), info, netnsFd: this.#fd });
      this.#index = links.get(this.#netlink, 'vxlan0')?.index ?? 0;
      links.set(this.#netlink, this.#index, { up: true });
      addresses.add(this.#netlink, { index: this.#index, address: `${probeAddress(host)}/64`, flags: IFA_F.NODAD });
      this.sockets = this.#inside(() => ({ echo: openEcho(sys), listener: openListener(sys) }));
    } catch (error) {
      this.close();
      throw error;
    } finally {
      outside.close();
    }
  }

  set(targets: readonly ProbeTarget[]): void {
    const byKey = (list: readonly ProbeTarget[]) => new Map(list.map((each) => [`${each.host} ${each.data}`, each]));
    const { add, remove } = diff(byKey(targets), byKey(this.#targets), () => true);
    for (const { host, data } of remove) {
      fdb.remove(this.#netlink, { index: this.#index, mac: probeMac(host), dst: data });
      neighbours.remove(this.#netlink, { index: this.#index, address: probeAddress(host) });
    }
    for (const { host, data } of add) {
      fdb.add(this.#netlink, { index: this.#index, mac: probeMac(host), dst: data });
      neighbours.add(this.#netlink, { index: this.#index, address: probeAddress(host), mac: probeMac(host) });
    }
    this.#targets = targets;
  }

  /** A stream socket, not yet connected, whose packets have no more than `mtu` bytes: the caller's to close. */
  stream(mtu: number): number {
    return this.#inside(() => {
      const fd = this.#sys.socket(AF_INET6, SOCK.STREAM | SOCK.NONBLOCK | SOCK.CLOEXEC, 0);
      const segment = Math.min(Math.max(mtu - headers, leastSegment), mostSegment);
      try {
        this.#sys.setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, new Writer().u32le(segment).finish());
      } catch (error) {
        this.#sys.close(fd);
        throw error;
      }
      return fd;
    });
  }

  close(): void {
    // With its namespace it would go later, and till then nobody else has the VNI.
    const link = links.get(this.#netlink, 'vxlan0');
    if (link) links.remove(this.#netlink, link.index);
    this.#netlink.close();
    closeSync(this.#fd);
    this.#namespaces.close();
  }

  #inside<T>(work: () => T): T {
    return this.#namespaces.inside(this.#fd, work);
  }
}

/** Its packets are sent as they are: none is cut, whatever the kernel has learned of the way. */
function openEcho(sys: Syscalls): number {
  const fd = sys.socket(AF_INET6, SOCK.DGRAM | SOCK.NONBLOCK | SOCK.CLOEXEC, IPPROTO_ICMPV6);
  sys.setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, new Writer().u32le(IPV6_PMTUDISC_PROBE).finish());
  return fd;
}

//  struct sockaddr_in6: | sin6_family:16 | sin6_port:16be | sin6_flowinfo:32 | sin6_addr:128 | sin6_scope_id:32 |
function openListener(sys: Syscalls): number {
  const fd = sys.socket(AF_INET6, SOCK.STREAM | SOCK.NONBLOCK | SOCK.CLOEXEC, 0);
  sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, new Writer().u32le(1).finish());
  sys.bind(fd, new Writer().u16le(AF_INET6).u16be(STREAM_PORT).zeros(24).finish());
  return fd;
}
