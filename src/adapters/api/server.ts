import { chmod, chown, readFile, unlink } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { CommandFailed } from '../../controllers/containers/containers.ts';
import { messageOf, ParseError, Refusal, type RefusalKind } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Scope } from '../../lib/scope.ts';
import { type Answering, type ApiNeeds, type Handlers, type JsonHandlers, openHandlers } from './handlers.ts';
import { createServer } from './http.ts';
import { matchRoute } from './match.ts';
import { parseBody, parseInput } from './parse.ts';
import { type JsonRouteKey, type RequestOf, type Route, type RouteKey, routes } from './routes.ts';
import { longestBody, NoQuery, type Problem } from './schema.ts';
import { openWaitingHandlers, refuseWaiting, type WaitingNeeds } from './waiting.ts';

export interface ApiInit {
  /** Paths of the unix sockets to listen on. */
  readonly sockets: readonly string[];
  /** Sockets that listen already, and go on when this process has ended. */
  readonly handed?: readonly HandedSocket[];
}

export interface HandedSocket {
  readonly fd: number;
  readonly path: string;
}

/** What a route is asked, and how it is answered. */
interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
}

const statuses = {
  invalid: 400,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  unsupported: 501,
  unavailable: 503,
} as const satisfies Record<RefusalKind, number>;

/**
 * Serves the API, of a host that belongs to a cluster or of one that waits for it; resolves when every socket listens.
 * Closing cuts streams off, so that their readers come again.
 */
export async function openApi(
  needs: (ApiNeeds | WaitingNeeds) & { readonly log: Log },
  { sockets, handed = [] }: ApiInit,
): Promise<{ close(): Promise<void> }> {
  const handlers = 'waiting' in needs ? openWaitingHandlers(needs) : openHandlers(needs);
  const answer = answerWith(handlers, needs.log);
  const scope = new Scope();
  try {
    const serverFor = () => {
      const server = createServer(answer);
      // A stream to a container's input may take days.
      server.requestTimeout = 0;
      return server;
    };
    for (const { fd, path } of handed) {
      const server = serverFor();
      await listenAt(server, { fd }, path);
      scope.defer(() => closeServer(server));
      await admit(path);
    }
    for (const path of sockets) {
      const server = serverFor();
      await listen(server, path);
      scope.defer(async () => {
        await closeServer(server);
        await unlink(path).catch(() => undefined);
      });
      await admit(path);
    }
  } catch (error) {
    await scope.close();
    throw error;
  }
  return scope;
}

/** Whether a daemon answers on this socket. */
export function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ path }, () => resolve(true));
  socket.once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

/** What no handler is there for needs a cluster. */
function answerWith(handlers: Partial<Handlers>, log: Log): RequestListener {
  return (incoming, outgoing) => {
    const { method = '', url = '' } = incoming;
    const end = url.indexOf('?');
    const path = end < 0 ? url : url.slice(0, end);
    const fail = (error: unknown) => {
      // Who asked has gone: nobody is told, and nothing is wrong.
      if (outgoing.destroyed) return;
      const { status, problem } = problemOf(error);
      if (status === 500) log.error('request failed', { method, path, error });
      if (outgoing.headersSent) outgoing.destroy();
      else sendJson(outgoing, status, problem);
    };
    const match = matchRoute(method, path);
    if (!match) return fail(new Refusal('not-found', `there is no ${method} ${path}`));
    const query = end < 0 ? {} : queryOf(url.slice(end + 1));
    serve(match.key, { incoming, outgoing, params: match.params, query }, handlers).catch(fail);
  };
}

/** Of a name that stands twice, the first. */
function queryOf(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries([...new URLSearchParams(text)].reverse());
}

async function serve(key: RouteKey, exchange: Exchange, handlers: Partial<Handlers>): Promise<void> {
  const { incoming, outgoing } = exchange;
  const signal = signalOf(outgoing);
  if (key === 'readOutput') {
    const output = handlerOf(handlers, key);
    await sendFrames(output(await read(key, exchange), { signal }), outgoing);
  } else if (key === 'writeInput') {
    const input = handlerOf(handlers, key);
    await receiveBytes(incoming, input(await read(key, exchange)));
    sendJson(outgoing, 200, {});
  } else {
    const afterwards = (task: () => void) => {
      if (outgoing.closed) task();
      else outgoing.once('close', task);
    };
    sendJson(outgoing, 200, await call(key, exchange, handlers, { signal, afterwards }));
  }
}

/** Aborts when the asker goes away before all of the answer was sent. */
function signalOf(outgoing: ServerResponse): AbortSignal {
  const gone = new AbortController();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  return gone.signal;
}

