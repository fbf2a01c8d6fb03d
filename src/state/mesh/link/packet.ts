import { Reader, Writer } from '../../../lib/bytes.ts';
import { DecodeError } from '../../../lib/errors.ts';

/** Fits a path of 1280 bytes with room for what others put around it. */
export const longestPacket = 1200;

const VERSION = 1;
const KIND = { message: 1, session: 2 } as const;
const kinds = Object.entries(KIND) as readonly (readonly [keyof typeof KIND, number])[];

export const sessionSize = 8;
const idSize = 16;
const tagSize = 16;
export const headSize = 2 + idSize + 2 * sessionSize + 6;
/** Of what is sealed in, in bytes. */
export const longestPayload = longestPacket - headSize - tagSize;

export interface PacketHead {
  readonly kind: keyof typeof KIND;
  /** Host id of the sender. */
  readonly from: string;
  /** Hex: the sender's session, and the receiver's as far as the sender knows it, else zeros. */
  readonly session: string;
  readonly toSession: string;
  readonly number: number;
}

export interface Packet extends PacketHead {
  /** What was authenticated with the payload: the head as it came. */
  readonly head: Uint8Array;
  readonly sealed: Uint8Array;
  readonly tag: Uint8Array;
}

/**
 * A datagram between hosts. A message's payload is JSON; that of a session is empty, it tells the session of its sender.
 *
 *     | version:8 | kind:8 | from:128 | session:64 | session of the receiver:64 | number:48 | payload, AES-256-GCM | tag:128 |
 */
export const packet = {
  encodeHead({ kind, from, session, toSession, number }: PacketHead): Uint8Array {
    const writer = new Writer().u8(VERSION).u8(KIND[kind]);
    for (const hex of [from, session, toSession]) writer.bytes(Buffer.from(hex, 'hex'));
    return writer
      .u16be(Math.floor(number / 2 ** 32))
      .u32be(number % 2 ** 32)
      .finish();
  },

  /** @throws DecodeError */
  decode(bytes: Uint8Array): Packet {
    if (bytes.length > longestPacket)
      throw new DecodeError(`packet: ${bytes.length} bytes, where ${longestPacket} are allowed`);
    const reader = new Reader(bytes, 'packet');
    const version = reader.u8();
    if (version !== VERSION) reader.fail(`version ${version} is not known`);
    const code = reader.u8();
    const [kind] = kinds.find(([, known]) => known === code) ?? reader.fail(`kind ${code} is not known`);
    const [from, session, toSession] = [hex(reader, idSize), hex(reader, sessionSize), hex(reader, sessionSize)];
    const number = reader.u16be() * 2 ** 32 + reader.u32be();
    const sealed = reader.bytes(reader.remaining - tagSize);
    return { kind, from, session, toSession, number, head: bytes.subarray(0, headSize), sealed, tag: reader.rest() };
  },
};

function hex(reader: Reader, size: number): string {
  return Buffer.from(reader.bytes(size)).toString('hex');
}
