import { StoreError } from '../store.ts';

/**
 * Splits a stream into lines: a message may come in many chunks and a chunk may hold many messages, cut anywhere, within
 * a character too. Empty lines are left out; what follows the last line break is a line only once the stream has ended.
 * @throws StoreError when a line is longer than `most` bytes
 */
export async function* lines(chunks: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<string> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  const take = (): string => {
    const line = Buffer.concat(pieces).toString('utf8').trim();
    pieces = [];
    length = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let start = 0;
    while (start < chunk.length) {
      const end = chunk.indexOf(newline, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      length += piece.length;
      if (length > most) throw new StoreError(`it sent a line of more than ${most} bytes`, { retry: true });
      pieces.push(piece);
      start = end < 0 ? chunk.length : end + 1;
      if (end < 0) break;
      const line = take();
      if (line !== '') yield line;
    }
  }
  const line = take();
  if (line !== '') yield line;
}

const newline = 0x0a;
