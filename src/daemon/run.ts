import { closeSync, rmSync, writeSync } from 'node:fs';
import { answers } from '../adapters/api/server.ts';
import { releaseText } from '../kernel/program-text.ts';
import { openSyscalls } from '../kernel/syscall.ts';
import { messageOf, Refusal } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Scope } from '../lib/scope.ts';
import { handedOver } from '../model/setting-values.ts';
import type { Settings } from '../model/settings.ts';
import { pathsOf } from './paths.ts';
import { lockRunDirectory, pidIn } from './run-lock.ts';
import { notify, takeSockets } from './systemd.ts';
import type { DaemonInit } from './wire.ts';

export interface RunInit {
  readonly settings: Settings;
  readonly log: Log;
  readonly open: (init: DaemonInit) => Promise<{ close(): Promise<void> }>;
  /** Called once: with nothing when everything serves, or with why it does not. */
  readonly onReady: (failure?: string) => void;
}

/** After it, code of Node that only a start needs is not needed any more. */
const START_IS_OVER_MS = 5_000;

/**
 * The life of the daemon: from the first look whether another one lives here, over its signals, to the end. It ends by
 * SIGTERM, SIGINT or `skein stop`, and closes everything in order; the kernel keeps what it has.
 *
 * What nobody caught ends it too, at once and with code 1: nothing is known any more about the state in memory, while that
 * in the kernel and the journal is whole at any point, and the next start takes it up.
 * @returns the exit code
 */
export async function runDaemon({ settings, log, open, onReady }: RunInit): Promise<number> {
  const ending = Promise.withResolvers<Error | undefined>();
  const stop = (reason?: Error) => ending.resolve(reason);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop());
  // A terminal that is gone is no reason to end.
  process.on('SIGHUP', () => undefined);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.error('ended by an error that nobody caught', { event, error });
      process.exit(1);
    });
  }
  const { runDir } = settings;
  const { pid: pidFile, socket } = pathsOf(settings);
  const systemd = { env: process.env, sys: openSyscalls() };
  const scope = new Scope();
  try {
    const handed = takeSockets(systemd);
    if (settings.host.includes(handedOver) && handed.length === 0) {
      throw new Refusal(
        'invalid',
        'cannot listen at fd://: systemd has handed no socket over; start skein.socket, or leave -H fd:// out',
      );
    }
    const isHanded = (path: string) => path === handedOver || handed.some((each) => each.path === path);
    const sockets = (settings.host.length > 0 ? settings.host : [socket]).filter((path) => !isHanded(path));
    for (const path of new Set([...sockets, socket])) {
      if (isHanded(path)) continue;
      if (await answers(path)) throw new Refusal('conflict', `another daemon${pidIn(pidFile)} answers at ${path}`);
    }
    const lock = lockRunDirectory({ runDir, pidFile }, systemd.sys);
    scope.defer(() => {
      rmSync(pidFile, { force: true });
      lock.close();
    });
    // Sockets of systemd are listened at once in a process: it starts another when somebody comes.
    const life = new Life((restart) => open({ settings, log, sockets, handed, stop, restart }), {
      stop,
      ...(handed.length > 0 && { again: () => stop() }),
    });
    await life.begin();
    scope.defer(() => life.close());
  } catch (error) {
    log.error('the daemon could not start', { error });
    onReady(messageOf(error));
    await scope.close();
    return 1;
  }
  onReady();
  notify('READY=1', systemd);
  const started = setTimeout(() => shrink(() => releaseText(systemd.sys, process.execPath), log), START_IS_OVER_MS);
  scope.defer(() => clearTimeout(started));
  const reason = await ending.promise;
  if (reason !== undefined) log.error('the daemon ends', { error: reason });
  else log.info('the daemon ends');
  notify('STOPPING=1', systemd);
  try {
    await scope.close();
  } catch (error) {
    log.error('not everything could be closed', { error });
    return 1;
  }
  return reason === undefined ? 0 : 1;
}

interface Closable {
  close(): Promise<void>;
}

/** The daemon's parts, which may have to be opened anew, in the same process. */
class Life {
  readonly #open: (restart: () => void) => Promise<Closable>;
  readonly #stop: (reason: Error) => void;
  readonly #again: () => void;
  #parts: Closable | undefined;
  /** What is under way: opening, or opening anew. It does not reject. */
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    open: (restart: () => void) => Promise<Closable>,
    { stop, again = () => this.#renew() }: { stop: (reason: Error) => void; again?: () => void },
  ) {
    this.#open = open;
    this.#stop = stop;
    this.#again = again;
  }

  async begin(): Promise<void> {
    const opening = this.#begin();
    this.#work = opening.catch(() => undefined);
    await opening;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#work;
    await this.#parts?.close();
  }

  async #begin(): Promise<void> {
    let asked = false;
    this.#parts = await this.#open(() => {
      if (asked) return;
      asked = true;
      this.#again();
    });
  }

  /** May be asked for by parts that are being opened still. */
  #renew(): void {
    const before = this.#work;
    this.#work = (async () => {
      await before;
      try {
        await this.#parts?.close();
        this.#parts = undefined;
        if (!this.#closed) await this.#begin();
      } catch (error) {
        this.#stop(error instanceof Error ? error : new Error(String(error)));
      }
    })();
  }
}

/** Less memory is welcome and no more: whatever keeps it from being given back ends nothing. */
export function shrink(release: () => void, log: Pick<Log, 'debug'>): void {
  try {
    release();
  } catch (error) {
    log.debug('the code of the start stays in memory', { error: messageOf(error) });
  }
}

/** Tells whoever started the daemon in the background how it went: one line on a file descriptor, which is then closed. */
export function tell(fd: number | undefined, failure: string | undefined): void {
  if (fd === undefined) return;
  writeSync(fd, failure === undefined ? 'ready\n' : `${failure}\n`);
  closeSync(fd);
}
