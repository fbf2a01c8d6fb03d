import { Reader, type Writer } from '../../lib/bytes.ts';
import { formatAddress, parseAddress } from '../../lib/prefix.ts';

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
  return new Attributes(readAttributes(bytes, what), what);
}

function readAttributes(bytes: Uint8Array, what: string): readonly (readonly [type: number, value: Uint8Array])[] {
  const reader = new Reader(bytes, what);
  const values: [type: number, value: Uint8Array][] = [];
  while (reader.remaining > 0) {
    const length = reader.u16le();
    if (length < HEADER) reader.fail(`a length of ${length} is less than an attribute's header`);
    const type = reader.u16le() & NLA_TYPE_MASK;
    values.push([type, reader.bytes(length - HEADER)]);
    reader.skip(Math.min(reader.remaining, (ALIGN - (length % ALIGN)) % ALIGN));
  }
  return values;
}

/** Values by type. A value that is not there is undefined, one of the wrong length a DecodeError; of equal types the last counts. */
export class Attributes {
  readonly #values: Map<number, Uint8Array>;
  readonly #what: string;

  constructor(values: Iterable<readonly [type: number, value: Uint8Array]>, what: string) {
    this.#values = new Map(values);
    this.#what = what;
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    return this.#read(type, (reader) => reader.u8());
  }

  /** A u8 that is 0 or not. */
  flag(type: number): boolean | undefined {
    const value = this.u8(type);
    return value === undefined ? undefined : value !== 0;
  }

  u16(type: number): number | undefined {
    return this.#read(type, (reader) => reader.u16le());
  }

  u16be(type: number): number | undefined {
    return this.#read(type, (reader) => reader.u16be());
  }

  u32(type: number): number | undefined {
    return this.#read(type, (reader) => reader.u32le());
  }

  u32be(type: number): number | undefined {
    return this.#read(type, (reader) => reader.u32be());
  }

  i32(type: number): number | undefined {
    return this.#read(type, (reader) => reader.i32le());
  }

  text(type: number, cap = MAX_TEXT): string | undefined {
    const value = this.#values.get(type);
    return value && this.#reader(type, value).text(cap);
  }

  /** An IPv4 or IPv6 address, whichever the length says. */
  address(type: number): string | undefined {
    return this.#read(type, decodeAddress);
  }

  /** struct rtvia: an address behind its family, for where both may stand. */
  via(type: number): string | undefined {
    return this.#read(type, (reader) => {
      reader.skip(2);
      return decodeAddress(reader);
    });
  }

  mac(type: number): string | undefined {
    return this.#read(type, (reader) => formatMac(reader.bytes(6)));
  }

  /** What is nested in an attribute. */
  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value && decodeAttributes(value, `${this.#what}/${type}`);
  }

  /** What is nested in each of the attributes in an attribute, which are of one type and in an order that counts. */
  list(type: number): readonly Attributes[] | undefined {
    const what = `${this.#what}/${type}`;
    const value = this.#values.get(type);
    return value && readAttributes(value, what).map(([, item]) => decodeAttributes(item, what));
  }

  #read<T>(type: number, read: (reader: Reader) => T): T | undefined {
    const value = this.#values.get(type);
    if (value === undefined) return undefined;
    const reader = this.#reader(type, value);
    const result = read(reader);
    reader.end();
    return result;
  }

  #reader(type: number, value: Uint8Array): Reader {
    return new Reader(value, `${this.#what}/${type}`);
  }
}

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
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1:');
}

/** @throws ParseError */
function addressBytes(text: string): Uint8Array {
  const { family, value } = parseAddress(text);
  return Buffer.from(value.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex');
}

export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new RangeError(`${JSON.stringify(text)} is not a MAC address`);
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

function decodeAddress(reader: Reader): string {
  const bytes = reader.rest();
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) reader.fail(`${bytes.length} bytes are not an IP address`);
  return formatAddress({ family: 6, value: BigInt(`0x${Buffer.from(bytes).toString('hex')}`) });
}
