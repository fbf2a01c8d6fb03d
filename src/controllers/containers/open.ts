import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../lib/backoff.ts';
import { messageOf, Refusal } from '../../lib/errors.ts';
import { findByNameOrId } from '../../lib/find.ts';
import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import type { Container } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { Endpoints } from '../endpoints/endpoints.ts';
import { chooseName } from './container-name.ts';
import type { Containers, RunSpec, Streams } from './containers.ts';
import { EtcFiles } from './etc-files.ts';
import { Executions } from './executions.ts';
import type { Held } from './held.ts';
import { Lives } from './lives.ts';
import { notAnswering, notRunning } from './refusals.ts';
import { checkRun } from './request.ts';
import type { ShimPlace } from './shim.ts';
import { parseSignal } from './signal.ts';
import { startContainer } from './start.ts';
import { openStreams } from './streams.ts';

export interface ContainersNeeds {
  readonly endpoints: Pick<Endpoints, 'openSandbox' | 'closeSandbox' | 'sandbox' | 'sandboxes'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface ContainersInit {
  /** Holds a directory for each container: output and exit codes, which outlive the daemon and a reboot. */
  readonly directory: string;
  /** Holds the control sockets; its path is short, as a socket's has 107 bytes at most. */
  readonly controls: string;
  /** The program `skein-shim`. */
  readonly shim: string;
  /** The host's `resolv.conf`, and what it may stand for. */
  readonly resolvConfs?: readonly string[];
  /** Where names are answered to who is on a network, by the family of its addresses; nowhere unless said. */
  readonly nameServers?: { readonly 4: string; readonly 6: string };
  /** Addresses at which names are answered besides, at their usual port, now. */
  readonly listeners?: () => readonly string[];
  /** Bytes of output in one file of a log; the two newest are kept. */
  readonly logSize?: number;
}

export interface OpenedContainers extends Containers {
  /** Lets go of the containers, which run on. May be called twice. */
  close(): Promise<void>;
}

type Init = ContainersInit & Required<Pick<ContainersInit, 'resolvConfs' | 'logSize'>>;

const standard = {
  resolvConfs: ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'],
  logSize: 64 * 1024 * 1024,
} as const;

const sweepInterval = 10_000;
const sigkill = 9;
const sigterm = 15;
/** HUP and others mean something else to many programs. */
const endingSignals = [2, 3, sigkill, sigterm];
const killPatience = 10_000;
/** How long closing waits for what is being started or finished. */
const closePatience = 5_000;

/**
 * Takes up what earlier lives left: what runs is supervised again, what ended meanwhile is finished, what was half begun is
 * undone. Sandboxes must have been taken up before.
 *
 * A container's directory is made before its sandbox and goes after it: a directory that the journal does not know is what
 * is left of a start or a removal that was cut off.
 */
export async function openContainers(needs: ContainersNeeds, init: ContainersInit): Promise<OpenedContainers> {
  const containers = new ProcessContainers(needs, { ...standard, ...init });
  await containers.load();
  return containers;
}

class ProcessContainers implements OpenedContainers {
  readonly streams: Streams;
  readonly #needs: ContainersNeeds;
  readonly #init: Init;
  readonly #lives: Lives;
  readonly #etc: EtcFiles;
  readonly #executions: Executions;
  /** Names of containers that are being made, with their ids. */
  readonly #coming = new Map<string, string>();
  readonly #starts = new Set<Promise<Container>>();
  readonly #serial = new Serial();
  #sweeping: Promise<void> = Promise.resolve();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(needs: ContainersNeeds, init: Init) {
    this.#needs = needs;
    this.#init = init;
    const placeOf = (container: string, execution?: string) => this.#placeOf(container, execution);
    this.#executions = new Executions(placeOf);
    this.#etc = new EtcFiles({ ...needs, ...init, placeOf });
    this.#lives = new Lives({ ...needs, ...init, executions: this.#executions, etc: this.#etc, placeOf });
    this.streams = openStreams({
      executions: this.#executions,
      heldOf: (nameOrId) => this.#heldOf(nameOrId),
      directoryOf: (id) => this.#placeOf(id).directory,
      logSize: init.logSize,
    });
  }

