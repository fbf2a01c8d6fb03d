import { readdir, rm } from 'node:fs/promises';
import { firstAbort } from '../../lib/abort.ts';
import { pause } from '../../lib/backoff.ts';
import { messageOf, ParseError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { type Container, parseContainer } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { Endpoints } from '../endpoints/endpoints.ts';
import type { Executions } from './executions.ts';
import type { ExitRecord } from './exit-record.ts';
import type { ShimPlace } from './shim.ts';
import { type Command, type End, Supervisor } from './supervisor.ts';

/** A container as this host has it. */
export interface Held {
  container: Container;
  readonly supervisor?: Supervisor;
  /** Resolves with its exit code when it has ended, is journalled so and has left its networks. */
  readonly finished: Promise<number>;
  /** Aborts when `finished` resolves. */
  readonly over: AbortSignal;
  /** Has removed itself: its name is free, it is in no list, its output lingers. */
  gone: boolean;
}

interface LivesNeeds {
  readonly endpoints: Pick<Endpoints, 'closeSandbox' | 'sandboxes'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly log: Log;
  readonly now: () => number;
  readonly executions: Executions;
  readonly placeOf: (container: string) => ShimPlace;
  /** Holds the directories of all containers. */
  readonly directory: string;
}

/** How long the output of a container that removed itself, and of a command that ran in one, can still be read. */
const linger = { removed: 60_000, execution: 5 * 60_000 } as const;
/** How long the daemon's start waits for a supervisor; whatever takes longer goes on beside it. */
const adoptionTime = 1000;

/** The containers of this host from the moment that they run, or are found, until nothing is left of them. */
export class Lives {
  readonly #needs: LivesNeeds;
  readonly #held = new Map<string, Held>();
  /** Ids of which something could not be taken back yet. */
  readonly #leftovers = new Set<string>();

  constructor(needs: LivesNeeds) {
    this.#needs = needs;
  }

  get(id: string): Held | undefined {
    return this.#held.get(id);
  }

  list(): readonly Container[] {
    return Array.from(this.#held.values())
      .filter(({ gone }) => !gone)
      .map(({ container }) => container)
      .sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
  }

  hold(container: Container, supervisor: Supervisor): Held {
    const over = new AbortController();
    const finished = supervisor.end.then(async (end) => {
      await this.#finish(held, end);
      over.abort();
      return end.exitCode;
    });
    const held: Held = { container, supervisor, gone: false, finished, over: over.signal };
    this.#held.set(container.id, held);
    return held;
  }

  /** Takes up what earlier lives of the daemon left. */
  async load(): Promise<void> {
    const { journal, log, directory } = this.#needs;
    const entries = await journal.load('container');
    await Promise.all(
      entries.map(async ({ id, value }) => {
        try {
          await this.#adopt(parseContainer(value, `container ${id} in the journal`));
        } catch (error) {
          if (!(error instanceof ParseError)) throw error;
          log.warn('container record skipped', { container: id, error: messageOf(error) });
        }
      }),
    );
    const known = new Set(entries.map(({ id }) => id));
    for (const id of await readdir(directory)) {
      if (/^[0-9a-f]{64}$/.test(id) && !known.has(id)) await this.discard(id);
    }
  }

  /** What has ended and is still being finished. */
  ending(): readonly Promise<unknown>[] {
    const held = [...this.#held.values()];
    return held
      .filter(({ supervisor, over }) => supervisor?.ended.aborted && !over.aborted)
      .map((each) => each.finished);
  }

  /** Lets go of what runs; nothing begins to be finished any more. */
  close(): void {
    for (const { supervisor } of this.#held.values()) supervisor?.close();
  }

  async #adopt(container: Container): Promise<void> {
    const { id, state } = container;
    if (state.status === 'exited') {
      const finished = Promise.resolve(state.exitCode);
      this.#held.set(id, { container, gone: container.remove, finished, over: AbortSignal.abort() });
      return;
    }
    const supervisor = await Supervisor.open(this.#needs.placeOf(id));
    const held = this.hold(container, supervisor);
    const done = new AbortController();
    const adoption = Promise.all([this.#welcome(held, supervisor), this.#needs.executions.adopt(id)]);
    void adoption.finally(() => done.abort());
    await pause(adoptionTime, done.signal);
  }

  /** Until one that is found is known to run, or is done with. Never rejects. */
  async #welcome(held: Held, supervisor: Supervisor): Promise<void> {
    const { id, state } = held.container;
    await firstAbort([supervisor.known]);
    if (supervisor.ended.aborted) {
      await held.finished;
    } else if (state.status === 'created' && supervisor.command !== undefined) {
      held.container = runningAs(held.container, supervisor.command);
      try {
        await this.#needs.journal.commit([{ kind: 'container', id, put: held.container }]);
      } catch (error) {
        this.#needs.log.warn('running container not journalled yet', { container: id, error: messageOf(error) });
      }
    }
  }

  /** Never rejects: what cannot be done now is tried again by the sweep, or by the next life. */
  async #finish(held: Held, end: End): Promise<void> {
    const { id, remove, state } = held.container;
    if (!end.recorded && state.status === 'created') {
      await this.discard(id);
      return;
    }
    if (!end.recorded) this.#needs.log.warn('container lost with its supervisor', { container: id });
    const started = !end.recorded && state.status === 'running' ? Date.parse(state.started) : end.started;
    held.container = exitedAs(held.container, { ...end, started });
    await this.#leave(held.container);
    held.gone = remove;
  }

  async #leave(container: Container): Promise<void> {
    const { endpoints, journal, log } = this.#needs;
    const { id, sandbox } = container;
    try {
      await journal.commit([{ kind: 'container', id, put: container }]);
      await endpoints.closeSandbox(sandbox);
    } catch (error) {
      log.warn('ended container not taken back yet', { container: id, error: messageOf(error) });
    }
  }

  /** Takes back everything of a container that does not run: journal, sandbox, files. Never rejects. */
  async discard(id: string): Promise<void> {
    const { endpoints, executions, journal, log, placeOf } = this.#needs;
    this.#held.delete(id);
    executions.forget(id);
    try {
      await journal.commit([{ kind: 'container', id, remove: true }]);
      for (const sandbox of endpoints.sandboxes()) {
        if (sandbox.container?.id === id) await endpoints.closeSandbox(sandbox.id);
      }
      await rm(placeOf(id).directory, { recursive: true, force: true });
      this.#leftovers.delete(id);
    } catch (error) {
      this.#leftovers.add(id);
      log.warn('container not taken back yet', { container: id, error: messageOf(error) });
    }
  }

  /** Tries again what could not be taken back, and forgets what has lingered. */
  async sweep(): Promise<void> {
    const { endpoints, executions, now } = this.#needs;
    for (const id of this.#leftovers) await this.discard(id);
    const open = new Set(endpoints.sandboxes().map(({ id }) => id));
    for (const { container, gone } of this.#held.values()) {
      const { id, state, sandbox } = container;
      if (state.status !== 'exited') continue;
      if (gone && Date.parse(state.finished) + linger.removed < now()) await this.discard(id);
      else if (open.has(sandbox)) await this.#leave(container);
    }
    await executions.expire(now() - linger.execution);
  }
}

export function runningAs(container: Container, { pid, started }: Command): Container {
  return { ...container, state: { status: 'running', pid, started: new Date(started).toISOString() } };
}

function exitedAs(container: Container, { exitCode, started, finished }: ExitRecord): Container {
  const [begin, end] = [new Date(started).toISOString(), new Date(finished).toISOString()];
  return { ...container, state: { status: 'exited', exitCode, started: begin, finished: end } };
}
