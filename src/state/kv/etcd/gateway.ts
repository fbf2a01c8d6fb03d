import type { Dispatcher, Pool } from 'undici';
// All of undici, with fetch and WebSocket, is 3 MB more of memory and 50 ms of the daemon's start.
import request from 'undici/lib/api/api-request.js';
import ConnectionPool from 'undici/lib/dispatcher/pool.js';
import { Bell } from '../../../lib/backoff.ts';
import { messageOf } from '../../../lib/errors.ts';
import { StoreError, type StoreStatus } from '../store.ts';
import type { Credentials } from './credentials.ts';
import { EtcdError } from './etcd-error.ts';
import { lines } from './lines.ts';
import { Login } from './login.ts';
import { parseFailure } from './messages.ts';

/**
 * etcd's v3 JSON gateway (`POST /v3/kv/range` and so on) on one or several members. Calls go to one member until it
 * fails, then to the next; what may have been done already is not sent twice, the caller decides.
 */
export interface GatewayOptions {
  /** `host:port` each. */
  readonly members: readonly string[];
  /** For `status` and the sentences. */
  readonly url: string;
  readonly credentials?: Credentials;
  /** For one call on all members that are tried, in milliseconds. */
  readonly timeout?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Reads, and what may happen twice, are sent to the next member when one fails after it may have got them. */
  readonly repeatable?: boolean;
}

/** Deadline, resources, unavailable: the same call may go through later. */
const passing = new Set([4, 8, 14]);
/** Errors after which the member has surely not seen the call. */
const unsent = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const most = { answer: 256 * 1024 * 1024, failure: 64 * 1024, message: 32 * 1024 * 1024 } as const;

interface Member {
  readonly origin: string;
  readonly calls: Pool;
  readonly streams: Pool;
  healthy: boolean;
  pulse?: Promise<void>;
}

export class Gateway {
  readonly #members: readonly Member[];
  readonly #url: string;
  readonly #timeout: number;
  readonly #login: Login | undefined;
  #current = 0;
  #lastAnswer: string | undefined;
  #failingSince: string | undefined;
  #lastError: string | undefined;
  #outages = 0;
  readonly #back = new Bell();
  #position: number | undefined;

  constructor({ members, url, credentials: { tls, login } = {}, timeout = 3_500 }: GatewayOptions) {
    this.#url = url;
    this.#timeout = timeout;
    const scheme = tls === undefined ? 'http' : 'https';
    this.#members = members.map((member) => ({ ...poolsOf(`${scheme}://${member}`, tls), healthy: true }));
    this.#login = login === undefined ? undefined : new Login(login);
  }

  /** @throws StoreError, EtcdError */
  async call(path: string, body: object, { signal, repeatable = false }: CallOptions = {}): Promise<unknown> {
    const deadline = performance.now() + this.#timeout;
    const each = this.#members.length === 1 ? this.#timeout : this.#timeout / 2.5;
    let failure: unknown;
    for (let tried = 0; tried < this.#members.length; tried++) {
      const left = deadline - performance.now();
      if (tried > 0 && (left < 50 || signal?.aborted)) break;
      const member = this.#at(this.#current);
      try {
        const answer = await this.#post(member, path, body, { signal, timeout: Math.min(each, left) });
        this.#answered(member);
        return answer;
      } catch (error) {
        failure = error;
        if (signal?.aborted) {
          this.#outages += 1;
          break;
        }
        if (error instanceof EtcdError && !error.retry) {
          this.#answered(member);
          break;
        }
        this.#failed(member, error);
        if (!repeatable && !isUnsent(error)) break;
      }
    }
    throw this.#error(failure);
  }

