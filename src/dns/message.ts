import { longestLabel, longestName, type WireName } from './wire-name.ts';

/**
 * Questions as clients send them (RFC 1035 §4.1, EDNS of RFC 6891).
 *
 *     | id:16 | QR:1 Opcode:4 AA:1 TC:1 RD:1 RA:1 Z:1 AD:1 CD:1 RCODE:4 | QDCOUNT:16 | ANCOUNT:16 | NSCOUNT:16 | ARCOUNT:16 |
 *     question: | name | QTYPE:16 | QCLASS:16 |
 *     record:   | name | TYPE:16 | CLASS:16 | TTL:32 | RDLENGTH:16 | RDATA |
 *
 * Bounds are checked here by hand, and not by `lib/bytes.ts`: this runs once a question, and its time is what a core's
 * questions a second are made of.
 */

export const headerSize = 12;
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  ANY: 255,
} as const;
export const CLASS = { IN: 1 } as const;
/** RFC 1035 §4.1.1; BADVERS of RFC 6891 §9 has its upper bits in the OPT record. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export const FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const;
export const OPCODE = 0x7800;
/** In the TTL of an OPT record (RFC 6891 §6.1.3). */
export const DNSSEC_OK = 0x8000;
/** A record without its name and RDATA. */
export const recordHead = 10;
/** An OPT record without options. */
export const optSize = 1 + recordHead;
/** What everybody takes without EDNS (RFC 1035 §2.3.4). */
export const smallestLimit = 512;
/** What passes any path unfragmented: the DNS Flag Day 2020 figure. */
export const ednsLimit = 1232;
/** No question needs as much, over whatever it comes. */
export const longestQuestion = 4096;
/** More than any client puts behind a question. */
const mostAdditional = 8;
/** A padded question's block (RFC 8467) with room for others. */
const longestOptions = 512;
const hopByHop: readonly number[] = [10, 11, 12];

export interface Edns {
  /** What the client takes over UDP. */
  readonly size: number;
  readonly dnssec: boolean;
  /** Each as `| code:16 | length:16 | data |`; a view of the question's bytes. */
  readonly options: Buffer;
}

export interface Query {
  readonly kind: 'query';
  readonly name: WireName;
  readonly type: number;
  readonly class: number;
  /** Where the question ends in the message: what is before is echoed. */
  readonly questionEnd: number;
  readonly edns: Edns | undefined;
}

/** What is answered with an error, without being looked at further. */
export interface Fault {
  readonly kind: 'fault';
  readonly rcode: number;
  readonly questionEnd: number;
  readonly edns: Edns | undefined;
}

const lower = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte));
const nameBytes = Buffer.alloc(longestName + 1);
const malformed = fault(RCODE.FORMERR);
const notImplemented = fault(RCODE.NOTIMP);

function fault(rcode: number, questionEnd: number = headerSize, edns?: Edns): Fault {
  return { kind: 'fault', rcode, questionEnd, edns };
}

/** @returns undefined for what is not to be answered: no header, or itself an answer (answers to answers have no end). */
export function decodeQuery(bytes: Buffer): Query | Fault | undefined {
  const length = bytes.length;
  if (length < headerSize || (byteAt(bytes, 2) & 0x80) !== 0) return undefined;
  if ((byteAt(bytes, 2) & 0x78) !== 0) return notImplemented;
  if (length > longestQuestion) return malformed;
  // One question (RFC 9619), and neither answers nor authorities.
  if (u16(bytes, 4) !== 1 || u16(bytes, 6) !== 0 || u16(bytes, 8) !== 0) return malformed;
  let at = headerSize;
  let size = 0;
  for (;;) {
    if (at >= length) return malformed;
    const label = byteAt(bytes, at);
    if (label === 0) break;
    // Also pointers: there is nothing before a question that one could point to.
    if (label > longestLabel || at + label >= length || size + label + 1 > longestName) return malformed;
    for (const end = at + label; at <= end; at++) nameBytes[size++] = lower[byteAt(bytes, at)] ?? 0;
  }
  const questionEnd = at + 5;
  if (questionEnd > length) return malformed;
  const additional = u16(bytes, 10);
  let edns: Edns | undefined;
  if (additional > 0) {
    const read = decodeAdditional(bytes, questionEnd, additional);
    if (read === 'malformed') return malformed;
    edns = read.edns;
    if (read.version > 0) return fault(RCODE.BADVERS, questionEnd, edns);
  } else if (questionEnd !== length) return malformed;
  return {
    kind: 'query',
    name: nameBytes.toString('latin1', 0, size),
    type: u16(bytes, at + 1),
    class: u16(bytes, at + 3),
    questionEnd,
    edns,
  };
}

