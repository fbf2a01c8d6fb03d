import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { firstAbort } from '../../lib/abort.ts';
import type { TerminalSize } from './containers.ts';
import type { ShimPlace } from './shim.ts';
import { Supervisor, startSupervisor } from './supervisor.ts';

interface Execution {
  readonly id: string;
  /** Id of the container. */
  readonly container: string;
  readonly supervisor: Supervisor;
}

export interface StartExecution {
  readonly container: string;
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly tty: boolean;
  readonly size?: TerminalSize;
  readonly input: boolean;
  readonly logSize: number;
}

/** Commands that run in containers besides their own. Each has a directory in its container's, and goes with it. */
export class Executions {
  readonly #executions = new Map<string, Execution>();
  readonly #placeOf: (container: string, execution?: string) => ShimPlace;

  constructor(placeOf: (container: string, execution?: string) => ShimPlace) {
    this.#placeOf = placeOf;
  }

  get(id: string): Execution | undefined {
    return this.#executions.get(id);
  }

  /** @throws CommandFailed, ShimError, Refusal */
  async start({ container, ...spec }: StartExecution): Promise<string> {
    const id = randomBytes(32).toString('hex');
    const place = this.#placeOf(container, id);
    const { directory } = this.#placeOf(container);
    // Not the container's directory: one that is being removed stays removed.
    await mkdir(join(directory, 'exec'), { mode: 0o700 }).catch(unlessThere);
    await mkdir(place.directory, { mode: 0o700 });
    try {
      const { supervisor } = await startSupervisor(place, {
        ...spec,
        mode: 'exec',
        join: directory,
        control: place.control,
      });
      this.#executions.set(id, { id, container, supervisor });
      return id;
    } catch (error) {
      await rm(place.directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Takes up what an earlier life of the daemon started in a container; resolves when all have answered or ended. */
  async adopt(container: string): Promise<void> {
    const ids = await readdir(join(this.#placeOf(container).directory, 'exec')).catch(() => []);
    await Promise.all(
      ids.map(async (id) => {
        const supervisor = await Supervisor.open(this.#placeOf(container, id));
        this.#executions.set(id, { id, container, supervisor });
        await firstAbort([supervisor.known]);
      }),
    );
  }

  /** Forgets those that ended so many milliseconds ago, with their output. */
  async expire(age: number): Promise<void> {
    for (const { id, supervisor } of this.#executions.values()) {
      if (supervisor.endedFor < age) continue;
      await rm(supervisor.place.directory, { recursive: true, force: true });
      this.#executions.delete(id);
    }
  }

  /** Forgets those of a container whose directory goes. */
  forget(container: string): void {
    for (const execution of this.#executions.values()) {
      if (execution.container !== container) continue;
      execution.supervisor.close();
      this.#executions.delete(execution.id);
    }
  }

  /** Lets go of all; they run on. */
  close(): void {
    for (const { supervisor } of this.#executions.values()) supervisor.close();
  }
}

function unlessThere(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
}
