import { Readable } from 'node:stream';
import { firstAbort } from '../../lib/abort.ts';
import { pause } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import { CommandFailed, type ExecSpec, type OutputOptions, type Streams, type TerminalSize } from './containers.ts';
import { formEnvironment } from './etc.ts';
import type { Executions } from './executions.ts';
import type { Held } from './held.ts';
import { openInput } from './input.ts';
import { readLog } from './output.ts';
import { notAnswering, notRunning } from './refusals.ts';
import { checkExec } from './request.ts';
import type { Supervisor } from './supervisor.ts';

interface StreamsNeeds {
  readonly executions: Executions;
  /** Also one that has removed itself, by its full id. @throws Refusal 'not-found' | 'invalid' */
  readonly heldOf: (nameOrId: string) => Held;
  readonly directoryOf: (id: string) => string;
  readonly logSize: number;
}

/** How many milliseconds a container's end may take to show after a command could not be started in it. */
const endingTime = 1000;

export function openStreams({ executions, heldOf, directoryOf, logSize }: StreamsNeeds): Streams {
  /** The supervisor of a container or an execution. @throws Refusal 'not-found' | 'conflict' */
  function running(id: string, doing: string): Supervisor {
    const supervisor = executions.get(id)?.supervisor ?? heldOf(id).supervisor;
    if (supervisor === undefined || supervisor.ended.aborted) throw notRunning(doing, id);
    return supervisor;
  }

  async function exec(nameOrId: string, spec: ExecSpec): Promise<string> {
    checkExec(spec);
    const { id, env, hostname } = heldOf(nameOrId).container;
    const supervisor = running(id, 'exec in');
    try {
      return await executions.start({
        container: id,
        command: spec.command,
        env: formEnvironment([...env, ...spec.env], { hostname, tty: spec.tty }),
        tty: spec.tty,
        ...(spec.size && { size: spec.size }),
        input: spec.interactive,
        logSize,
      });
    } catch (error) {
      if (error instanceof CommandFailed || error instanceof Refusal) throw error;
      // It may be that the container is just ending, in whichever way that shows: its supervisor will say so.
      await pause(endingTime, supervisor.ended);
      throw supervisor.ended.aborted ? notRunning('exec in', id) : error;
    }
  }

  function output(id: string, options: OutputOptions): Readable {
    const execution = executions.get(id);
    if (execution !== undefined) return outputOf(execution.supervisor.place.directory, execution.supervisor, options);
    const { container, ended } = heldOf(id);
    return outputOf(directoryOf(container.id), { ended }, options);
  }

  function outputOf(directory: string, { ended }: Pick<Supervisor, 'ended'>, options: OutputOptions): Readable {
    return Readable.from(readLog({ ...options, directory, ended }), { objectMode: false });
  }

  async function resize(id: string, { rows, columns }: TerminalSize): Promise<void> {
    const fits = (size: number) => Number.isInteger(size) && size >= 0 && size <= 0xffff;
    if (!fits(rows) || !fits(columns))
      throw new Refusal('invalid', `a terminal of ${rows} rows and ${columns} columns`);
    const errno = await running(id, 'resize').ask({ kind: 'size', rows, columns });
    if (errno === 'silent') throw notAnswering('resize', id);
    if (errno !== 0) throw new Refusal('conflict', `cannot resize: ${id} has no terminal, or has ended`);
  }

  function lastingOf(id: string): { over: AbortSignal; code: () => Promise<number> } {
    const supervisor = executions.get(id)?.supervisor;
    if (supervisor) return { over: supervisor.ended, code: async () => (await supervisor.end).exitCode };
    const held = heldOf(id);
    return { over: held.over, code: () => held.finished };
  }

  async function wait(id: string, { signal }: { signal: AbortSignal }): Promise<number> {
    const { over, code } = lastingOf(id);
    await firstAbort([signal, over]);
    signal.throwIfAborted();
    return await code();
  }

  return { exec, output, input: (id) => openInput(running(id, 'write to').place.control, id), resize, wait };
}
