import { Reader, type Writer } from '../../lib/bytes.ts';
import { formatGroups, parseAddress } from '../../lib/prefix.ts';

/** Attributes of netlink messages (struct nlattr of linux/netlink.h). */

const HEADER = 4;
const ALIGN = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
/** IFNAMSIZ is 16; group and kind names are no longer. Longer texts say their own cap. */
const MAX_TEXT = 256;

//  | nla_len:16 | nla_type:16 (two flag bits on top) | value, padded to 4 |  and again
/** @throws DecodeError */
export function decodeAttributes(bytes: Uint8Array, what: string): Attributes {
  return new Attributes(bytes, what);
}

/**
 * Values by type. A value that is not there is undefined, one of the wrong length a DecodeError; of equal types the
 * last counts.
 */
export class Attributes {
  readonly #bytes: Uint8Array;
  readonly #what: string;

  /** The bytes are looked through for each value: most of what the kernel tells nobody asks for. @throws DecodeError */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
    const reader = new Reader(bytes, what);
    while (reader.remaining > 0) {
      const length = reader.u16le();
      if (length < HEADER) reader.fail(`a length of ${length} is less than an attribute's header`);
      reader.skip(length - 2);
      reader.skip(Math.min(reader.remaining, padded(length) - length));
    }
  }

  bytes(type: number): Uint8Array | undefined {
    let found: number | undefined;
    for (let at = 0; at < this.#bytes.length; at += padded(this.#u16(at))) if (this.#typeAt(at) === type) found = at;
    return found === undefined ? undefined : this.#valueAt(found);
  }

  u8(type: number): number | undefined {
    return this.#read(type, u8);
  }

  /** A u8 that is 0 or not. */
  flag(type: number): boolean | undefined {
    const value = this.u8(type);
    return value === undefined ? undefined : value !== 0;
  }

  u16(type: number): number | undefined {
    return this.#read(type, u16le);
  }

  u16be(type: number): number | undefined {
    return this.#read(type, u16be);
  }

  u32(type: number): number | undefined {
    return this.#read(type, u32le);
  }

  u32be(type: number): number | undefined {
    return this.#read(type, u32be);
  }

  i32(type: number): number | undefined {
    return this.#read(type, i32le);
  }

  text(type: number, cap = MAX_TEXT): string | undefined {
    return this.#reader(type)?.text(cap);
  }

  /** An IPv4 or IPv6 address, whichever the length says. */
  address(type: number): string | undefined {
    return this.#read(type, decodeAddress);
  }

  /** struct rtvia: an address behind its family, for where both may stand. */
  via(type: number): string | undefined {
    return this.#read(type, decodeVia);
  }

  mac(type: number): string | undefined {
    return this.#read(type, decodeMac);
  }

  /** What is nested in an attribute. */
  nested(type: number): Attributes | undefined {
    const value = this.bytes(type);
    return value && new Attributes(value, `${this.#what}/${type}`);
  }

  /** What is nested in each of the attributes in an attribute, which are of one type and in an order that counts. */
  list(type: number): readonly Attributes[] | undefined {
    const list = this.nested(type);
    return list === undefined ? undefined : list.#all();
  }

  #all(): readonly Attributes[] {
    const all: Attributes[] = [];
    for (let at = 0; at < this.#bytes.length; at += padded(this.#u16(at))) {
      all.push(new Attributes(this.#valueAt(at), this.#what));
    }
    return all;
  }

  #read<T>(type: number, read: (reader: Reader) => T): T | undefined {
    const reader = this.#reader(type);
    if (reader === undefined) return undefined;
    const result = read(reader);
    reader.end();
    return result;
  }

  #reader(type: number): Reader | undefined {
    const value = this.bytes(type);
    return value && new Reader(value, this.#what, type);
  }

  #typeAt(at: number): number {
    return this.#u16(at + 2) & NLA_TYPE_MASK;
  }

  #valueAt(at: number): Uint8Array {
    return this.#bytes.subarray(at + HEADER, at + this.#u16(at));
  }

  #u16(at: number): number {
    return (this.#bytes[at] ?? 0) | ((this.#bytes[at + 1] ?? 0) << 8);
  }
}