  async load(): Promise<void> {
    await mkdir(this.#init.directory, { recursive: true, mode: 0o700 });
    await mkdir(this.#init.controls, { recursive: true, mode: 0o700 });
    await this.#lives.load();
    const sweep = () => {
      this.#sweeping = this.#sweeping
        .then(() => this.#lives.sweep())
        .catch((error: unknown) => this.#needs.log.warn('containers not swept', { error: messageOf(error) }));
    };
    this.#sweeper = setInterval(sweep, sweepInterval).unref();
    sweep();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#executions.close();
    const done = new AbortController();
    const open = [this.#sweeping, ...this.#starts, ...this.#lives.working()];
    this.#lives.close();
    void Promise.allSettled(open).then(() => done.abort());
    await pause(closePatience, done.signal);
    // Of what was started meanwhile too.
    this.#lives.close();
  }

  list(): readonly Container[] {
    return this.#lives.list();
  }

  find(nameOrId: string): Container {
    return findByNameOrId('container', nameOrId, this.list());
  }

  async refresh(id: string): Promise<void> {
    const container = this.#lives.get(id)?.container;
    if (container !== undefined) await this.#etc.follow(container);
  }

  async run(spec: RunSpec): Promise<Container> {
    await checkRun(spec, this.#init.listeners?.());
    const id = randomBytes(32).toString('hex');
    const name = spec.name ?? chooseName((candidate) => this.#holderOf(candidate) !== undefined);
    const holder = this.#holderOf(name);
    if (holder !== undefined) {
      throw new Refusal(
        'conflict',
        `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    }
    this.#coming.set(name, id);
    const start = this.#start(id, name, spec);
    this.#starts.add(start);
    try {
      return await start;
    } finally {
      this.#starts.delete(start);
      this.#coming.delete(name);
    }
  }

  async kill(nameOrId: string, signal: string): Promise<void> {
    const number = parseSignal(signal);
    const held = this.#heldOf(nameOrId);
    const { id, state } = held.container;
    if (endingSignals.includes(number) && state.status !== 'exited') await this.#lives.halt(held);
    if (state.status === 'restarting') return;
    await this.#signal(held, number, { doing: 'kill', id });
  }

  async start(nameOrId: string): Promise<void> {
    const { id } = this.find(nameOrId);
    await this.#serial.run(id, () => this.#lives.start(this.#heldOf(id)));
  }

  async stop(nameOrId: string, { seconds }: { seconds: number }): Promise<void> {
    const { id } = this.find(nameOrId);
    const held = this.#heldOf(id);
    await this.#lives.halt(held);
    if (held.container.state.status === 'running' && seconds > 0) {
      await held.supervisor?.ask({ kind: 'signal', signal: sigterm });
      await pause(seconds * 1000, held.over);
    }
    await this.#end(held, 'stop');
  }

  async restart(nameOrId: string, options: { seconds: number }): Promise<void> {
    const { id } = this.find(nameOrId);
    const held = this.#heldOf(id);
    held.returns = true;
    try {
      await this.stop(id, options);
      await this.start(id);
    } catch (error) {
      await this.#lives.abandon(held);
      throw error;
    }
  }

  async remove(nameOrId: string, { force }: { force: boolean }): Promise<Container> {
    const { id } = this.find(nameOrId);
    return await this.#serial.run(id, async () => {
      const held = this.#heldOf(id);
      const { name, state } = held.container;
      if (state.status !== 'exited' && !force) {
        throw new Refusal(
          'conflict',
          `cannot remove container "/${name}": container is running: stop the container before removing or force remove`,
        );
      }
      if (state.status === 'exited') await this.#lives.discard(id);
      else {
        await this.#lives.doom(held);
        await this.#end(held, 'remove');
      }
      return held.container;
    });
  }

  /** Kills what was halted, and waits for its end. @throws Refusal 'unavailable' */
  async #end(held: Held, doing: string): Promise<void> {
    const { id, name } = held.container;
    const errno = held.over.aborted ? 0 : await held.supervisor?.ask({ kind: 'signal', signal: sigkill });
    if (errno === 'silent') throw notAnswering(doing, id);
    await pause(killPatience, held.over);
    if (!held.over.aborted) {
      throw new Refusal('unavailable', `container ${name} was killed and has not died within ${killPatience} ms`);
    }
  }

  async #signal({ supervisor }: Held, signal: number, { doing, id }: { doing: string; id: string }): Promise<void> {
    const errno = await supervisor?.ask({ kind: 'signal', signal });
    if (errno === 'silent') throw notAnswering(doing, id);
    if (errno !== 0) throw notRunning(doing, id);
  }

  async #start(id: string, name: string, spec: RunSpec): Promise<Container> {
    try {
      const what = { id, name, place: this.#placeOf(id), spec };
      const { container, supervisor } = await startContainer({ ...this.#needs, ...this.#init, etc: this.#etc }, what);
      this.#lives.hold(container, { supervisor });
      return container;
    } catch (error) {
      await this.#lives.discard(id);
      throw error;
    }
  }

  /** Also one that has removed itself, by its full id. @throws Refusal 'not-found' | 'invalid' */
  #heldOf(nameOrId: string): Held {
    const held = this.#lives.get(nameOrId) ?? this.#lives.get(this.find(nameOrId).id);
    if (held === undefined) throw new Refusal('not-found', `container ${nameOrId} not found`);
    return held;
  }

  #holderOf(name: string): string | undefined {
    return this.list().find((container) => container.name === name)?.id ?? this.#coming.get(name);
  }

  #placeOf(container: string, execution?: string): ShimPlace {
    const directory = join(this.#init.directory, container);
    return {
      directory: execution === undefined ? directory : join(directory, 'exec', execution),
      control: join(this.#init.controls, `${(execution ?? container).slice(0, 12)}.sock`),
      shim: this.#init.shim,
    };
  }
}
