/**
 * Writes down what iproute2 says to the kernel and what the kernel answers: the golden bytes of the netlink codecs' tests.
 * Needs root, strace and iproute2. Run as
 *
 *   unshare --net --mount node scripts/capture-netlink.ts > src/kernel/route/captured.json
 */
import { execFileSync } from 'node:child_process';
import { type Datagram, trace } from './trace.ts';

/** Each with the type of the message that matters among those that the tool sends. */
const commands: readonly (readonly [command: string, type: number])[] = [
  ['ip link add br0 address 02:00:00:00:00:01 mtu 1450 type bridge mcast_snooping 0 ageing_time 100', 16],
  [
    'ip link add veth0 address 02:00:00:00:00:02 mtu 1450 group 7 type veth peer name eth0 netns captured address 02:00:00:00:00:03 mtu 1400',
    16,
  ],
  [
    'ip link add vxlan0 netns captured address 02:00:00:00:00:04 mtu 1450 type vxlan id 4097 local 192.0.2.1 dstport 4789 nolearning proxy',
    16,
  ],
  ['ip link add vxlan1 type vxlan id 4098 local fd00::1 dstport 4789 nolearning proxy ttl 64 udpcsum', 16],
  ['ip link set veth0 master br0', 16],
  ['ip link set veth0 type bridge_slave learning off isolated on locked on', 16],
  ['ip link set veth0 up', 16],
  ['ip link set br0 up', 16],
  ['ip -d link show dev veth0', 18],
  ['ip -d link show dev br0', 18],
  ['ip -n captured -d link show dev vxlan0', 18],
  ['ip -d link show dev vxlan1', 18],
  ['ip link show dev nope', 18],
  ['ip link delete group 7777', 17],
  ['ip address add 10.0.0.1/24 dev br0', 20],
  ['ip address add fd00::1/64 dev br0 nodad', 20],
  ['ip address add 10.0.0.1/24 dev br0', 20],
  ['ip address show dev br0', 22],
  ['ip route add default via 10.0.0.2 dev br0 proto static', 24],
  ['ip route add 10.7.0.0/16 dev br0 proto static src 10.0.0.1', 24],
  ['ip route add fd07::/16 via fd00::2 dev br0 proto static', 24],
  ['ip route add 10.8.0.0/16 via inet6 fd00::3 dev br0 proto static', 24],
  ['ip route add 10.9.0.0/16 proto static nexthop via 10.0.0.2 dev br0 nexthop via 10.0.0.3 dev br0', 24],
  ['ip route show table main', 26],
  ['ip -6 route show table main', 26],
  ['ip neighbour replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev br0 nud permanent', 28],
  ['ip neighbour replace fd00::9 lladdr 02:00:00:00:00:09 dev br0 nud permanent', 28],
  ['ip neighbour show dev br0 nud permanent', 30],
  ['bridge fdb replace 02:00:00:00:00:08 dev veth0 master static', 28],
  ['bridge fdb replace 02:00:00:00:00:07 dev vxlan1 dst fd00::7 self permanent', 28],
  ['bridge fdb show dev veth0', 30],
  ['bridge fdb show dev vxlan1', 30],
  ['ip route add 10.1.0.0/24 via 192.0.2.7', 24],
  ['ip link set veth0 mtu 1', 16],
  ['ip neighbour delete 10.0.0.9 dev br0', 29],
  ['bridge fdb delete 02:00:00:00:00:07 dev vxlan1 dst fd00::7 self', 29],
  ['ip route delete 10.7.0.0/16 dev br0', 25],
  [
    'ip link add veth1 numtxqueues 1 numrxqueues 1 type veth peer name eth1 netns captured numtxqueues 1 numrxqueues 1',
    16,
  ],
  ['ip link delete dev br0', 17],
];
const isShow = (type: number) => type % 4 === 2;

function capture(command: string, type: number): { command: string; sent: string; received: string[] } {
  const calls = trace(command.split(' '));
  const matters = ({ sends, bytes }: Datagram) => sends && bytes.readUInt16LE(4) === type;
  const at = isShow(type) ? calls.findIndex(matters) : calls.findLastIndex(matters);
  const sent = calls[at]?.bytes;
  if (!sent) throw new Error(`${command} sent no message of type ${type}`);
  const isAnswer = ({ sends, bytes }: Datagram) => {
    const answer = bytes.readUInt16LE(4);
    return !sends && bytes.readUInt32LE(8) === sent.readUInt32LE(8) && (answer < 16 || answer >> 2 === type >> 2);
  };
  const received = calls.slice(at).filter(isAnswer);
  return {
    command,
    // Some tools send zeros behind the message.
    sent: sent.subarray(0, sent.readUInt32LE(0)).toString('hex'),
    // The tools look up more links afterwards, with the same sequence number.
    received: (type === 18 ? received.slice(0, 1) : received).map(({ bytes }) => bytes.toString('hex')),
  };
}

execFileSync('ip', ['netns', 'add', 'captured']);
try {
  console.log(
    JSON.stringify(
      commands.map(([command, type]) => capture(command, type)),
      null,
      2,
    ),
  );
} finally {
  execFileSync('ip', ['netns', 'delete', 'captured']);
}