/** The last one need not be padded. */
function padded(length: number): number {
  return (length + ALIGN - 1) & -ALIGN;
}

const u8 = (reader: Reader) => reader.u8();
const u16le = (reader: Reader) => reader.u16le();
const u16be = (reader: Reader) => reader.u16be();
const u32le = (reader: Reader) => reader.u32le();
const u32be = (reader: Reader) => reader.u32be();
const i32le = (reader: Reader) => reader.i32le();
const decodeMac = (reader: Reader) => formatMac(reader.bytes(6));

/** Writes attributes one behind the other. An undefined value writes nothing: what is left out is left to the kernel. */
export class AttributeWriter {
  readonly #writer: Writer;

  /** Goes on behind the header of a family, which has been written into `writer`. */
  constructor(writer: Writer) {
    this.#writer = writer;
  }

  u8(type: number, value: number | undefined): this {
    return this.#write(type, value, (v) => this.#writer.u8(v));
  }

  flag(type: number, value: boolean | undefined): this {
    return this.#write(type, value, (v) => this.#writer.u8(v ? 1 : 0));
  }

  u16(type: number, value: number | undefined): this {
    return this.#write(type, value, (v) => this.#writer.u16le(v));
  }

  u16be(type: number, value: number | undefined): this {
    return this.#write(type, value, (v) => this.#writer.u16be(v));
  }

  u32(type: number, value: number | undefined): this {
    return this.#write(type, value, (v) => this.#writer.u32le(v));
  }

  u32be(type: number, value: number | undefined): this {
    return this.#write(type, value, (v) => this.#writer.u32be(v));
  }

  /** With the NUL that the kernel expects. */
  text(type: number, value: string | undefined): this {
    return this.#write(type, value, (v) => this.#writer.text(v).u8(0));
  }

  address(type: number, value: string | undefined): this {
    return this.#write(type, value, (v) => this.#writer.bytes(addressBytes(v)));
  }

  /** struct rtvia */
  via(type: number, family: number, value: string): this {
    return this.#write(type, value, (v) => this.#writer.u16le(family).bytes(addressBytes(v)));
  }

  mac(type: number, value: string | undefined): this {
    return this.#write(type, value, (v) => this.#writer.bytes(macBytes(v)));
  }

  bytes(type: number, value: Uint8Array | undefined): this {
    return this.#write(type, value, (v) => this.#writer.bytes(v));
  }

  /** `write` writes what is inside: attributes, or a header with attributes behind it. */
  nested(type: number, write: (inside: AttributeWriter, writer: Writer) => void): this {
    return this.#write(type | NLA_F_NESTED, write, () => write(this, this.#writer));
  }

  #write<T>(type: number, value: T | undefined, write: (value: T) => void): this {
    if (value === undefined) return this;
    const start = this.#writer.length;
    this.#writer.u16le(0).u16le(type);
    write(value);
    this.#writer.patchU16le(start, this.#writer.length - start);
    this.#writer.align(ALIGN);
    return this;
  }
}

export function formatMac(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += text === '' ? HEX[byte] : `:${HEX[byte]}`;
  return text;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** @throws ParseError */
export function addressBytes(text: string): Uint8Array {
  const { family, value } = parseAddress(text);
  return Buffer.from(value.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex');
}

export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new RangeError(`${JSON.stringify(text)} is not a MAC address`);
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

function decodeVia(reader: Reader): string {
  reader.skip(2);
  return decodeAddress(reader);
}

function decodeAddress(reader: Reader): string {
  if (reader.remaining === 4) return `${reader.u8()}.${reader.u8()}.${reader.u8()}.${reader.u8()}`;
  if (reader.remaining !== 16) reader.fail(`${reader.remaining} bytes are not an IP address`);
  return formatGroups(Array.from({ length: 8 }, () => reader.u16be()));
}
