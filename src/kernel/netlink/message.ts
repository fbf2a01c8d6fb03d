import { Reader, Writer } from '../../lib/bytes.ts';
import { decodeAttributes } from './attribute.ts';

/**
 * Netlink messages (netlink(7), linux/netlink.h). Numbers are in the host's byte order, which is little endian on every
 * machine that Node 24 has a build for and that we support.
 */

/** Message types below the families' own. */
export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4, MIN_TYPE: 0x10 } as const;

/** Message flags; the second row is for GET requests, the third for NEW requests, the fourth for answers. */
export const NLM_F = {
  ...{ REQUEST: 0x1, MULTI: 0x2, ACK: 0x4, ECHO: 0x8, DUMP_INTR: 0x10, DUMP_FILTERED: 0x20 },
  ...{ ROOT: 0x100, MATCH: 0x200, DUMP: 0x300 },
  ...{ REPLACE: 0x100, EXCL: 0x200, CREATE: 0x400, APPEND: 0x800 },
  ...{ CAPPED: 0x100, ACK_TLVS: 0x200 },
} as const;

export interface NlMsg {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  /** Port of the socket that the message belongs to. */
  readonly pid: number;
  readonly payload: Uint8Array;
}

const HEADER = 16;
const ALIGN = 4;

//  | nlmsg_len:32 | nlmsg_type:16 | nlmsg_flags:16 | nlmsg_seq:32 | nlmsg_pid:32 | payload, padded to 4 |  and again
/** The messages of one datagram. Payloads are views of the bytes decoded. */
export const nlmsg = {
  encode(messages: readonly NlMsg[]): Uint8Array {
    const writer = new Writer();
    for (const { type, flags, seq, pid, payload } of messages) {
      writer
        .u32le(HEADER + payload.length)
        .u16le(type)
        .u16le(flags)
        .u32le(seq)
        .u32le(pid);
      writer.bytes(payload).align(ALIGN);
    }
    return writer.finish();
  },

  /** @throws DecodeError */
  decode(bytes: Uint8Array): NlMsg[] {
    const reader = new Reader(bytes, 'netlink message');
    const messages: NlMsg[] = [];
    while (reader.remaining > 0) {
      const length = reader.u32le();
      if (length < HEADER) reader.fail(`a length of ${length} is less than its header`);
      const type = reader.u16le();
      const flags = reader.u16le();
      const seq = reader.u32le();
      const pid = reader.u32le();
      const payload = reader.bytes(length - HEADER);
      // The last message need not be padded.
      reader.skip(Math.min(reader.remaining, padding(length)));
      messages.push({ type, flags, seq, pid, payload });
    }
    return messages;
  },
};

/** What an NLMSG_ERROR or NLMSG_DONE says: errno (0 is an acknowledgement) and the kernel's words on it. */
export interface NlMsgErr {
  readonly errno: number;
  /** NLMSGERR_ATTR_MSG */
  readonly message?: string;
  /** NLMSGERR_ATTR_OFFS: where in the request the fault is. */
  readonly offset?: number;
}

export const NLMSGERR_ATTR = { MSG: 1, OFFS: 2 } as const;

/** Longest text that we take from the kernel; its own limit is 80. */
const MAX_EXT_ACK = 1024;

//  NLMSG_ERROR: | error:s32 | header of the request, and its payload unless NLM_F_CAPPED | attributes if NLM_F_ACK_TLVS |
//  NLMSG_DONE:  | error:s32 | attributes if NLM_F_ACK_TLVS |
export const nlmsgerr = {
  /** Of an NLMSG_ERROR or NLMSG_DONE message. @throws DecodeError */
  decode({ type, flags, payload }: NlMsg): NlMsgErr {
    const reader = new Reader(payload, type === NLMSG.DONE ? 'NLMSG_DONE' : 'NLMSG_ERROR');
    const error = reader.i32le();
    if (error > 0) reader.fail(`an error of ${error} is not negative`);
    if (type === NLMSG.ERROR) {
      const length = reader.u32le();
      if (length < HEADER) reader.fail(`a length of ${length} is less than its header`);
      reader.skip(HEADER - 4);
      if (!(flags & NLM_F.CAPPED)) skipPadded(reader, length - HEADER);
    }
    if (!(flags & NLM_F.ACK_TLVS)) return { errno: Math.abs(error) };
    const attributes = decodeAttributes(reader.rest(), 'NLMSGERR_ATTR');
    const message = attributes.text(NLMSGERR_ATTR.MSG, MAX_EXT_ACK);
    const offset = attributes.u32(NLMSGERR_ATTR.OFFS);
    return {
      errno: Math.abs(error),
      ...(message === undefined ? {} : { message }),
      ...(offset === undefined ? {} : { offset }),
    };
  },
};

function skipPadded(reader: Reader, length: number): void {
  reader.skip(length);
  reader.skip(Math.min(reader.remaining, padding(length)));
}

function padding(length: number): number {
  return (ALIGN - (length % ALIGN)) % ALIGN;
}
