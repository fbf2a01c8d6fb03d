import { DecodeError } from './errors.ts';

/**
 * Bounded reading and writing of bytes. The reader is the one place that checks bounds and the only one that throws
 * `DecodeError`; what decoders find wrong themselves they say through its `fail`.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  readonly #part: number | undefined;
  #offset = 0;

  /** `what` is named in errors, and `part` behind it. The bytes are not copied and must not change while they are read. */
  constructor(bytes: Uint8Array, what: string, part?: number) {
    this.#bytes = bytes;
    this.#what = what;
    this.#part = part;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#at(this.#advance(1));
  }

  u16le(): number {
    const at = this.#advance(2);
    return this.#at(at) | (this.#at(at + 1) << 8);
  }

  u16be(): number {
    const at = this.#advance(2);
    return (this.#at(at) << 8) | this.#at(at + 1);
  }

  u32le(): number {
    return this.i32le() >>> 0;
  }

  u32be(): number {
    const at = this.#advance(4);
    const high = (this.#at(at) << 24) | (this.#at(at + 1) << 16);
    return (high | (this.#at(at + 2) << 8) | this.#at(at + 3)) >>> 0;
  }

  i32le(): number {
    const at = this.#advance(4);
    const low = this.#at(at) | (this.#at(at + 1) << 8);
    return low | (this.#at(at + 2) << 16) | (this.#at(at + 3) << 24);
  }

  /** The next bytes, as a view of the ones being read. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  skip(length: number): void {
    this.#advance(length);
  }

  /** UTF-8 text that ends with a NUL, or with the bytes; at most `cap` bytes without the NUL. */
  text(cap: number): string {
    const bytes = this.rest();
    const nul = bytes.indexOf(0);
    const text = nul < 0 ? bytes : bytes.subarray(0, nul);
    if (text.length > cap) this.fail(`text of ${text.length} bytes where at most ${cap} are allowed`);
    return shortText(text) ?? utf8.decode(text);
  }

  /** Says that nothing may be left. */
  end(): void {
    if (this.remaining > 0) this.fail(`${this.remaining} bytes too many`);
  }

  /** @throws DecodeError */
  fail(reason: string): never {
    const part = this.#part === undefined ? '' : `/${this.#part}`;
    throw new DecodeError(`${this.#what}${part}: ${reason}`);
  }

  /** Of what `advance` has looked at. */
  #at(offset: number): number {
    return this.#bytes[offset] ?? 0;
  }

  #advance(length: number): number {
    if (length < 0 || length > this.remaining) {
      this.fail(`ends after ${this.remaining} bytes where ${length} were expected`);
    }
    const start = this.#offset;
    this.#offset += length;
    return start;
  }
}

/** Names are a few letters, for which the decoder takes long to call. */
const SHORT = 24;

function shortText(text: Uint8Array): string | undefined {
  if (text.length > SHORT) return undefined;
  let short = '';
  for (const byte of text) {
    if (byte > 0x7f) return undefined;
    short += String.fromCharCode(byte);
  }
  return short;
}

const utf8 = new TextDecoder();
const toUtf8 = new TextEncoder();

/** Grows as needed. A number that does not fit its field is a RangeError: a fault of the caller, not of input. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const start = this.#extend(1, value);
    this.#view.setUint8(start, value);
    return this;
  }

  u16le(value: number): this {
    const start = this.#extend(2, value);
    this.#view.setUint16(start, value, true);
    return this;
  }

  u16be(value: number): this {
    const start = this.#extend(2, value);
    this.#view.setUint16(start, value, false);
    return this;
  }

  u32le(value: number): this {
    const start = this.#extend(4, value);
    this.#view.setUint32(start, value, true);
    return this;
  }

  u32be(value: number): this {
    const start = this.#extend(4, value);
    this.#view.setUint32(start, value, false);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    const start = this.#extend(bytes.length);
    this.#bytes.set(bytes, start);
    return this;
  }

  /** UTF-8 without a terminator. */
  text(text: string): this {
    return this.bytes(toUtf8.encode(text));
  }

  zeros(count: number): this {
    this.#extend(count);
    return this;
  }

  /** Zeros up to the next multiple of `size`. */
  align(size: number): this {
    return this.zeros((size - (this.#length % size)) % size);
  }

  /** Writes over two bytes that were written before: a length that is known only afterwards. */
  patchU16le(offset: number, value: number): void {
    check(value, 2);
    this.#view.setUint16(offset, value, true);
  }

  /** What was written so far, as a copy. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #extend(size: number, value = 0): number {
    check(value, size);
    const start = this.#length;
    const end = start + size;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = end;
    return start;
  }
}

function check(value: number, size: number): void {
  if (!Number.isInteger(value) || value < 0 || (value !== 0 && value >= 2 ** (8 * size))) {
    throw new RangeError(`${value} does not fit ${8 * size} bits`);
  }
}