/** One OPT record at most; signatures and whatever else there may be are skipped. */
function decodeAdditional(
  bytes: Buffer,
  start: number,
  count: number,
): { readonly edns: Edns | undefined; readonly version: number } | 'malformed' {
  if (count > mostAdditional) return 'malformed';
  let at = start;
  let edns: Edns | undefined;
  let version = 0;
  for (let i = 0; i < count; i++) {
    const head = skipName(bytes, at);
    if (head === undefined || head + recordHead > bytes.length) return 'malformed';
    const dataStart = head + recordHead;
    const end = dataStart + u16(bytes, head + 8);
    if (end > bytes.length) return 'malformed';
    if (u16(bytes, head) === TYPE.OPT) {
      const options = bytes.subarray(dataStart, end);
      if (edns !== undefined || head !== at + 1 || options.length > longestOptions || !areOptions(options)) {
        return 'malformed';
      }
      version = byteAt(bytes, head + 5);
      edns = { size: u16(bytes, head + 2), dnssec: (u16(bytes, head + 6) & DNSSEC_OK) !== 0, options };
    }
    at = end;
  }
  return at === bytes.length ? { edns, version } : 'malformed';
}

/** Whether they fill their bytes exactly (RFC 6891 §6.1.2). */
export function areOptions(bytes: Buffer): boolean {
  let at = 0;
  while (at + 4 <= bytes.length) at += 4 + u16(bytes, at + 2);
  return at === bytes.length;
}

/** Without those between two neighbours: COOKIE (RFC 7873), TCP KEEPALIVE (RFC 7828), PADDING (RFC 7830). */
export function endToEnd(options: Buffer): Buffer {
  const kept: Buffer[] = [];
  for (let at = 0; at < options.length; ) {
    const end = at + 4 + u16(options, at + 2);
    if (!hopByHop.includes(u16(options, at))) kept.push(options.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}

/**
 * Where the name at `at` ends, undefined when it is none. Pointers (RFC 1035 §4.1.4) are not followed, so they cannot lead
 * in a circle here, and have to point backwards, so that they cannot anywhere.
 */
export function skipName(bytes: Buffer, start: number): number | undefined {
  let at = start;
  while (at < bytes.length && at - start <= longestName) {
    const label = byteAt(bytes, at);
    if (label === 0) return at + 1;
    if (label >= 0xc0) {
      const target = at + 2 > bytes.length ? Infinity : u16(bytes, at) & 0x3fff;
      return target >= headerSize && target < start ? at + 2 : undefined;
    }
    if (label > longestLabel) return undefined;
    at += 1 + label;
  }
  return undefined;
}

export function byteAt(bytes: Buffer, at: number): number {
  return bytes[at] ?? 0;
}

export function u16(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function u32(bytes: Buffer, at: number): number {
  return u16(bytes, at) * 0x10000 + u16(bytes, at + 2);
}

/** How long an answer over UDP may be (RFC 6891 §6.2.3, and no more than passes). */
export function udpLimit(edns: Edns | undefined): number {
  return edns === undefined ? smallestLimit : Math.min(Math.max(edns.size, smallestLimit), ednsLimit);
}
