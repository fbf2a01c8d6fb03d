import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import * as v from 'valibot';
import { delay, pause } from '../../lib/backoff.ts';
import { messageOf, Refusal } from '../../lib/errors.ts';
import { frame, frameHeader, type Frame as OutputFrame } from '../../model/frame.ts';
import { request as httpRequest } from './http.ts';
import type {
  ConnectionView as ConnectionAnswer,
  PeerView as PeerAnswer,
  RangeView as RangeAnswer,
  TargetView as TargetAnswer,
  WaitingView as WaitingAnswer,
} from './mesh-schema.ts';
import { type AnswerOf, type CallOf, type JsonRouteKey, type Route, routes } from './routes.ts';
import {
  type ContainerView as ContainerAnswer,
  type DnsView as DnsAnswer,
  type ExposedView as ExposedAnswer,
  type NameView as NameAnswer,
  type NetworkView as NetworkAnswer,
  Problem,
  type StatusView as StatusAnswer,
} from './schema.ts';

/**
 * The API from the other side, over a unix socket. It is `node:http` rather than undici because a command line that is
 * started for one request pays for every import. It holds no connection between two calls.
 */
export interface Client {
  /** @throws Refusal as the daemon said it, or 'unavailable' when none answers; NotExecuted; DaemonFailed */
  call<K extends JsonRouteKey>(key: K, request: CallOf<K>, options?: Waiting): Promise<AnswerOf<K>>;
  /** What a container or an exec wrote. With `follow` until it ends, over restarts of the daemon. @throws as `call` */
  output(id: string, options: Follow & { readonly follow: boolean; readonly tail?: number }): AsyncIterable<Frame>;
  /**
   * Sends its standard input until `source` ends or `signal` aborts. After a restart of the daemon it goes on with what
   * comes then; what was under way meanwhile is lost. @throws as `call`
   */
  input(id: string, source: Readable, options: Follow): Promise<void>;
  /** The exit code, over restarts of the daemon. @throws as `call` */
  wait(id: string, options: Follow): Promise<number>;
}

export interface Waiting {
  readonly signal?: AbortSignal;
}

interface Begin extends Waiting {
  readonly type?: string;
  /** Called when a daemon has taken the connection. */
  readonly onConnect?: () => void;
}

interface Attempt {
  readonly connected: () => void;
  /** Returns when there is to be another one. @throws the error otherwise */
  readonly failed: (error: unknown) => void;
}

export interface Follow {
  readonly signal: AbortSignal;
  /** Called when the daemon has gone away and is waited for. */
  readonly onLost?: (message: string) => void;
}

export type ContainerView = ContainerAnswer;
export type DnsView = DnsAnswer;
export type NameView = NameAnswer;
export type ExposedView = ExposedAnswer;
export type NetworkView = NetworkAnswer;
export type StatusView = StatusAnswer;
export type WaitingView = WaitingAnswer;
export type JoinedView = AnswerOf<'joinHosts'>;
export type PeerView = PeerAnswer;
export type ConnectionView = ConnectionAnswer;
export type TargetView = TargetAnswer;
export type RangeView = RangeAnswer;
export type Frame = OutputFrame;

/** The command of a container could not be executed. */
export class NotExecuted extends Error {
  override readonly name = 'NotExecuted';
  readonly exitCode: 126 | 127;

