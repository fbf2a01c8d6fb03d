import { DecodeError } from '../../lib/errors.ts';

/**
 * What is said over a supervisor's control socket, both ways (`native/shim/shim.h` is the other end):
 *
 *     | kind:8 | 0:24 | length:32 | payload |
 *
 * Numbers are big-endian. Input and its end get no answer, and may come only over a line that was opened for them; a ping is
 * answered once the command has been executed.
 */
export type ControlRequest =
  | { readonly kind: 'ping' }
  /** Asks to be let in as a writer of input. */
  | { readonly kind: 'open' }
  /** At most `longestInput` bytes. */
  | { readonly kind: 'input'; readonly bytes: Uint8Array }
  | { readonly kind: 'eof' }
  | { readonly kind: 'size'; readonly rows: number; readonly columns: number }
  | { readonly kind: 'signal'; readonly signal: number };

export type ControlAnswer =
  /** `started` in milliseconds since 1970. */
  | { readonly kind: 'ping'; readonly pid: number; readonly started: number }
  /** 0: done. */
  | { readonly kind: (typeof errnoKinds)[number]; readonly errno: number };

export const longestInput = 16 * 1024;
const header = 8;
const kinds = { ping: 0, input: 1, eof: 2, size: 3, signal: 4, open: 5 } as const;
const errnoKinds = ['size', 'signal', 'open'] as const;

export const controlRequest = {
  encode(request: ControlRequest): Uint8Array {
    const payload = payloadOf(request);
    const out = Buffer.alloc(header + payload.length);
    out.writeUInt8(kinds[request.kind], 0);
    out.writeUInt32BE(payload.length, 4);
    out.set(payload, header);
    return out;
  },
};

function payloadOf(request: ControlRequest): Uint8Array {
  switch (request.kind) {
    case 'ping':
    case 'open':
    case 'eof':
      return new Uint8Array();
    case 'input':
      if (request.bytes.length > longestInput) throw new RangeError(`input goes in pieces of ${longestInput} bytes`);
      return request.bytes;
    case 'size': {
      const out = Buffer.alloc(4);
      out.writeUInt16BE(request.rows, 0);
      out.writeUInt16BE(request.columns, 2);
      return out;
    }
    case 'signal':
      return Uint8Array.of(request.signal);
  }
}

const answerLengths = new Map<number, number>([
  [kinds.ping, 12],
  ...errnoKinds.map((kind): [number, number] => [kinds[kind], 4]),
]);

export const controlAnswer = {
  /** The first answer and what follows it; undefined as long as the answer is not whole. @throws DecodeError */
  decode(input: Uint8Array): { readonly answer: ControlAnswer; readonly rest: Uint8Array } | undefined {
    if (input.length < header) return undefined;
    const view = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    const [kind, zeros, length] = [view.readUInt8(0), view.readUIntBE(1, 3), view.readUInt32BE(4)];
    if (zeros !== 0 || answerLengths.get(kind) !== length) {
      throw new DecodeError(`an answer of a supervisor is of kind ${kind} and ${length} bytes long`);
    }
    if (input.length < header + length) return undefined;
    const rest = input.subarray(header + length);
    const told = errnoKinds.find((each) => kinds[each] === kind);
    if (told !== undefined) return { answer: { kind: told, errno: view.readUInt32BE(header) }, rest };
    const started = Number(view.readBigUInt64BE(header + 4) / 1_000_000n);
    return { answer: { kind: 'ping', pid: view.readUInt32BE(header), started }, rest };
  },
};
