/**
 * Writes down what nft says to the kernel for rules of the kinds that we send ourselves, and what the kernel answers when it
 * lists them: the golden bytes of the codecs' tests.
 * Needs root, strace and nft. Run as `unshare --net node scripts/capture-nftables.ts > src/kernel/nftables/captured.json`.
 */
import { execFileSync } from 'node:child_process';
import { trace } from './trace.ts';

const before = [
  'add table netdev skein',
  'add set netdev skein macs { type ether_addr; }',
  'add chain netdev skein send',
  'add rule netdev skein send icmpv6 type { nd-router-advert, nd-redirect } drop',
];

const rules = [
  'ether saddr 02:42:0a:00:00:11 ip saddr 10.0.0.11 goto send',
  'ether saddr 02:42:0a:00:00:11 ip6 saddr fd01::11 jump send',
  'ether saddr 02:42:0a:00:00:11 arp saddr ether 02:42:0a:00:00:11 arp saddr ip 10.0.0.11 accept',
  'arp saddr ether 02:42:0a:00:00:11 arp saddr ip 10.0.0.11 accept',
  'ip saddr 10.0.0.11 meta l4proto != udp accept',
  'icmpv6 type nd-neighbor-advert @th,64,128 != 0xfd010000000000000000000000000011 drop',
  'ether saddr 02:42:0a:00:00:11 icmpv6 type nd-neighbor-advert @th,64,128 != 0xfd010000000000000000000000000011 @th,64,128 != 0xfe800000000000000000000000000011 drop',
];

/** Each is one transaction. */
const commands = [
  'create chain netdev skein veth0 { type filter hook ingress device "lo" priority 0; policy drop; }',
  ...rules.map((rule) => `add rule netdev skein veth0 ${rule} comment "0123456789abcdef"`),
];
const last = 'delete chain netdev skein veth0';

const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_SUBSYS_NFTABLES = 10;
const MESSAGE = 16;

for (const command of before) execFileSync('nft', [command]);
const sent = commands.map(send);
const received = trace(['nft', 'list', 'table', 'netdev', 'skein']).filter(
  ({ sends, bytes }) => !sends && bytes.length > MESSAGE && bytes.readUInt16LE(4) >> 8 === NFNL_SUBSYS_NFTABLES,
);
console.log(
  JSON.stringify(
    { sent: [...sent, send(last)], received: [...new Set(received.map(({ bytes }) => bytes.toString('hex')))] },
    null,
    2,
  ),
);

function send(command: string): { readonly command: string; readonly sent: string } {
  const batch = trace(['nft', command]).find(
    ({ sends, bytes }) => sends && bytes.length > 2 * MESSAGE && bytes.readUInt16LE(4) === NFNL_MSG_BATCH_BEGIN,
  );
  if (!batch) throw new Error(`nft sent no batch for ${command}`);
  return { command, sent: batch.bytes.toString('hex') };
}
