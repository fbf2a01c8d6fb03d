import { DecodeError } from '../lib/errors.ts';

/**
 * What a container wrote, as its supervisor keeps it and as it is sent:
 *
 *     | stream:8 | 0:24 | length:32 | nanoseconds since 1970:64 | bytes |
 *
 * Numbers are big-endian. `note` is a sentence of the supervisor itself.
 */
export interface Frame {
  readonly stream: 'stdout' | 'stderr' | 'note';
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly bytes: Uint8Array;
}

export const frameHeader = 16;
const longestFrame = 1024 * 1024;
const streams = ['stdout', 'stderr', 'note'] as const;

export const frame = {
  encode({ stream, time, bytes }: Frame): Uint8Array {
    const out = Buffer.alloc(frameHeader + bytes.length);
    out.writeUInt8(streams.indexOf(stream) + 1, 0);
    out.writeUInt32BE(bytes.length, 4);
    out.writeBigUInt64BE(time, 8);
    out.set(bytes, frameHeader);
    return out;
  },

  /** The first frame and what follows it; undefined as long as the frame is not whole. @throws DecodeError */
  decode(input: Uint8Array): { readonly frame: Frame; readonly rest: Uint8Array } | undefined {
    if (input.length < frameHeader) return undefined;
    const view = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    const stream = streams[view.readUInt8(0) - 1];
    if (stream === undefined || view.readUIntBE(1, 3) !== 0)
      throw new DecodeError('a frame of output has no such stream');
    const end = frameHeader + view.readUInt32BE(4);
    if (end > frameHeader + longestFrame)
      throw new DecodeError(`a frame of output is longer than ${longestFrame} bytes`);
    if (input.length < end) return undefined;
    const bytes = input.subarray(frameHeader, end);
    return { frame: { stream, time: view.readBigUInt64BE(8), bytes }, rest: input.subarray(end) };
  },
};
