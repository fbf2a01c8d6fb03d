import { parseAddress } from '../../lib/prefix.ts';
import type { NetworkPiece, PeerPiece, RemotePiece, UnderlayPiece } from '../dataplane.ts';
import { nft } from '../nft.ts';
import { HOST, type KernelObject } from '../objects.ts';
import { PROBE_VNI } from '../probe/place.ts';

/**
 * VXLAN has no lock of its own: a vxlan device takes packets from any sender, at any of the host's addresses. The guard lets
 * ours in only from the peers that have a container on the network, to the data address and by the interface that leads to
 * the sender. None but the kernel itself sends ours to peers, and what is forwarded is not let through to them on that port at
 * all. Packets of other VNIs that come in, or that processes send, are left alone.
 *
 * It stands before defragmentation (-400): a fragment that shows one of our VNIs is dropped, and so is a first fragment too
 * short to show any, because it could become one of ours when it is put together. Peers, VNIs and who is on which network
 * are elements of sets, so that a change costs one element. Tunnel packets are not tracked, which also saves about a tenth
 * of a round trip.
 *
 * What arrives by the interface that has the data address need not be looked up in the routing table: who can send there
 * in a peer's name could do so on its way, too. Any other interface must be the way to the sender.
 *
 * Anybody, containers too, could tell this host that packets to a peer are too big: for ten minutes no large packet would
 * arrive there, because the kernel would cut it and the peer's guard drop the parts. For TCP the kernel looks at the numbers
 * in what is quoted; of anything else to peers it hears no such message. Nothing of ours needs one: what a way carries is
 * found out by probes.
 */
const PEERS = 'peers';
export const VNIS = 'vnis';
/** Which peer may send packets of which network. */
const MEMBERS = 'members';
/** Peers, in the words of 32 bits in which a quoted packet has them. */
const QUOTED = 'quoted';

/**
 * Where probes came from that no peer sent, with the MAC of who did: that of a host, when something on the way gave its
 * packets another source address. Filled by packets, read when no probe comes back, and forgotten soon.
 */
export const STRANGERS = 'strangers';

const TUNNEL_IN = 'tunnel-in';
/** Of what is not the tunnel's own: processes may speak VXLAN of others to a peer, and none of ours. */
const TUNNEL_OUT = 'tunnel-out';
const PRIORITY = -450;
const VNI = '@th,96,24';
/** Of the packet in the tunnel. */
const SOURCE_MAC = '@th,176,48';

export function familyOf(address: string): 'ip' | 'ip6' {
  return address.includes(':') ? 'ip6' : 'ip';
}

/** With the interface that has the data address, when that is known: the data plane finds it out. */
export type Underlay = UnderlayPiece & { readonly device?: string };

/** A set with a size is a hash table of that size, which is searched quickest; there are no more hosts than this. */
const MOST_PEERS = 16384;
const MOST_MEMBERS = 65536;
/** Anybody can fill it, and then learns nothing and spoils a sentence. */
const MOST_STRANGERS = 64;

/** Where an ICMP message that something was too big quotes it: protocol and destination. */
const TOO_BIG = {
  ip: {
    message: 'icmp type destination-unreachable icmp code frag-needed',
    ...{ protocol: '@th,136,8', destination: '@th,192,32' },
  },
  ip6: {
    message: 'icmpv6 type packet-too-big',
    ...{ protocol: '@th,112,8', destination: '@th,256,32 . @th,288,32 . @th,320,32 . @th,352,32' },
  },
} as const;
const TCP = 6;

