import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { controlRequest, longestInput } from './control.ts';
import { openControl } from './supervisor.ts';

/**
 * A command's standard input. Writing waits while the command does not read. What comes after the command's end, or after
 * it has closed its input, is dropped: whoever pipes into it learns of its end by its exit code.
 */
export function openInput(control: string): Writable {
  let socket: Socket | undefined;

  async function send(bytes: Uint8Array): Promise<void> {
    if (socket === undefined || socket.destroyed) return;
    if (socket.write(bytes)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.once('drain', resolve);
    socket.once('close', resolve);
    await promise;
    socket.off('drain', resolve);
    socket.off('close', resolve);
  }

  async function connect(): Promise<void> {
    socket = await openControl(control);
  }

  async function write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += longestInput) {
      await send(controlRequest.encode({ kind: 'input', bytes: chunk.subarray(at, at + longestInput) }));
    }
  }

  async function finish(): Promise<void> {
    await send(controlRequest.encode({ kind: 'eof' }));
    if (socket === undefined || socket.destroyed) return;
    // Its closing says that the command has got it all.
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.once('close', resolve);
    socket.end();
    socket.resume();
    await promise;
  }

  return new Writable({
    construct: (done) => void connect().then(() => done(), done),
    write: (chunk: Uint8Array, _, done) => void write(chunk).then(() => done(), done),
    final: (done) => void finish().then(() => done(), done),
    destroy: (error, done) => {
      socket?.destroy();
      done(error);
    },
  });
}