  /**
   * Opens a stream of messages on one member: one JSON value a line. It ends with an error when the member stops
   * answering other calls too, so that a stream that has gone silent for good is noticed.
   * @throws StoreError, EtcdError
   */
  async *stream(path: string, body: object, { signal }: { signal: AbortSignal }): AsyncGenerator<unknown> {
    const member = this.#at(this.#current);
    const dead = new AbortController();
    const either = AbortSignal.any([signal, dead.signal]);
    const heart = setInterval(() => {
      this.#beat(member).catch((error: unknown) => dead.abort(error));
    }, pulse.every);
    // A reader that lets go of the stream without ending it must not keep the process.
    either.addEventListener('abort', () => clearInterval(heart), { once: true });
    try {
      const login = await this.#login?.headers((body) =>
        post(member.calls, '/v3/auth/authenticate', body, { signal: either, timeout: pulse.patience }),
      );
      const { statusCode, body: answer } = await request.call(member.streams, {
        ...requestOf(path, body),
        headers: { ...json, ...login, 'grpc-metadata-hasleader': 'true' },
        signal: either,
      });
      if (statusCode !== 200) throw failureOf(statusCode, await textOf(answer, most.failure));
      this.#answered(member);
      for await (const line of lines(answer, most.message)) {
        const message = parseText(line);
        const failure = parseFailure(message);
        if (failure) throw etcdError(failure);
        yield message;
      }
    } catch (error) {
      if (signal.aborted) return;
      const reason = dead.signal.aborted ? dead.signal.reason : error;
      if (!(reason instanceof EtcdError && !reason.retry)) this.#failed(member, reason);
      throw this.#error(reason);
    } finally {
      clearInterval(heart);
      dead.abort();
      // However it ended: who listens where it went on is not asked by the stream.
      if (!signal.aborted) this.#outages += 1;
    }
  }

  /** A revision that an answer or an event told of. */
  told(revision: bigint): void {
    this.#position = Number(revision);
  }

  /** With the token of our login, and once more with a new one where etcd takes it for old: it did nothing then. */
  async #post(member: Member, path: string, body: object, options: PostOptions): Promise<unknown> {
    if (this.#login === undefined) return await post(member.calls, path, body, options);
    const authenticate = (login: object) => post(member.calls, '/v3/auth/authenticate', login, options);
    const headers = await this.#login.headers(authenticate);
    try {
      return await post(member.calls, path, body, { ...options, headers });
    } catch (error) {
      if (!(error instanceof EtcdError) || !this.#login.isOver(error)) throw error;
      this.#login.forget(headers);
      return await post(member.calls, path, body, { ...options, headers: await this.#login.headers(authenticate) });
    }
  }

  /** What a stream was refused for may be an old token. */
  renewLogin(): void {
    this.#login?.forget();
  }

  /** A reading that needs the member's quorum; streams of one member share it. What we may not read is an answer too. */
  #beat(member: Member): Promise<void> {
    const read = { key: 'AA==', keys_only: true };
    member.pulse ??= this.#post(member, '/v3/kv/range', read, { timeout: pulse.patience })
      .catch((error: unknown) => {
        if (!(error instanceof EtcdError) || error.retry) throw error;
      })
      .then(() => this.#answered(member))
      .finally(() => {
        delete member.pulse;
      });
    return member.pulse;
  }

  /** Aborts when it answers again after it had failed. */
  get back(): AbortSignal {
    return this.#back.signal;
  }

  status(): StoreStatus {
    return {
      url: this.#url,
      members: this.#members.map(({ origin, healthy }) => ({ url: origin, healthy })),
      ...(this.#lastAnswer !== undefined && { lastAnswer: this.#lastAnswer }),
      ...(this.#failingSince !== undefined && { failingSince: this.#failingSince }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
      outages: this.#outages,
      ...(this.#position !== undefined && { position: this.#position }),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.flatMap(({ calls, streams }) => [calls.destroy(), streams.destroy()]));
  }

  #at(index: number): Member {
    const member = this.#members[index % this.#members.length];
    if (member === undefined) throw new StoreError('the store has no member', { retry: false });
    return member;
  }

  #answered(member: Member): void {
    member.healthy = true;
    this.#lastAnswer = new Date().toISOString();
    this.#lastError = undefined;
    if (this.#failingSince === undefined) return;
    this.#failingSince = undefined;
    this.#back.ring();
  }

  #failed(member: Member, error: unknown): void {
    member.healthy = false;
    this.#outages += 1;
    if (this.#at(this.#current) === member) this.#current = (this.#current + 1) % this.#members.length;
    this.#failingSince ??= new Date().toISOString();
    this.#lastError = `${member.origin}: ${reasonOf(error)}`;
  }

  #error(cause: unknown): StoreError {
    const message = `the store ${this.#url} failed: ${reasonOf(cause)}`;
    if (cause instanceof EtcdError) return new EtcdError(message, { cause, code: cause.code, retry: cause.retry });
    return new StoreError(message, { cause, retry: cause instanceof StoreError ? cause.retry : true });
  }
}

const pulse = { every: 3_000, patience: 3_000 } as const;
/** Without `accept` etcd takes the name in its own certificate for that of the user who asks. */
const json = { 'content-type': 'application/json', accept: 'application/json' } as const;

function poolsOf(origin: string, tls: Credentials['tls']): Pick<Member, 'origin' | 'calls' | 'streams'> {
  // libuv then probes every second and gives up after ten: a peer that vanished is noticed within 15 s.
  const connect = { ...tls, timeout: 1_500, keepAlive: true, keepAliveInitialDelay: 5_000 };
  return {
    origin,
    calls: new ConnectionPool(origin, { connections: 32, keepAliveTimeout: 60_000, connect }),
    streams: new ConnectionPool(origin, { connections: null, headersTimeout: 5_000, bodyTimeout: 0, connect }),
  };
}

function requestOf(path: string, body: object): Dispatcher.RequestOptions {
  return { path, method: 'POST', headers: json, body: JSON.stringify(body) };
}

interface PostOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeout: number;
  readonly headers?: Readonly<Record<string, string>>;
}

async function post(
  pool: Pool,
  path: string,
  body: object,
  { signal, timeout, headers = {} }: PostOptions,
): Promise<unknown> {
  const over = new AbortController();
  const late = () => over.abort(new StoreError(`it did not answer within ${Math.round(timeout)} ms`, { retry: true }));
  const timer = setTimeout(late, timeout);
  const abort = () => over.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const asked = { ...requestOf(path, body), headers: { ...json, ...headers } };
    const answer = await request.call(pool, { ...asked, signal: over.signal });
    const text = await textOf(answer.body, most.answer);
    if (answer.statusCode !== 200) throw failureOf(answer.statusCode, text);
    const message = parseText(text);
    const failure = parseFailure(message);
    if (failure) throw etcdError(failure);
    return message;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

async function textOf(body: AsyncIterable<Uint8Array>, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > limit) throw new StoreError(`its answer is longer than ${limit} bytes`, { retry: false });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StoreError('its answer is not JSON; is it an etcd', { cause, retry: true });
  }
}

function failureOf(statusCode: number, text: string): StoreError {
  try {
    const failure = parseFailure(JSON.parse(text));
    if (failure) return etcdError(failure);
  } catch {
    // Not JSON: the status says more.
  }
  if (text.startsWith('CommonName of client')) {
    const message = 'it asks for logins and then takes only client certificates without a CommonName (CN): make one';
    return new StoreError(message, { retry: false });
  }
  return new StoreError(`it answered with HTTP status ${statusCode}; is it an etcd with the v3 API`, {
    retry: statusCode >= 500,
  });
}

function etcdError({ code, message }: { code: number; message: string }): EtcdError {
  return new EtcdError(message, { code, retry: passing.has(code) });
}

function isUnsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && unsent.has(String(error.code));
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(messageOf))].join(', ');
  return messageOf(error);
}
