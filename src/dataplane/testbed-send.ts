import { openNetlink } from '../kernel/netlink/socket.ts';
import { links } from '../kernel/route/links.ts';
import { openSyscalls } from '../kernel/syscall.ts';

/** `testbed-send.ts INTERFACE FRAME…`: sends Ethernet frames, given in hexadecimal, as they are. */
const [device = '', ...frames] = process.argv.slice(2);
const sys = openSyscalls();
const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 0x0300; // in network order
//  struct sockaddr_ll: | family:16 | protocol:16 | ifindex:32 | hatype:16 | pkttype:8 | halen:8 | addr:64 |
const address = Buffer.alloc(20);
address.writeUInt16LE(AF_PACKET, 0);
address.writeUInt16LE(ETH_P_ALL, 2);
address.writeInt32LE(links.get(openNetlink(sys), device)?.index ?? 0, 4);
const socket = sys.socket(AF_PACKET, SOCK_RAW, ETH_P_ALL);
sys.bind(socket, address);
for (const frame of frames) sys.send(socket, Buffer.from(frame, 'hex'), 0);
sys.close(socket);