  constructor(exitCode: 126 | 127, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The daemon failed, or what answers is none. */
export class DaemonFailed extends Error {
  override readonly name = 'DaemonFailed';
}

/** The connection was cut: the daemon ended, or was never there. */
class Lost extends Refusal {}

/** How long a daemon that went away is waited for, in milliseconds. */
const patience = 60_000;

export function openClient(socketPath: string): Client {
  /** `response` has a status below 400, or rejects with what the daemon said. */
  function begin(
    method: string,
    path: string,
    { type, signal, onConnect }: Begin,
  ): { outgoing: ClientRequest; response: Promise<IncomingMessage> } {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = type === undefined ? {} : { 'content-type': type };
    const wait = signal === undefined ? {} : { signal };
    const outgoing = httpRequest({ agent: false, socketPath, method, path: `/v1${path}`, headers, ...wait });
    outgoing.once('response', resolve);
    if (onConnect !== undefined) outgoing.once('socket', (socket) => socket.once('connect', onConnect));
    outgoing.on('error', (cause) => reject(signal?.aborted ? cause : lostBy(cause, socketPath)));
    const response = promise.then(async (answer) => {
      if ((answer.statusCode ?? 500) < 400) return answer;
      throw problemOf(await readJson(answer, socketPath));
    });
    response.catch(() => undefined);
    return { outgoing, response };
  }

  async function call<K extends JsonRouteKey>(key: K, request: CallOf<K>, options: Begin = {}): Promise<AnswerOf<K>> {
    const route: Route & { readonly answer: v.GenericSchema | 'frames' } = routes[key];
    const { params, query, body } = request as { params?: Texts; query?: Texts; body?: object };
    const path = formatPath(route.path, { ...params }, { ...query });
    const type = body === undefined ? {} : { type: 'application/json' };
    const { outgoing, response } = begin(route.method, path, { ...type, ...options });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    const received = await readJson(await response, socketPath);
    if (route.answer === 'frames') throw new Error(`${key} answers with a stream`);
    const answer = v.safeParse(route.answer, received, { abortEarly: true });
    if (answer.success) return answer.output as AnswerOf<K>;
    const [issue] = answer.issues;
    throw new DaemonFailed(
      `the answer of ${socketPath} is not understood: ${v.getDotPath(issue) ?? ''} ${issue.message}`,
    );
  }

  /** Tries again as long as the daemon is away, but not longer than `patience` at a time. */
  async function* tries({ signal, onLost }: Follow): AsyncGenerator<Attempt> {
    let since: number | undefined;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      yield {
        connected: () => {
          since = undefined;
          attempt = 0;
        },
        failed: (error) => {
          if (signal.aborted) return;
          if (!(error instanceof Lost)) throw error;
          if (since === undefined) onLost?.('the daemon went away; waiting for it to come back');
          since ??= Date.now();
          if (Date.now() - since > patience) throw error;
        },
      };
      await pause(delay(attempt, { first: 50, most: 1000 }), signal);
    }
  }

  async function* output(
    id: string,
    { follow, tail, ...waiting }: Follow & { readonly follow: boolean; readonly tail?: number },
  ): AsyncGenerator<Frame> {
    let offset = 0;
    for await (const { connected: onConnect, failed } of tries(waiting)) {
      try {
        const query = tail === undefined ? { follow, offset } : { follow, tail };
        const path = formatPath(routes.readOutput.path, { id }, query);
        const { outgoing, response } = begin('GET', path, { onConnect, signal: waiting.signal });
        outgoing.end();
        for await (const piece of readFrames(cutAware(await response, socketPath))) {
          offset += frameHeader + piece.bytes.length;
          yield piece;
        }
        return;
      } catch (error) {
        // The last lines cannot be told from those before without an offset: such a reader does not come again.
        if (!follow || tail !== undefined) throw error;
        failed(error);
      }
    }
  }

  async function input(id: string, source: Readable, waiting: Follow): Promise<void> {
    const chunks: AsyncIterator<Buffer> = source[Symbol.asyncIterator]();
    let next = chunks.next();
    const path = formatPath(routes.writeInput.path, { id }, {});
    for await (const { connected: onConnect, failed } of tries(waiting)) {
      const { outgoing, response } = begin('POST', path, {
        type: 'application/octet-stream',
        onConnect,
        signal: waiting.signal,
      });
      outgoing.flushHeaders();
      const over = new AbortController();
      const stop = () => over.abort();
      response.then(stop, stop);
      try {
        for (;;) {
          const chunk = await nextUnless(over.signal, next);
          if (chunk === undefined || chunk.done === true) break;
          await written(outgoing, chunk.value);
          next = chunks.next();
        }
        outgoing.end();
        (await response).resume();
        return;
      } catch (error) {
        outgoing.destroy();
        failed(error);
      }
    }
  }

  async function wait(id: string, waiting: Follow): Promise<number> {
    for await (const { connected: onConnect, failed } of tries(waiting)) {
      try {
        return (await call('waitForExit', { params: { id } }, { onConnect, signal: waiting.signal })).StatusCode;
      } catch (error) {
        failed(error);
      }
    }
    throw waiting.signal.reason;
  }

  return { call, output, input, wait };
}

/** Frames out of chunks that are cut anywhere. @throws DecodeError */
export async function* readFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  let left: Uint8Array = new Uint8Array();
  for await (const chunk of chunks) {
    left = left.length === 0 ? chunk : Buffer.concat([left, chunk]);
    for (let next = frame.decode(left); next !== undefined; next = frame.decode(left)) {
      left = next.rest;
      yield next.frame;
    }
  }
}

/** Undefined when the signal aborts first: what comes is not taken then, and nothing of the wait stays on the signal. */
async function nextUnless<T>(signal: AbortSignal, next: Promise<T>): Promise<T | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<T | undefined>();
  const stop = () => resolve(undefined);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  next.then(resolve, reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Resolves when there is room for more; what was cut off, the response's rejection tells. */
async function written(outgoing: ClientRequest, chunk: Buffer): Promise<void> {
  if (outgoing.write(chunk) || outgoing.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  outgoing.once('drain', resolve).once('close', resolve);
  await promise;
  outgoing.off('drain', resolve).off('close', resolve);
}

async function* cutAware(response: IncomingMessage, socketPath: string): AsyncGenerator<Buffer> {
  try {
    yield* response;
  } catch (cause) {
    throw lostBy(cause, socketPath);
  }
}

/** Lists have commas between what they hold. */
type Texts = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

function formatPath(path: string, params: Texts, query: Texts): string {
  const filled = path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(params[name])));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return search.size === 0 ? filled : `${filled}?${search.toString()}`;
}

async function readJson(response: IncomingMessage, socketPath: string): Promise<unknown> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  } catch (cause) {
    throw lostBy(cause, socketPath);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (cause) {
    throw new DaemonFailed(`the answer of ${socketPath} is not JSON: is that a daemon of Skein?`, { cause });
  }
}

function problemOf(answer: unknown): Error {
  const { success, output } = v.safeParse(Problem, answer);
  if (!success) return new DaemonFailed('the daemon failed and did not say why; its log does');
  const { error, kind, exitCode } = output;
  if (kind === 'internal') return new DaemonFailed(`the daemon failed: ${error}`);
  if (kind === 'not-executed') return new NotExecuted(exitCode ?? 127, error);
  return new Refusal(kind, error);
}

function lostBy(cause: unknown, socketPath: string): Error {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'EACCES' || code === 'EPERM') {
    return new Refusal('forbidden', `cannot use ${socketPath}: only root and members of the group skein may`, {
      cause,
    });
  }
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new Lost('unavailable', `no daemon answers at ${socketPath}; start one with skein launch`, { cause });
  }
  return new Lost('unavailable', `the daemon at ${socketPath} went away: ${messageOf(cause)}`, { cause });
}
