import { parseAddress } from '../lib/prefix.ts';

/** Frames by hand, for attacks. */
export function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  return Buffer.concat([macBytes(to), macBytes(from), u16(type), payload]);
}

export function arp(
  operation: 1 | 2,
  sender: { mac: string; ip: string },
  target: { mac: string; ip: string },
): Buffer {
  const ends = [sender, target].flatMap(({ mac, ip }) => [macBytes(mac), addressBytes(ip)]);
  return Buffer.concat([u16(1), u16(0x0800), Buffer.of(6, 4), u16(operation), ...ends]);
}

export interface Ipv4Options {
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
  /** Fragments of one packet have the same. */
  readonly id?: number;
}

export interface Ipv4Header extends Ipv4Options {
  /** What stands between the header's twenty bytes and the payload, a multiple of 4 long. */
  readonly options?: Buffer;
}

export function ipv4(from: string, to: string, protocol: number, payload: Buffer, header: Ipv4Header = {}): Buffer {
  const { fragmentOffset = 0, moreFragments = false, id = 0, options = Buffer.alloc(0) } = header;
  const length = 20 + options.length;
  const bytes = Buffer.concat([
    ...[Buffer.of(0x40 + length / 4, 0), u16(length + payload.length), u16(id)],
    u16(fragmentOffset / 8 + (moreFragments ? 0x2000 : 0)),
    ...[Buffer.of(64, protocol), u16(0), addressBytes(from), addressBytes(to), options],
  ]);
  bytes.writeUInt16BE(checksum(bytes), 10);
  return Buffer.concat([bytes, payload]);
}

export function ipv6(from: string, to: string, next: number, payload: Buffer, hops = 255): Buffer {
  const header = [Buffer.of(0x60, 0, 0, 0), u16(payload.length), Buffer.of(next, hops)];
  return Buffer.concat([...header, addressBytes(from), addressBytes(to), payload]);
}

/** No checksum: IPv4 needs none, and who counts frames does not look. */
export function udp(from: number, to: number, payload: Buffer): Buffer {
  return Buffer.concat([u16(from), u16(to), u16(8 + payload.length), u16(0), payload]);
}

/** A SYN, without a checksum: who counts frames does not look. */
export function tcp(from: number, to: number): Buffer {
  return Buffer.concat([u16(from), u16(to), u32(1), u32(0), Buffer.of(0x50, 2), u16(1024), u16(0), u16(0)]);
}

/** What follows a frame's type 0x8100. */
export function vlan(id: number, type: number, payload: Buffer): Buffer {
  return Buffer.concat([u16(id), u16(type), payload]);
}

/** Over IPv6, where the checksum must be right. */
export function udp6(ends: { from: string; to: string }, from: number, to: number, payload: Buffer): Buffer {
  const datagram = udp(from, to, payload);
  const pseudo = [addressBytes(ends.from), addressBytes(ends.to), u32(datagram.length), u32(17)];
  const padding = Buffer.alloc(datagram.length % 2);
  datagram.writeUInt16BE(checksum(Buffer.concat([...pseudo, datagram, padding])), 6);
  return datagram;
}

/** The fragment header of IPv6 with what follows. */
export function fragment6(next: number, options: Required<Ipv4Options>, payload: Buffer): Buffer {
  const { fragmentOffset, moreFragments, id } = options;
  return Buffer.concat([Buffer.of(next, 0), u16(fragmentOffset | (moreFragments ? 1 : 0)), u32(id), payload]);
}

/** Without a checksum. */
export function icmpv6(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, 0, 0, 0), body]);
}

/** With one, for who looks. */
export function icmp(type: number, code: number, body: Buffer): Buffer {
  const message = Buffer.concat([Buffer.of(type, code, 0, 0), body]);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

export function icmp6(ends: { from: string; to: string }, type: number, body: Buffer): Buffer {
  const message = icmpv6(type, body);
  const pseudo = [addressBytes(ends.from), addressBytes(ends.to), u32(message.length), u32(58)];
  message.writeUInt16BE(checksum(Buffer.concat([...pseudo, message, Buffer.alloc(message.length % 2)])), 2);
  return message;
}

/** Options that say nothing, for what follows them. */
export function destinationOptions(next: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(next, 0, 1, 4, 0, 0, 0, 0), payload]);
}

export function vxlan(vni: number, frame: Buffer): Buffer {
  return Buffer.concat([Buffer.of(8, 0, 0, 0), u32(vni * 256), frame]);
}

export function addressBytes(text: string): Buffer {
  const { family, value } = parseAddress(text);
  return Buffer.from(value.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex');
}

function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

function u16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function checksum(header: Buffer): number {
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += header.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