/** Pure. */
export function underlayObjects({ data, port, device }: Underlay): KernelObject[] {
  const family = familyOf(data);
  const ours = `udp dport ${port}`;
  const fragment = family === 'ip' ? 'ip frag-off & 0x3fff != 0' : 'exthdr frag exists';
  const chain = (name: string, hook: string, rules: readonly string[]) =>
    nft.chain(HOST, family, name, rules, { type: 'filter', hook, priority: PRIORITY, policy: 'accept' });
  const fromPeer = `${family} saddr . ${VNI} @${MEMBERS} ${family} daddr ${data}`;
  const { message, protocol, destination } = TOO_BIG[family];
  return [
    nft.table(HOST, family),
    nft.set(HOST, family, PEERS, `type ${family === 'ip' ? 'ipv4_addr' : 'ipv6_addr'}; size ${MOST_PEERS};`),
    nft.set(HOST, family, VNIS, `typeof ${VNI};`),
    nft.set(HOST, family, MEMBERS, `typeof ${family} saddr . ${VNI}; size ${MOST_MEMBERS};`),
    nft.set(HOST, family, QUOTED, `typeof ${destination}; size ${MOST_PEERS};`),
    nft.set(
      HOST,
      family,
      STRANGERS,
      `typeof ${family} saddr . ${SOURCE_MAC}; flags dynamic,timeout; timeout 30s; size ${MOST_STRANGERS};`,
    ),
    nft.element(HOST, family, VNIS, String(PROBE_VNI)),
    nft.chain(HOST, family, TUNNEL_IN, [
      ...(device === undefined ? [] : [`${fromPeer} iifname "${device}" notrack accept`]),
      `${fromPeer} fib saddr . iif oif exists notrack accept`,
      `${VNI} ${PROBE_VNI} update @${STRANGERS} { ${family} saddr . ${SOURCE_MAC} }`,
      `${VNI} @${VNIS} drop`,
      `${fragment} ${VNI} 0-0xffffff accept`,
      `${fragment} drop`,
    ]),
    chain('guard-in', 'prerouting', [
      `${ours} goto ${TUNNEL_IN}`,
      // In fragments it need not show what it quotes.
      `${message} ${fragment} drop`,
      `${message} ${protocol} != ${TCP} ${destination} @${QUOTED} drop`,
    ]),
    nft.chain(HOST, family, TUNNEL_OUT, [
      `${VNI} @${VNIS} drop`,
      `${fragment} ${VNI} 0-0xffffff return`,
      `${fragment} drop`,
    ]),
    // A packet in a tunnel keeps the socket of who sent it. Ours come from other namespaces, where nft sees no owner: the
    // first match fails at once. A process of the host that speaks on another's VXLAN device is seen as owner; what it sends
    // is its own and stays tracked.
    chain('guard-out', 'output', [
      `meta skuid 0-4294967295 ${ours} ${family} daddr @${PEERS} meta priority != ${EXPOSED_PRIORITY} goto ${TUNNEL_OUT}`,
      `${ours} ${family} daddr @${PEERS} notrack`,
    ]),
    chain('guard-forward', 'forward', [`${ours} ${family} daddr @${PEERS} drop`]),
  ];
}

/** A peer may send probes, and packets of the networks that it is said to be on. Pure. */
export function peerObjects({ data }: PeerPiece, underlay: UnderlayPiece): KernelObject[] {
  const family = familyOf(underlay.data);
  if (family !== familyOf(data)) return [];
  return [
    nft.element(HOST, family, PEERS, data),
    nft.element(HOST, family, QUOTED, wordsOf(data)),
    member(data, PROBE_VNI),
  ];
}

/** Pure. */
export function memberObjects({ via }: RemotePiece, { vni }: NetworkPiece, underlay: UnderlayPiece): KernelObject[] {
  return familyOf(via) === familyOf(underlay.data) ? [member(via, vni)] : [];
}

/**
 * Of what a process of the host sends onto a network that the host itself is on: it keeps its socket in the tunnel too. A
 * process that may give its packets this priority may send any packet.
 */
export const EXPOSED_PRIORITY = '5ce1:0';

function member(data: string, vni: number): KernelObject {
  return nft.element(HOST, familyOf(data), MEMBERS, `${data} . ${vni}`);
}

function wordsOf(address: string): string {
  const { family, value } = parseAddress(address);
  const shifts = family === 4 ? [0n] : [96n, 64n, 32n, 0n];
  return shifts.map((shift) => (value >> shift) & 0xffff_ffffn).join(' . ');
}
