import { DecodeError } from '../../../lib/errors.ts';

/**
 * What goes over a link: JSON behind its length in bytes. A frame of no bytes says that the sender is still there.
 *
 *     | length:32 | JSON, UTF-8 |
 */
const headSize = 4;

/** Deeper than anything that hosts say to each other: who reads a value may follow it to its end. */
const deepest = 64;

export const heartbeat: Uint8Array = new Uint8Array(headSize);

export function encodeFrame(frame: unknown): Buffer {
  const text = JSON.stringify(frame);
  const length = Buffer.byteLength(text);
  const bytes = Buffer.allocUnsafe(headSize + length);
  bytes.writeUInt32BE(length);
  bytes.write(text, headSize);
  return bytes;
}

/** Reads what stands behind the length. @throws DecodeError */
export function decodeFrame(bytes: Uint8Array): unknown {
  if (depthOf(bytes) > deepest) throw new DecodeError(`a frame is nested more than ${deepest} deep`);
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new DecodeError('a frame is not JSON', { cause });
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const [quote, backslash, bracket, brace, bracketEnd, braceEnd] = Buffer.from('"\\[{]}');

/** Of what may be JSON. A quote, bracket or brace is one byte and never part of another character in UTF-8. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let most = 0;
  let inText = false;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (inText) {
      if (byte === backslash) at += 1;
      else if (byte === quote) inText = false;
    } else if (byte === quote) {
      inText = true;
    } else if (byte === bracket || byte === brace) {
      depth += 1;
      if (depth > most) most = depth;
    } else if (byte === bracketEnd || byte === braceEnd) {
      depth -= 1;
    }
  }
  return most;
}

/**
 * Puts frames together from the pieces that a connection gives. What it holds grows with what came, not with what was
 * announced.
 */
export class FrameReader {
  /** Of a frame, in bytes. */
  most: number;
  /** What came and was not read yet stands from `start` to `end`. */
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  constructor(most: number) {
    this.most = most;
  }

  /** The piece is the reader's from now on. */
  push(piece: Buffer): void {
    const left = this.#end - this.#start;
    if (left === 0) {
      this.#bytes = piece;
      this.#start = 0;
      this.#end = piece.length;
      return;
    }
    if (this.#end + piece.length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * (left + piece.length));
      this.#bytes.copy(larger, 0, this.#start, this.#end);
      this.#bytes = larger;
      this.#start = 0;
      this.#end = left;
    }
    piece.copy(this.#bytes, this.#end);
    this.#end += piece.length;
  }

  /**
   * The bytes of the next frame, none for a heartbeat, good until the next `push`; undefined when it is not whole yet.
   * @throws DecodeError for one that is too long
   */
  next(): Uint8Array | undefined {
    const left = this.#end - this.#start;
    if (left < headSize) return undefined;
    const length = this.#bytes.readUInt32BE(this.#start);
    if (length > this.most) throw new DecodeError(`a frame of ${length} bytes, where ${this.most} are allowed`);
    if (left < headSize + length) return undefined;
    const from = this.#start + headSize;
    this.#start = from + length;
    return this.#bytes.subarray(from, this.#start);
  }
}
