import type { PeerPiece, UnderlayPiece } from '../dataplane.ts';
import { nft } from '../nft.ts';
import { HOST, type KernelObject } from '../objects.ts';
import { PROBE_VNI } from '../probe/place.ts';

/**
 * VXLAN has no lock of its own: a vxlan device takes packets from any sender, at any of the host's addresses. The guard lets
 * ours in only from peers, to the data address and by the interface that leads to the sender, and lets nobody but the
 * kernel itself send such packets to peers. Packets of other networks on the same port are left alone.
 *
 * It stands before defragmentation (-400): a fragment that shows one of our VNIs is dropped, and so is a first fragment too
 * short to show any, because it could become one of ours when it is put together. Peers and VNIs are elements of sets, so
 * that a change costs one element. Tunnel packets are not tracked, which also saves about a tenth of a round trip.
 *
 * What arrives by the interface that has the data address need not be looked up in the routing table: who can send there
 * in a peer's name could do so on its way, too. Any other interface must be the way to the sender.
 */
const PEERS = 'peers';
export const VNIS = 'vnis';

const TUNNEL_IN = 'tunnel-in';
const PRIORITY = -450;
const VNI = '@th,96,24';

export function familyOf(address: string): 'ip' | 'ip6' {
  return address.includes(':') ? 'ip6' : 'ip';
}

/** With the interface that has the data address, when that is known: the data plane finds it out. */
export type Underlay = UnderlayPiece & { readonly device?: string };

/** A set with a size is a hash table of that size, which is searched quickest; there are no more hosts than this. */
const MOST_PEERS = 16384;

/** Pure. */
export function underlayObjects({ data, port, device }: Underlay): KernelObject[] {
  const family = familyOf(data);
  const ours = `udp dport ${port}`;
  const fragment = family === 'ip' ? 'ip frag-off & 0x3fff != 0' : 'exthdr frag exists';
  const chain = (name: string, hook: string, rules: readonly string[]) =>
    nft.chain(HOST, family, name, rules, { type: 'filter', hook, priority: PRIORITY, policy: 'accept' });
  const fromPeer = `${family} saddr @${PEERS} ${family} daddr ${data}`;
  return [
    nft.table(HOST, family),
    nft.set(HOST, family, PEERS, `type ${family === 'ip' ? 'ipv4_addr' : 'ipv6_addr'}; size ${MOST_PEERS};`),
    nft.set(HOST, family, VNIS, `typeof ${VNI};`),
    nft.element(HOST, family, VNIS, String(PROBE_VNI)),
    nft.chain(HOST, family, TUNNEL_IN, [
      ...(device === undefined ? [] : [`${fromPeer} iifname "${device}" notrack accept`]),
      `${fromPeer} fib saddr . iif oif exists notrack accept`,
      `${VNI} @${VNIS} drop`,
      `${fragment} ${VNI} 0-0xffffff accept`,
      `${fragment} drop`,
    ]),
    chain('guard-in', 'prerouting', [`${ours} goto ${TUNNEL_IN}`]),
    // What the kernel itself sends has no socket with an owner: the first match fails at once for a tunnel packet.
    chain('guard-out', 'output', [
      `meta skuid 0-4294967295 ${ours} ${family} daddr @${PEERS} drop`,
      `${ours} ${family} daddr @${PEERS} notrack`,
    ]),
    chain('guard-forward', 'forward', [`${ours} ${family} daddr @${PEERS} drop`]),
  ];
}

/** Pure. */
export function peerObjects({ data }: PeerPiece, underlay: UnderlayPiece): KernelObject[] {
  const family = familyOf(underlay.data);
  return family === familyOf(data) ? [nft.element(HOST, family, PEERS, data)] : [];
}
