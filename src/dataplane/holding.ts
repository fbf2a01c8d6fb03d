import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type Holder, openHolder } from '../kernel/holder.ts';
import { isKernelError, KernelError } from '../kernel/kernel-error.ts';
import type { Syscalls } from '../kernel/syscall.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** Below the run directory: the socket at which it listens. */
export const HOLDER_SOCKET = 'holder.sock';

/** In milliseconds: how long a start may take, and how long none is tried after one that failed. */
const patience = 5_000;
const pause = 60_000;

export interface HoldingOptions {
  /** The socket at which it listens. */
  readonly path: string;
  /** The program `skein-holder`; without it none is started. */
  readonly program?: string;
  readonly log: Log;
}

/**
 * The way to what keeps descriptors while no daemon runs. Nothing depends on it: without it they end with the process, and
 * that is logged once.
 */
export class Holding {
  readonly #sys: Syscalls;
  readonly #options: HoldingOptions;
  #holder: Holder | undefined;
  /** In the clock of `performance.now`. */
  #notBefore = 0;
  #failure: string | undefined;

  constructor(sys: Syscalls, options: HoldingOptions) {
    this.#sys = sys;
    this.#options = options;
  }

  /**
   * Finds or starts one where there is none (any more) that keeps these.
   * @returns all that it keeps, with descriptors of the caller's, if it is another than before
   */
  renew(kept: Iterable<string>): ReadonlyMap<string, number> | undefined {
    if (this.#holder && !this.#holder.isGone()) {
      if (existsSync(this.#options.path)) return undefined;
      // Nobody would find it: what it keeps would stay for good.
      for (const name of kept) this.drop(name);
    }
    this.close();
    if (performance.now() < this.#notBefore) return undefined;
    try {
      const held = this.#found() ?? this.#started();
      if (held !== undefined && this.#failure !== undefined) this.#options.log.info('sockets for names are held again');
      if (held !== undefined) this.#failure = undefined;
      return held;
    } catch (error) {
      this.close();
      this.#notBefore = performance.now() + pause;
      this.#complain(error);
      return undefined;
    }
  }

  /** Why nothing keeps them, as long as that is so though something should. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Does nothing where there is none. */
  keep(name: string, descriptor: number): void {
    this.#try((holder) => holder.keep(name, descriptor));
  }

  drop(name: string): void {
    this.#try((holder) => holder.drop(name));
  }

  close(): void {
    this.#holder?.close();
    this.#holder = undefined;
  }

  #found(): ReadonlyMap<string, number> | undefined {
    this.#holder = openHolder(this.#sys, this.#options.path);
    try {
      return this.#holder?.list();
    } catch (error) {
      // It was about to end.
      if (!isKernelError(error, 'ECONNRESET', 'EPIPE')) throw error;
      this.close();
      return undefined;
    }
  }

  #started(): ReadonlyMap<string, number> | undefined {
    const { path, program } = this.#options;
    if (program === undefined) return undefined;
    const { status, signal, error, stderr } = spawnSync(program, [path], {
      ...{ stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8', timeout: patience, env: {} },
    });
    if (error) throw error;
    if (status !== 0) throw new Error(`${program} ended with ${status ?? signal}: ${stderr.trim()}`);
    this.#holder = openHolder(this.#sys, path);
    if (this.#holder === undefined) throw new Error(`${program} does not listen on ${path}`);
    return this.#holder.list();
  }

  /** Where it fails, the next repair finds another or the same one again. */
  #try(work: (holder: Holder) => void): void {
    if (this.#holder === undefined) return;
    try {
      work(this.#holder);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#complain(error);
      this.close();
    }
  }

  #complain(error: unknown): void {
    const { log, path } = this.#options;
    const isNew = this.#failure === undefined;
    const hangs = isKernelError(error, 'ETIMEDOUT', 'EAGAIN');
    this.#failure = hangs ? `what listens at ${path} does not answer` : messageOf(error);
    if (isNew) {
      log.warn('sockets for names will not outlive this daemon: nothing holds them', { path, error: this.#failure });
    }
  }
}
