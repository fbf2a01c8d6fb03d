import { Writable } from 'node:stream';
import { Refusal } from '../../lib/errors.ts';
import { longestInput } from './control.ts';
import { type Line, openLine } from './line.ts';
import { notAnswering } from './refusals.ts';
import { patience } from './supervisor.ts';

/**
 * A command's standard input. Writing waits while the command does not read. What comes after the command's end, or after
 * it has closed its input, is dropped: whoever pipes into it learns of its end by its exit code.
 * Fails with a Refusal when the supervisor of `id` does not let it write.
 */
export function openInput(control: string, id: string): Writable {
  let line: Line | undefined;

  async function connect(): Promise<void> {
    const opened = await openLine(control);
    if (opened === undefined) return;
    if (opened === 'unreachable') throw notAnswering('write to', id);
    line = opened;
    const answer = await opened.ask({ kind: 'open' }, patience);
    if (answer === 'silent') throw notAnswering('write to', id);
    if (answer?.kind === 'open' && answer.errno !== 0) {
      throw new Refusal('unavailable', `cannot write to container: too many others write to ${id}`);
    }
  }

  async function write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += longestInput) {
      await line?.send({ kind: 'input', bytes: chunk.subarray(at, at + longestInput) });
    }
  }

  async function finish(): Promise<void> {
    await line?.send({ kind: 'eof' });
    await line?.finish();
  }

  return new Writable({
    construct: (done) => void connect().then(() => done(), done),
    write: (chunk: Uint8Array, _, done) => void write(chunk).then(() => done(), done),
    final: (done) => void finish().then(() => done(), done),
    destroy: (error, done) => {
      line?.close();
      done(error);
    },
  });
}
