import { readdir } from 'node:fs/promises';
import { firstAbort } from '../../lib/abort.ts';
import { pause } from '../../lib/backoff.ts';
import { messageOf, ParseError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { type Container, parseContainer } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { Endpoints } from '../endpoints/endpoints.ts';
import { CommandFailed } from './containers.ts';
import { comingBack, type Ended, exitedAs, formerEnd, isFormer, notStarted, restartingAs } from './ending.ts';
import type { EtcFiles } from './etc-files.ts';
import type { Executions } from './executions.ts';
import { placesIn } from './former.ts';
import type { Held } from './held.ts';
import { Remains } from './remains.ts';
import { beginsWithDaemon, pauseAfter } from './restart.ts';
import type { ShimPlace } from './shim.ts';
import { runningAs, type StartNeeds, sandboxOf, startAgain } from './start.ts';
import { type End, Supervisor } from './supervisor.ts';

interface LivesNeeds extends StartNeeds {
  readonly endpoints: Pick<Endpoints, 'openSandbox' | 'closeSandbox' | 'sandboxes'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly log: Log;
  readonly executions: Executions;
  readonly etc: EtcFiles;
  readonly placeOf: (container: string) => ShimPlace;
  /** Holds the directories of all containers. */
  readonly directory: string;
}

/** How long the output of a container that removed itself, and of a command that ran in one, can still be read. */
const linger = { removed: 60_000, execution: 5 * 60_000 } as const;
/** How long the daemon's start waits for a supervisor; whatever takes longer goes on beside it. */
const adoptionTime = 1000;
const sigkill = 9;
/** A command that runs, or the pause before one. */
type Begin = { readonly supervisor: Supervisor } | { readonly pause: number };

interface Life {
  readonly end: End;
  /** Milliseconds that this daemon has seen of it. */
  readonly ran: number;
}

/** The containers of this host from the moment that they run, or are found, until nothing is left of them. */
export class Lives {
  readonly #needs: LivesNeeds;
  readonly #held = new Map<string, Held>();
  readonly #remains: Remains;
  /** What is being started or finished. */
  readonly #working = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();

  constructor(needs: LivesNeeds) {
    this.#needs = needs;
    this.#remains = new Remains(needs);
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

  hold(container: Container, begin: Begin): Held {
    const [ended, over, halt] = [new AbortController(), new AbortController(), new AbortController()];
    const finished = Promise.withResolvers<number>();
    const held: Held = {
      container,
      ...('supervisor' in begin ? { supervisor: begin.supervisor } : {}),
      ...{ finished: finished.promise, ended: ended.signal, over: over.signal, halt, returns: false, gone: false },
    };
    this.#held.set(container.id, held);
    void this.#live(held, begin).then(async (end) => {
      ended.abort();
      await this.#work(this.#finish(held, end, over));
      finished.resolve(end.exitCode);
    });
    return held;
  }

  /**
   * Starts one that has ended, by hand. When that fails it is as before.
   * @throws Refusal, CommandFailed, ShimError, JournalError
   */
  async start(held: Held): Promise<void> {
    const { journal, placeOf } = this.#needs;
    const { container: before } = held;
    const { id, state } = before;
    if (state.status !== 'exited') return;
    const container = comingBack({ ...before, state });
    await journal.commit([{ kind: 'container', id, put: container }]);
    held.container = container;
    try {
      const next = await this.#work(startAgain(container, placeOf(id), this.#needs));
      this.hold(next.container, next);
    } catch (error) {
      held.container = before;
      await this.#remains.leave(before);
      throw error;
    }
  }

  /** It does not come back after all. Never rejects. */
  async abandon(held: Held): Promise<void> {
    held.returns = false;
    const isLast = this.#held.get(held.container.id) === held && held.over.aborted;
    if (!isLast) return;
    this.#part(held);
    await this.#work(this.#remains.note(held.container));
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

  /** What is being started or finished. */
  working(): readonly Promise<unknown>[] {
    return [...this.#working];
  }

  /** Lets go of what runs; nothing begins to be started or finished any more. */
  close(): void {
    this.#closed.abort();
    for (const { supervisor } of this.#held.values()) supervisor?.close();
  }

  async #adopt(container: Container): Promise<void> {
    const { id, removing, state } = container;
    if (state.status === 'exited' && removing) {
      await this.discard(id);
      return;
    }
    if (state.status === 'exited' && beginsWithDaemon(container)) {
      const again: Container = { ...container, stopped: false, state: { ...state, status: 'restarting' } };
      await this.#remains.note(again);
      this.hold(again, { pause: 0 });
      return;
    }
    if (state.status === 'exited') {
      const [finished, over] = [Promise.resolve(state.exitCode), AbortSignal.abort()];
      const halt = new AbortController();
      const goneSince = performance.now();
      const gone = container.remove;
      this.#held.set(id, { container, returns: false, gone, goneSince, finished, ended: over, over, halt });
      return;
    }
    const supervisor = await Supervisor.open(this.#needs.placeOf(id));
    const held = this.hold(container, { supervisor });
    if (removing || (container.stopped && state.status === 'restarting')) {
      held.halt.abort();
      void supervisor.ask({ kind: 'signal', signal: sigkill });
    }
    const done = new AbortController();
    const adoption = Promise.all([this.#welcome(held, supervisor), this.#needs.executions.adopt(id)]);
    void adoption.finally(() => done.abort());
    await pause(adoptionTime, done.signal);
  }

  /** Until one that is found is known to run, or is done with. Never rejects. */
  async #welcome(held: Held, supervisor: Supervisor): Promise<void> {
    const { state } = held.container;
    await firstAbort([supervisor.known]);
    if (supervisor.ended.aborted) {
      // One that is to live again is not waited for.
      await firstAbort([held.over, AbortSignal.timeout(adoptionTime)]);
    } else if (state.status !== 'running' && supervisor.command !== undefined) {
      held.container = runningAs(held.container, supervisor.command);
      await this.#remains.note(held.container);
    }
  }

  /** One life after the other. Resolves with the end of the last; never once the daemon ends, and never rejects. */
  async #live(held: Held, begin: Begin): Promise<End> {
    let paused: number | undefined;
    let life = 'pause' in begin ? await this.#next(held, begin.pause) : await this.#lifeOf(begin.supervisor);
    for (;;) {
      const { container, halt } = held;
      if (life === undefined) return formerEnd(container);
      const { end, ran } = life;
      if (isFormer(container, end)) {
        life = await this.#next(held, 0);
        continue;
      }
      const isVain = container.state.status === 'created' && !end.recorded;
      const wait = isVain || halt.signal.aborted ? undefined : pauseAfter(container, { ...end, ran, paused });
      if (wait === undefined) return end;
      held.container = { ...restartingAs(this.#endedAs(container, end)), restarts: container.restarts + 1 };
      await this.#work(this.#remains.note(held.container));
      paused = wait;
      life = await this.#next(held, wait);
    }
  }

  async #lifeOf(supervisor: Supervisor): Promise<Life> {
    const began = performance.now();
    const end = await supervisor.end;
    return this.#closed.signal.aborted ? await never() : { end, ran: performance.now() - began };
  }

  /** The next life to its end, or none because it is halted. One that does not come about ends at once. */
  async #next(held: Held, wait: number): Promise<Life | undefined> {
    const { log, now, placeOf } = this.#needs;
    const { id } = held.container;
    await pause(wait, AbortSignal.any([held.halt.signal, this.#closed.signal]));
    if (this.#closed.signal.aborted) return await never();
    if (held.halt.signal.aborted) return undefined;
    try {
      const { container, supervisor } = await this.#work(startAgain(held.container, placeOf(id), this.#needs));
      // What came meanwhile has journalled it as stopped or as being removed.
      const { stopped, removing } = held.container;
      held.container = { ...container, stopped, removing };
      held.supervisor = supervisor;
      if (held.halt.signal.aborted) await supervisor.ask({ kind: 'signal', signal: sigkill });
      return await this.#lifeOf(supervisor);
    } catch (error) {
      if (this.#closed.signal.aborted) return await never();
      log.warn('container could not be started again', { container: id, error: messageOf(error) });
      const exitCode = error instanceof CommandFailed ? error.exitCode : notStarted;
      return { end: { exitCode, started: now(), finished: now(), lost: 0, recorded: true }, ran: 0 };
    }
  }

  /** Never rejects: what cannot be done now is tried again by the sweep, or by the next life of the daemon. Then it is over. */
  async #finish(held: Held, end: End, over: AbortController): Promise<void> {
    const { id, removing, state } = held.container;
    const isVain = !end.recorded && state.status === 'created';
    const ended = isVain ? undefined : this.#endedAs(held.container, end);
    if (ended !== undefined) held.container = ended;
    if (ended === undefined || removing) {
      await this.discard(id);
      over.abort();
      return;
    }
    let returns: boolean;
    do {
      // Journalled as coming back, it does so by the next daemon if this one dies before it can.
      ({ returns } = held);
      await this.#remains.leave(returns ? comingBack(ended) : ended);
    } while (returns !== held.returns);
    if (!returns) this.#part(held);
    over.abort();
  }

  #part(held: Held): void {
    held.gone = held.container.remove;
    held.goneSince = performance.now();
  }

  #endedAs(container: Container, end: End): Ended {
    const { endpoints, log } = this.#needs;
    const { id, state, places } = container;
    if (!end.recorded) log.warn('container lost with its supervisor', { container: id });
    const started = !end.recorded && state.status === 'running' ? Date.parse(state.started) : end.started;
    const sandbox = sandboxOf(container, endpoints);
    const now = sandbox === undefined ? places : placesIn(sandbox, places);
    return exitedAs({ ...container, places: now }, { ...end, started });
  }

  /** Its present life is its last: journalled, so that no later daemon starts it either. Never rejects. */
  async halt(held: Held): Promise<void> {
    held.halt.abort();
    if (held.container.restart.name === 'no' || held.container.stopped) return;
    held.container = { ...held.container, stopped: true };
    await this.#remains.note(held.container);
  }

  /** From here on it is removed with its end, also by a later daemon. @throws JournalError */
  async doom(held: Held): Promise<void> {
    const { container } = held;
    await this.#needs.journal.commit([{ kind: 'container', id: container.id, put: { ...container, removing: true } }]);
    held.container = { ...held.container, removing: true };
    held.halt.abort();
  }

  /** Takes back everything of a container that does not run: journal, sandbox, files. Never rejects. */
  async discard(id: string): Promise<void> {
    this.#held.delete(id);
    this.#needs.executions.forget(id);
    this.#needs.etc.forget(id);
    await this.#remains.discard(id);
  }

  /** Tries again what could not be taken back, and forgets what has lingered. */
  async sweep(): Promise<void> {
    const { endpoints, etc, executions } = this.#needs;
    for (const id of this.#remains.left) await this.discard(id);
    const open = new Set(endpoints.sandboxes().flatMap(({ container }) => container?.id ?? []));
    for (const { container, gone, goneSince = 0 } of this.#held.values()) {
      // Networks also come and go without anybody's asking.
      if (container.state.status === 'running') await etc.follow(container);
      if (container.state.status !== 'exited') continue;
      if (gone && performance.now() - goneSince > linger.removed) await this.discard(container.id);
      else if (open.has(container.id)) await this.#remains.leave(container);
    }
    await executions.expire(linger.execution);
  }

  async #work<T>(task: Promise<T>): Promise<T> {
    this.#working.add(task);
    try {
      return await task;
    } finally {
      this.#working.delete(task);
    }
  }
}

async function never(): Promise<never> {
  return await new Promise<never>(() => undefined);
}