async function call<K extends JsonRouteKey>(
  key: K,
  exchange: Exchange,
  handlers: Partial<JsonHandlers>,
  answering: Answering,
): Promise<object> {
  const handler = handlerOf(handlers, key);
  return await handler(await read(key, exchange), answering);
}

/** @throws Refusal 'unavailable' when it is one that only a host with a cluster has */
function handlerOf<H extends Partial<Handlers>, K extends keyof H>(handlers: H, key: K): NonNullable<H[K]> {
  const handler = handlers[key];
  if (handler === undefined || handler === null) throw refuseWaiting();
  return handler;
}

function sendJson(outgoing: ServerResponse, status: number, value: object): void {
  const body = Buffer.from(JSON.stringify(value));
  outgoing.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}

/** The parts of a request that the route has, each read with its schema. @throws Refusal 'invalid' */
async function read<K extends RouteKey>(key: K, exchange: Exchange): Promise<RequestOf<K>> {
  const { params, query, body }: Route = routes[key];
  return {
    params: params && parseInput(params, exchange.params, 'the path'),
    query: parseInput(query ?? NoQuery, exchange.query, 'the query'),
    body: body === undefined || body === 'bytes' ? undefined : parseInput(body, await readBody(exchange), 'the body'),
  } as RequestOf<K>;
}

async function readBody({ incoming }: Exchange): Promise<unknown> {
  const bytes = await readBytes(incoming);
  const type = incoming.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (bytes.length > 0 && type !== 'application/json') {
    throw new Refusal(
      'invalid',
      `the body: is ${JSON.stringify(type ?? 'of no type').slice(0, 80)}, not application/json`,
    );
  }
  return parseBody(bytes, 'the body');
}

/** What is too long is read on and thrown away, up to a limit, so that the sender gets to read the answer. */
async function readBytes(incoming: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length <= longestBody) chunks.push(chunk);
    else if (length > 64 * longestBody) break;
  }
  if (length > longestBody) throw new Refusal('invalid', `the body: is longer than ${longestBody} bytes`);
  return Buffer.concat(chunks);
}

async function sendFrames(frames: NodeJS.ReadableStream, outgoing: ServerResponse): Promise<void> {
  outgoing.writeHead(200, { 'content-type': 'application/octet-stream' });
  outgoing.flushHeaders();
  // Either end may go away at any time; the other is then destroyed, which is all there is to do.
  await pipeline(frames, outgoing).catch(() => undefined);
}

/** The end of the body ends the input; a sender that goes away does not. */
async function receiveBytes(incoming: IncomingMessage, input: NodeJS.WritableStream): Promise<void> {
  await pipeline(incoming, input, { end: false });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  input.once('error', reject);
  input.end(resolve);
  await promise;
}

function problemOf(error: unknown): { status: 400 | 403 | 404 | 409 | 500 | 501 | 503; problem: Problem } {
  const message = messageOf(error);
  if (error instanceof Refusal) return { status: statuses[error.kind], problem: { error: message, kind: error.kind } };
  if (error instanceof ParseError) return { status: 400, problem: { error: message, kind: 'invalid' } };
  if (error instanceof CommandFailed) {
    return { status: 400, problem: { error: message, kind: 'not-executed', exitCode: error.exitCode } };
  }
  return { status: 500, problem: { error: message, kind: 'internal' } };
}

async function listen(server: Server, path: string): Promise<void> {
  if (await answers(path))
    throw new Refusal('conflict', `another daemon answers at ${path}; end it first with skein stop`);
  await unlink(path).catch(() => undefined);
  await listenAt(server, { path }, path);
}

async function listenAt(server: Server, at: { path: string } | { fd: number }, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(at, resolve);
  await promise.catch((cause: unknown) => {
    throw new Refusal('invalid', `cannot listen at ${path}: ${messageOf(cause)}`, { cause });
  });
}

/** Root may use the socket, and the group `skein` if there is one: who may use it is as powerful as root. */
async function admit(path: string): Promise<void> {
  await chmod(path, 0o660);
  const group = groupId(await readFile('/etc/group', 'utf8').catch(() => ''), 'skein');
  if (group !== undefined && process.getuid?.() === 0) await chown(path, 0, group);
}

function groupId(groups: string, name: string): number | undefined {
  const line = groups.split('\n').find((text) => text.startsWith(`${name}:`));
  const id = Number(line?.split(':')[2]);
  return Number.isInteger(id) && line !== undefined ? id : undefined;
}

async function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}
