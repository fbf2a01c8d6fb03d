import { isIP } from 'node:net';
import { DecodeError, ParseError } from '../lib/errors.ts';
import { formatAddress, parseAddress } from '../lib/prefix.ts';
import type { LookedUp, LookedUpRecord } from './dns.ts';
import { decodeForeign } from './foreign.ts';
import { byteAt, CLASS, FLAG, headerSize, RCODE, recordHead, skipName, TYPE, u16, u32 } from './message.ts';
import { formatWireName, longestName, toWireName } from './wire-name.ts';

/** Questions and answers as people write and read them. */

const typeNames = new Map<number, string>(Object.entries(TYPE).map(([name, type]) => [type, name]));
const statuses = new Map<number, string>(Object.entries(RCODE).map(([name, code]) => [code, name]));

/** A question as a resolver sends it. Of an address the name is asked for that its PTR record has. @throws ParseError */
export function encodeLookup(name: string, type: string): Buffer {
  const code = typeOf(type);
  const asked = code === TYPE.PTR && isIP(name) !== 0 ? reverseName(name) : name;
  const wire = asked === '.' ? '' : toWireName(asked);
  if (wire === undefined)
    throw new ParseError(
      `${JSON.stringify(name.slice(0, 80))} is no name that can be asked for: of 253 characters, 63 between dots`,
    );
  const head = Buffer.alloc(headerSize);
  head.writeUInt16BE(FLAG.RD, 2);
  head.writeUInt16BE(1, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(code, 0);
  tail.writeUInt16BE(CLASS.IN, 2);
  return Buffer.concat([head, Buffer.from(`${wire}\0`, 'latin1'), tail]);
}

function typeOf(text: string): number {
  const upper = text.toUpperCase();
  const code = Object.entries(TYPE).find(([name]) => name === upper)?.[1] ?? /^TYPE(\d{1,5})$/.exec(upper)?.[1];
  if (code === undefined || Number(code) > 65535) {
    throw new ParseError(`${JSON.stringify(text.slice(0, 80))} is no type of records, such as A, AAAA, PTR or TYPE65`);
  }
  return Number(code);
}

/** RFC 1035 §3.5, RFC 3596 §2.5. */
function reverseName(text: string): string {
  const { family, value } = parseAddress(text);
  if (family === 4) return `${formatAddress({ family, value }).split('.').reverse().join('.')}.in-addr.arpa`;
  return `${value.toString(16).padStart(32, '0').split('').reverse().join('.')}.ip6.arpa`;
}

/** What a server answered. @throws DecodeError */
export function decodeLookup(bytes: Buffer): LookedUp {
  const { flags, rcode, records, questionEnd } = decodeForeign(bytes);
  const found: LookedUpRecord[] = [];
  let start = questionEnd;
  for (const { section, ttlAt, end } of records) {
    if (section === 0) {
      const type = u16(bytes, ttlAt - 4);
      const data = formatData(bytes, type, ttlAt - 4 + recordHead, end);
      found.push({ name: readName(bytes, start).name, ttl: u32(bytes, ttlAt), type: formatType(type), data });
    }
    start = end;
  }
  const status = statuses.get(rcode) ?? `RCODE${rcode}`;
  return { status, own: (flags & FLAG.AA) !== 0, records: found };
}

function formatType(type: number): string {
  return typeNames.get(type) ?? `TYPE${type}`;
}

/** RDATA as zone files have it (RFC 1035 §5.1). */
function formatData(bytes: Buffer, type: number, start: number, end: number): string {
  const data = bytes.subarray(start, end);
  const name = (at: number) => readName(bytes, start + at, end);
  switch (type) {
    case TYPE.A:
      if (data.length === 4) return data.join('.');
      break;
    case TYPE.AAAA:
      if (data.length === 16) return formatAddress({ family: 6, value: BigInt(`0x${data.toString('hex')}`) });
      break;
    case TYPE.NS:
    case TYPE.CNAME:
    case TYPE.PTR:
      return name(0).name;
    case TYPE.MX:
      return `${u16(data, 0)} ${name(2).name}`;
    case TYPE.SRV:
      return `${[0, 2, 4].map((at) => u16(data, at)).join(' ')} ${name(6).name}`;
    case TYPE.SOA: {
      const primary = name(0);
      const mailbox = readName(bytes, primary.end, end);
      return `${primary.name} ${mailbox.name} ${[0, 4, 8, 12, 16].map((at) => u32(bytes, mailbox.end + at)).join(' ')}`;
    }
    case TYPE.TXT:
      return texts(data);
  }
  return `\\# ${data.length} ${data.toString('hex')}`.trimEnd();
}

/** Each behind its length. */
function texts(data: Buffer): string {
  const parts: string[] = [];
  for (let at = 0; at < data.length; at += 1 + byteAt(data, at)) {
    const text = data.toString('latin1', at + 1, at + 1 + byteAt(data, at));
    const escaped = text.replace(/[^\x20-\x7e]|["\\]/g, (byte) =>
      byte === '"' || byte === '\\' ? `\\${byte}` : `\\${String(byte.charCodeAt(0)).padStart(3, '0')}`,
    );
    parts.push(`"${escaped}"`);
  }
  return parts.join(' ');
}

/** Pointers lead backwards only, so that there is an end. `limit` is where what it is part of ends. */
function readName(bytes: Buffer, start: number, limit = bytes.length): { readonly name: string; readonly end: number } {
  const end = skipName(bytes, start);
  if (end === undefined || end > limit) throw new DecodeError('a name that does not fit');
  let wire = '';
  let from = start;
  for (let at = start; byteAt(bytes, at) !== 0; ) {
    const label = byteAt(bytes, at);
    if (label < 0xc0) {
      wire += bytes.toString('latin1', at, at + 1 + label);
      at += 1 + label;
    } else {
      at = u16(bytes, at) & 0x3fff;
      if (at >= from || skipName(bytes, at) === undefined) throw new DecodeError('a pointer to no name');
      from = at;
    }
    if (wire.length > longestName) throw new DecodeError('a name that is too long');
  }
  return { name: `${formatWireName(wire)}.`, end };
}
