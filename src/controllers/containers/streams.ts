import { Readable } from 'node:stream';
import { Refusal } from '../../lib/errors.ts';
import type { Container } from '../../model/container.ts';
import type { ExecSpec, OutputOptions, Streams } from './containers.ts';
import { formEnvironment } from './etc.ts';
import type { Executions } from './executions.ts';
import { openInput } from './input.ts';
import { type LogReading, readLog } from './output.ts';
import { checkExec } from './request.ts';
import type { Supervisor } from './supervisor.ts';

/** A container as this host has it. */
export interface Held {
  container: Container;
  supervisor?: Supervisor;
  /** Resolves when it has ended, is journalled so and has left its networks. */
  finished: Promise<number>;
  /** Has removed itself: its name is free, it is in no list, its output lingers. */
  gone: boolean;
}

interface StreamsNeeds {
  readonly executions: Executions;
  /** Also one that has removed itself, by its full id. @throws Refusal 'not-found' | 'invalid' */
  readonly heldOf: (nameOrId: string) => Held;
  readonly directoryOf: (id: string) => string;
  readonly logSize: number;
}

export function openStreams({ executions, heldOf, directoryOf, logSize }: StreamsNeeds): Streams {
  /** The supervisor of a container or an execution. @throws Refusal 'not-found' | 'conflict' */
  function running(id: string, doing: string): Supervisor {
    const supervisor = executions.get(id)?.supervisor ?? heldOf(id).supervisor;
    if (supervisor === undefined || supervisor.hasEnded()) throw notRunning(doing, id);
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
        input: spec.interactive,
        logSize,
      });
    } catch (error) {
      if (supervisor.hasEnded()) throw notRunning('exec in', id);
      throw error;
    }
  }

  function output(id: string, options: OutputOptions): Readable {
    const execution = executions.get(id);
    if (execution !== undefined) return outputOf(execution.supervisor.place.directory, execution.supervisor, options);
    const { container, supervisor } = heldOf(id);
    // Without a supervisor it ended in an earlier life of the daemon.
    return outputOf(directoryOf(container.id), supervisor ?? { end: Promise.resolve(), hasEnded: () => true }, options);
  }

  function outputOf(directory: string, writer: LogReading['writer'], options: OutputOptions): Readable {
    return Readable.from(readLog({ ...options, directory, writer }), { objectMode: false });
  }

  async function resize(id: string, { rows, columns }: { rows: number; columns: number }): Promise<void> {
    const fits = (size: number) => Number.isInteger(size) && size >= 0 && size <= 0xffff;
    if (!fits(rows) || !fits(columns))
      throw new Refusal('invalid', `a terminal of ${rows} rows and ${columns} columns`);
    const errno = await running(id, 'resize').ask({ kind: 'size', rows, columns });
    if (errno !== 0) throw new Refusal('conflict', `cannot resize: ${id} has no terminal, or has ended`);
  }

  async function wait(id: string, { signal }: { signal: AbortSignal }): Promise<number> {
    const execution = executions.get(id);
    const code =
      execution === undefined ? heldOf(id).finished : execution.supervisor.end.then(({ exitCode }) => exitCode);
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = () => reject(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener('abort', abort);
    try {
      return await Promise.race([code, promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  return { exec, output, input: (id) => openInput(running(id, 'write to').place.control), resize, wait };
}

export function notRunning(doing: string, id: string): Refusal {
  return new Refusal('conflict', `cannot ${doing} container: container ${id} is not running`);
}
