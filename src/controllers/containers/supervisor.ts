import { readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { delay, pause } from '../../lib/backoff.ts';
import { ParseError } from '../../lib/errors.ts';
import { CommandFailed } from './containers.ts';
import type { ControlRequest } from './control.ts';
import { type ExitRecord, parseExitRecord } from './exit-record.ts';
import { type Line, openLine } from './line.ts';
import { runShim, ShimError, type ShimPlace } from './shim.ts';
import { formatShimSpec, type ShimSpec } from './shim-spec.ts';

/** How many milliseconds a supervisor may take to answer before the asker is told that it does not. */
export const patience = 10_000;
/** Between two looks at a supervisor that nobody can talk to. */
const pauses = { first: 50, most: 5_000 } as const;
const ESRCH = 3;
/** As of a command that was killed. */
const lostExitCode = 137;

export interface Command {
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly started: number;
}

export interface End extends ExitRecord {
  /** False when there is no record of it: its supervisor was killed, and it with it, or it never began and will not. */
  readonly recorded: boolean;
}

/**
 * Starts a command; resolves when it has been executed. Nothing of a failed attempt runs on.
 * @throws CommandFailed, ShimError, Refusal
 */
export async function startSupervisor(
  place: ShimPlace,
  spec: ShimSpec,
): Promise<{ supervisor: Supervisor; command: Command }> {
  await writeFile(join(place.directory, 'spec'), formatShimSpec(spec), { mode: 0o600 });
  const { code, output, errors } = await runShim(place, spec.mode);
  if (code === 126 || code === 127) throw new CommandFailed(code, errors);
  const [, pid, started] = /^(\d+) (\d+)$/.exec(output) ?? [];
  if (code !== 0 || pid === undefined || started === undefined) {
    throw new ShimError(`start ${spec.command[0]}: ${errors || `${place.shim} ended with ${code}`}`);
  }
  const command = { pid: Number(pid), started: Number(started) };
  return { supervisor: await Supervisor.open(place, command), command };
}

/**
 * A command under its supervisor, from here on or from an earlier life of the daemon. That a supervisor does not answer, or
 * that a line to it closes, says nothing about the command: it has ended when there is a record of that, or when the lock is
 * free which its supervisor holds for as long as it lives. Until then it is called again and again.
 */
export class Supervisor {
  readonly place: ShimPlace;
  /** Resolves when the command has ended and its exit record and log are whole. Never rejects. */
  readonly end: Promise<End>;
  readonly #known = new AbortController();
  readonly #ended = new AbortController();
  readonly #closed = new AbortController();
  #command: Command | undefined;
  #line: Line | undefined;
  #endedAt: number | undefined;

  static async open(place: ShimPlace, command?: Command): Promise<Supervisor> {
    return new Supervisor(place, command, await call(place));
  }

  private constructor(place: ShimPlace, command: Command | undefined, line: Line | undefined) {
    this.place = place;
    this.#command = command;
    this.#line = line;
    if (command !== undefined) this.#known.abort();
    this.end = this.#follow();
  }

  /** Undefined until the supervisor has answered for the first time. */
  get command(): Command | undefined {
    return this.#command;
  }

  /** Aborts when the command is known, or its end. */
  get known(): AbortSignal {
    return this.#known.signal;
  }

  /** Aborts just before `end` resolves. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** For how many milliseconds it is known to have ended; 0 while it is not. */
  get endedFor(): number {
    return this.#endedAt === undefined ? 0 : performance.now() - this.#endedAt;
  }

  /** @returns errno, 0 when done; ESRCH's when it has ended; `silent` when there is no answer in time: it may be done yet */
  async ask(request: ControlRequest & { kind: 'size' | 'signal' }): Promise<number | 'silent'> {
    const deadline = performance.now() + patience;
    while (!this.ended.aborted) {
      const left = deadline - performance.now();
      if (left <= 0) return 'silent';
      const answer = await this.#line?.ask(request, left);
      if (answer === 'silent') return answer;
      if (answer !== undefined && answer.kind !== 'ping') return answer.errno;
      // Cut off, by its end or for another caller's sake: either shows soon, and asking twice does no harm.
      await pause(Math.min(pauses.first, left), this.ended);
    }
    return ESRCH;
  }

  /** Lets go of it; the command runs on, and `end` will not resolve any more. */
  close(): void {
    this.#closed.abort();
    this.#line?.close();
  }

  async #follow(): Promise<End> {
    for (let attempt = 0; ; attempt += 1) {
      if (this.#line !== undefined) {
        if (this.#command === undefined) void this.#greet(this.#line);
        await this.#line.closed;
        this.#line = undefined;
        attempt = 0;
      }
      const end = this.#closed.signal.aborted ? undefined : await findEnd(this.place, this.#command);
      if (this.#closed.signal.aborted) return await new Promise<never>(() => undefined);
      if (end !== undefined) {
        this.#endedAt = performance.now();
        this.#ended.abort();
        this.#known.abort();
        return end;
      }
      await pause(delay(attempt, pauses), this.#closed.signal);
      this.#line = await call(this.place);
      if (this.#closed.signal.aborted) this.#line?.close();
    }
  }

  async #greet(line: Line): Promise<void> {
    const answer = await line.ask({ kind: 'ping' });
    if (answer === undefined || answer === 'silent' || answer.kind !== 'ping') return;
    this.#command = { pid: answer.pid, started: answer.started };
    this.#known.abort();
  }
}

async function call({ control }: ShimPlace): Promise<Line | undefined> {
  const line = await openLine(control);
  return typeof line === 'object' ? line : undefined;
}

/** Undefined while the supervisor lives, or may. What a dead one left running is killed. */
async function findEnd(place: ShimPlace, command: Command | undefined): Promise<End | undefined> {
  let exit = await readExit(place.directory);
  if (exit === undefined && !(await isOver(place))) return undefined;
  exit ??= await readExit(place.directory);
  await rm(place.control, { force: true }).catch(() => undefined);
  if (exit !== undefined) return { ...exit, recorded: true };
  const finished = Date.now();
  return { exitCode: lostExitCode, started: command?.started ?? finished, finished, lost: 0, recorded: false };
}

/** Who unlinks the spec decides: after us no supervisor starts any more. Else it is over when none lives that has started. */
async function isOver(place: ShimPlace): Promise<boolean> {
  try {
    await unlink(join(place.directory, 'spec'));
    return true;
  } catch {
    // A command whose supervisor was killed dies with it, unless it had changed its user meanwhile (prctl(2), PR_SET_PDEATHSIG).
    const ended = await runShim(place, 'end').catch(() => undefined);
    return ended?.code === 0;
  }
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
