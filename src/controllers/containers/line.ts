import { createConnection, type Socket } from 'node:net';
import { type ControlAnswer, type ControlRequest, controlAnswer, controlRequest } from './control.ts';

/** A connection to a supervisor. */
export interface Line {
  /** Resolves when it has been closed, by whichever end. */
  readonly closed: Promise<void>;
  /**
   * `silent` when there is no answer within `patience` milliseconds: it may be done yet. Undefined when the line closes
   * first.
   */
  ask(request: ControlRequest, patience?: number): Promise<ControlAnswer | 'silent' | undefined>;
  /** Sends what gets no answer; resolves when there is room for more, or nobody to take it any more. */
  send(request: ControlRequest): Promise<void>;
  /** Says that no more comes; resolves when all has been taken. */
  finish(): Promise<void>;
  close(): void;
}

/** So much may lie in the socket of one that does not answer. */
const mostUnanswered = 32;

/** Undefined when nobody is there; `unreachable` when somebody may be who takes no more calls. */
export async function openLine(path: string): Promise<Line | 'unreachable' | undefined> {
  const { promise, resolve } = Promise.withResolvers<Socket | 'unreachable' | undefined>();
  const socket = createConnection(path, () => resolve(socket));
  // After an error comes 'close', which is what is acted on.
  socket.on('error', (error) => resolve(isAbsence(error) ? undefined : 'unreachable'));
  const opened = await promise;
  return typeof opened === 'object' ? lineOver(opened) : opened;
}

function isAbsence(error: Error): boolean {
  return 'code' in error && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED');
}

function lineOver(socket: Socket): Line {
  const waiting: ((answer: ControlAnswer | undefined) => void)[] = [];
  const closed = Promise.withResolvers<void>();
  let received: Uint8Array = new Uint8Array();
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    try {
      for (let next = controlAnswer.decode(received); next !== undefined; next = controlAnswer.decode(received)) {
        received = next.rest;
        waiting.shift()?.(next.answer);
      }
    } catch {
      socket.destroy();
    }
  });
  socket.on('close', () => {
    for (const answer of waiting.splice(0)) answer(undefined);
    closed.resolve();
  });

  async function ask(request: ControlRequest, patience?: number): Promise<ControlAnswer | 'silent' | undefined> {
    if (socket.destroyed) return undefined;
    if (waiting.length >= mostUnanswered) return 'silent';
    const { promise, resolve } = Promise.withResolvers<ControlAnswer | 'silent' | undefined>();
    // Answers come in order: this one keeps its place, also when nobody waits for it any more.
    waiting.push(resolve);
    socket.write(controlRequest.encode(request));
    const late = patience === undefined ? undefined : setTimeout(() => resolve('silent'), patience);
    const answer = await promise;
    clearTimeout(late);
    return answer;
  }

  async function send(request: ControlRequest): Promise<void> {
    if (socket.destroyed || socket.write(controlRequest.encode(request))) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.once('drain', resolve).once('close', resolve);
    await promise;
    socket.off('drain', resolve).off('close', resolve);
  }

  async function finish(): Promise<void> {
    if (!socket.destroyed) socket.end();
    await closed.promise;
  }

  return { closed: closed.promise, ask, send, finish, close: () => socket.destroy() };
}
