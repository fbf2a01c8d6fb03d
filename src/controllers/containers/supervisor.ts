import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { ParseError } from '../../lib/errors.ts';
import { CommandFailed } from './containers.ts';
import { type ControlAnswer, type ControlRequest, controlAnswer, controlRequest } from './control.ts';
import { type ExitRecord, parseExitRecord } from './exit-record.ts';
import { formatShimSpec, type ShimSpec } from './shim-spec.ts';

/** A command cannot be started, for a reason that is not the command's. */
export class ShimError extends Error {
  override readonly name = 'ShimError';
}

export interface ShimPlace {
  /** The supervisor's directory: log, pid, exit record. */
  readonly directory: string;
  /** Path of its control socket. */
  readonly control: string;
  /** The program `skein-shim`. */
  readonly shim: string;
}

/** How long a supervisor may take to answer before it is given up. */
const patience = 10_000;
/** As of a command that was killed. */
export const lostExitCode = 137;

/** A command under its supervisor, which may have ended. */
export interface Supervisor {
  readonly place: ShimPlace;
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly started: number;
  /** Resolves when the command has ended and its exit record and log are whole. Never rejects. */
  readonly end: Promise<ExitRecord>;
  hasEnded(): boolean;
  /** @returns errno, 0 when done; ESRCH's when it has ended */
  ask(request: ControlRequest & { kind: 'size' | 'signal' }): Promise<number>;
  /** Lets go of it; the command runs on. */
  close(): void;
}

/** Starts a command; resolves when it has been executed. Nothing of a failed attempt runs on. @throws CommandFailed, ShimError, Refusal */
export async function startSupervisor(place: ShimPlace, spec: ShimSpec): Promise<Supervisor> {
  const bytes = formatShimSpec(spec);
  await mkdir(place.directory, { recursive: true, mode: 0o700 });
  await writeFile(join(place.directory, 'spec'), bytes, { mode: 0o600 });
  const { code, output, errors } = await runShim(place.shim, spec.mode, place.directory);
  if (code === 126 || code === 127) throw new CommandFailed(code, errors);
  const [, pid, started] = /^(\d+) (\d+)$/.exec(output) ?? [];
  if (code !== 0 || pid === undefined || started === undefined) {
    throw new ShimError(`start ${spec.command[0]}: ${errors || `${place.shim} ended with ${code}`}`);
  }
  const line = await connect(place.control);
  return supervise(place, { pid: Number(pid), started: Number(started) }, line);
}

/**
 * Finds a command that an earlier life of the daemon started: running, ended, `unstarted` (and it will not start any more),
 * or `lost`, its supervisor being gone without an exit record; what was left of it is then killed.
 */
export async function findSupervisor(place: ShimPlace): Promise<Supervisor | 'unstarted' | 'lost'> {
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const line = await connect(place.control);
    if (line !== undefined) {
      const answer = await line.ask({ kind: 'ping' });
      if (answer?.kind === 'ping') return supervise(place, answer, line);
      line.close();
    }
    const exit = await readExit(place.directory);
    if (exit !== undefined) {
      const ended = supervise(place, { pid: 0, started: exit.started }, undefined);
      await ended.end;
      return ended;
    }
    // Who unlinks the spec decides: after us no supervisor starts any more. If one was quicker, it answers or is gone.
    const mine = await unlink(join(place.directory, 'spec')).then(
      () => true,
      () => false,
    );
    if (mine) return 'unstarted';
  }
  await endRemains(place);
  return 'lost';
}

/** A command whose supervisor was killed dies with it, unless it had changed its user meanwhile (prctl(2), PR_SET_PDEATHSIG). */
async function endRemains({ shim, directory }: ShimPlace): Promise<void> {
  await runShim(shim, 'end', directory).catch(() => undefined);
}

function supervise(place: ShimPlace, who: { pid: number; started: number }, line: Line | undefined): Supervisor {
  let ended = false;
  let closed = false;
  const end = (async () => {
    await line?.closed;
    if (closed) return await new Promise<never>(() => undefined);
    const exit = await readExit(place.directory);
    if (exit === undefined) await endRemains(place);
    await rm(place.control, { force: true }).catch(() => undefined);
    ended = true;
    return exit ?? { exitCode: lostExitCode, started: who.started, finished: Date.now(), lost: 0 };
  })();
  return {
    ...who,
    place,
    end,
    hasEnded: () => ended,
    async ask(request) {
      const answer = await line?.ask(request);
      return answer !== undefined && answer.kind !== 'ping' ? answer.errno : 3;
    },
    close() {
      closed = true;
      line?.close();
    },
  };
}

async function readExit(directory: string): Promise<ExitRecord | undefined> {
  const path = join(directory, 'exit');
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return parseExitRecord(text, path);
  } catch (error) {
    // Torn by a power cut: as if it had not been written.
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

async function runShim(
  shim: string,
  mode: 'run' | 'exec' | 'end',
  directory: string,
): Promise<{ code: number; output: string; errors: string }> {
  const child = spawn(shim, [mode, directory], { stdio: ['ignore', 'pipe', 'pipe'], env: {}, cwd: '/' });
  const texts = Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', (cause) => reject(new ShimError(`execute ${shim}: ${cause.message}`, { cause })));
  child.once('close', (code) => resolve(code ?? 125));
  const [code, [output, errors]] = await Promise.all([promise, texts]);
  return { code, output: Buffer.concat(output).toString().trim(), errors: Buffer.concat(errors).toString().trim() };
}

/** A connection to a supervisor. Its end is the supervisor's end: nobody else closes it but us. */
interface Line {
  readonly closed: Promise<void>;
  /** Answers come in order; undefined when there is none. */
  ask(request: ControlRequest): Promise<ControlAnswer | undefined>;
  close(): void;
}

/** Opens a socket to a supervisor; undefined when nobody listens. */
export async function openControl(path: string): Promise<Socket | undefined> {
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>();
  const socket = createConnection(path, () => resolve(socket));
  // After an error comes 'close', which is what is acted on.
  socket.on('error', () => resolve(undefined));
  return await promise;
}

async function connect(path: string): Promise<Line | undefined> {
  const socket = await openControl(path);
  if (socket === undefined) return undefined;
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
  return {
    closed: closed.promise,
    async ask(request) {
      if (socket.destroyed) return undefined;
      const { promise, resolve } = Promise.withResolvers<ControlAnswer | undefined>();
      waiting.push(resolve);
      socket.write(controlRequest.encode(request));
      const late = setTimeout(() => socket.destroy(), patience);
      const answer = await promise;
      clearTimeout(late);
      return answer;
    },
    close: () => socket.destroy(),
  };
}
