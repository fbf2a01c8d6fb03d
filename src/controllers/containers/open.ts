import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { type Container, parseContainer } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { Endpoints, Sandbox } from '../endpoints/endpoints.ts';
import { findByNameOrId } from '../networks/find.ts';
import { chooseName } from './container-name.ts';
import type { Containers, RunSpec, Streams } from './containers.ts';
import { formEnvironment, writeEtc } from './etc.ts';
import { Executions } from './executions.ts';
import type { ExitRecord } from './exit-record.ts';
import { checkRun } from './request.ts';
import { parseSignal } from './signal.ts';
import { type Held, notRunning, openStreams } from './streams.ts';
import { findSupervisor, lostExitCode, type ShimPlace, type Supervisor, startSupervisor } from './supervisor.ts';

export interface ContainersNeeds {
  readonly endpoints: Pick<Endpoints, 'openSandbox' | 'closeSandbox' | 'sandboxes'>;
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
  /** Bytes of output in one file of a log; the two newest are kept. */
  readonly logSize?: number;
}

export interface OpenedContainers extends Containers {
  /** Lets go of the containers, which run on. May be called twice. */
  close(): Promise<void>;
}

const standard = {
  resolvConfs: ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'],
  logSize: 64 * 1024 * 1024,
} as const;

/** How long the output of a container that removed itself, and of a command that ran in one, can still be read. */
const linger = { removed: 60_000, execution: 5 * 60_000 } as const;
const sweepInterval = 10_000;
const sigkill = 9;
const killPatience = 10_000;

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
  readonly #init: Required<ContainersInit>;
  readonly #held = new Map<string, Held>();
  /** Names of containers that are being made, with their ids. */
  readonly #coming = new Map<string, string>();
  /** Ids of which something could not be taken back yet. */
  readonly #leftovers = new Set<string>();
  readonly #executions: Executions;
  #sweeping: Promise<void> = Promise.resolve();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(needs: ContainersNeeds, init: Required<ContainersInit>) {
    this.#needs = needs;
    this.#init = init;
    this.#executions = new Executions((container, execution) => this.#placeOf(container, execution));
    this.streams = openStreams({
      executions: this.#executions,
      heldOf: (nameOrId) => this.#heldOf(nameOrId),
      directoryOf: (id) => this.#placeOf(id).directory,
      logSize: init.logSize,
    });
  }

  async load(): Promise<void> {
    const { journal, log } = this.#needs;
    await mkdir(this.#init.directory, { recursive: true, mode: 0o700 });
    await mkdir(this.#init.controls, { recursive: true, mode: 0o700 });
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
    const directories = await readdir(this.#init.directory);
    for (const id of directories) if (/^[0-9a-f]{64}$/.test(id) && !known.has(id)) await this.#discard(id);
    const sweep = () => {
      this.#sweeping = this.#sweeping
        .then(() => this.#sweep())
        .catch((error: unknown) => log.warn('containers not swept', { error: messageOf(error) }));
    };
    this.#sweeper = setInterval(sweep, sweepInterval).unref();
    sweep();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await this.#sweeping;
    this.#executions.close();
    for (const { supervisor } of this.#held.values()) supervisor?.close();
  }

  list(): readonly Container[] {
    return Array.from(this.#held.values())
      .filter(({ gone }) => !gone)
      .map(({ container }) => container)
      .sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
  }

  find(nameOrId: string): Container {
    return findByNameOrId('container', nameOrId, this.list());
  }

  async run(spec: RunSpec): Promise<Container> {
    await checkRun(spec);
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
    try {
      return await this.#start(id, name, spec);
    } catch (error) {
      await this.#discard(id);
      throw error;
    } finally {
      this.#coming.delete(name);
    }
  }

  async kill(nameOrId: string, signal: string): Promise<void> {
    const number = parseSignal(signal);
    const { id } = this.find(nameOrId);
    const { supervisor } = this.#heldOf(id);
    const errno = await supervisor?.ask({ kind: 'signal', signal: number });
    if (errno !== 0) throw notRunning('kill', id);
  }

  async remove(nameOrId: string, { force }: { force: boolean }): Promise<Container> {
    const { id, name } = this.find(nameOrId);
    const held = this.#heldOf(id);
    if (held.container.state.status !== 'exited') {
      if (!force) {
        throw new Refusal(
          'conflict',
          `cannot remove container "/${name}": container is running: stop the container before removing or force remove`,
        );
      }
      await held.supervisor?.ask({ kind: 'signal', signal: sigkill });
      await this.#awaitDeath(held);
    }
    await this.#discard(id);
    return held.container;
  }

  async #start(id: string, name: string, spec: RunSpec): Promise<Container> {
    const { endpoints, journal, now } = this.#needs;
    const { network, ip, ip6, mac, aliases } = spec;
    const place = this.#placeOf(id);
    const hostname = spec.hostname ?? id.slice(0, 12);
    await mkdir(place.directory, { mode: 0o700 });
    const sandbox = await endpoints.openSandbox({
      exit: true,
      container: { id, name },
      connect:
        network === undefined
          ? []
          : [{ network, name, aliases, ...(ip && { ip }), ...(ip6 && { ip6 }), ...(mac && { mac }) }],
    });
    const created: Container = {
      id,
      name,
      created: new Date(now()).toISOString(),
      command: [...spec.command],
      env: [...spec.env],
      hostname,
      ...(spec.rootfs && { rootfs: spec.rootfs }),
      interactive: spec.interactive,
      tty: spec.tty,
      remove: spec.remove,
      sandbox: sandbox.id,
      state: { status: 'created' },
    };
    await writeEtc(place.directory, { hostname, addresses: addressesOf(sandbox), resolvConfs: this.#init.resolvConfs });
    await journal.commit([{ kind: 'container', id, put: created }]);
    const supervisor = await startSupervisor(place, {
      mode: 'run',
      control: place.control,
      netns: sandbox.key,
      hostname,
      ...(spec.rootfs && { rootfs: spec.rootfs }),
      command: spec.command,
      env: formEnvironment(spec.env, { hostname, tty: spec.tty }),
      tty: spec.tty,
      input: spec.interactive,
      logSize: this.#init.logSize,
    });
    try {
      const running = runningAs(created, supervisor);
      await journal.commit([{ kind: 'container', id, put: running }]);
      this.#hold(running, supervisor);
      return running;
    } catch (error) {
      await supervisor.ask({ kind: 'signal', signal: sigkill });
      await supervisor.end;
      throw error;
    }
  }

  #hold(container: Container, supervisor: Supervisor): void {
    const held: Held = { container, supervisor, gone: false, finished: Promise.resolve(0) };
    held.finished = supervisor.end.then((exit) => this.#finish(held, exit));
    this.#held.set(container.id, held);
  }

  /** Never rejects: what cannot be done now is tried again by the sweep, or by the next life. */
  async #finish(held: Held, exit: ExitRecord): Promise<number> {
    const { id, remove, sandbox } = held.container;
    held.container = exitedAs(held.container, exit);
    try {
      await this.#needs.journal.commit([{ kind: 'container', id, put: held.container }]);
      await this.#needs.endpoints.closeSandbox(sandbox);
    } catch (error) {
      this.#needs.log.warn('ended container not taken back yet', { container: id, error: messageOf(error) });
    }
    held.gone = remove;
    return exit.exitCode;
  }

  async #adopt(container: Container): Promise<void> {
    const { id, state } = container;
    if (state.status === 'exited') {
      const finished = Promise.resolve(state.exitCode);
      this.#held.set(id, { container, gone: container.remove, finished });
      return;
    }
    const found = await findSupervisor(this.#placeOf(id));
    if (typeof found === 'object') {
      const running = runningAs(container, found);
      if (!found.hasEnded()) await this.#needs.journal.commit([{ kind: 'container', id, put: running }]);
      this.#hold(running, found);
      await this.#executions.adopt(id);
    } else if (state.status === 'created') {
      await this.#discard(id);
    } else {
      this.#needs.log.warn('container lost with its supervisor', { container: id });
      const held: Held = { container, gone: false, finished: Promise.resolve(lostExitCode) };
      this.#held.set(id, held);
      const [started, finished] = [Date.parse(state.started), this.#needs.now()];
      await this.#finish(held, { exitCode: lostExitCode, started, finished, lost: 0 });
    }
  }

  /** Takes back everything of a container that does not run: journal, sandbox, files. Never rejects. */
  async #discard(id: string): Promise<void> {
    const { endpoints, journal, log } = this.#needs;
    this.#held.delete(id);
    this.#executions.forget(id);
    try {
      await journal.commit([{ kind: 'container', id, remove: true }]);
      for (const sandbox of endpoints.sandboxes()) {
        if (sandbox.container?.id === id) await endpoints.closeSandbox(sandbox.id);
      }
      await rm(this.#placeOf(id).directory, { recursive: true, force: true });
      this.#leftovers.delete(id);
    } catch (error) {
      this.#leftovers.add(id);
      log.warn('container not taken back yet', { container: id, error: messageOf(error) });
    }
  }

  async #sweep(): Promise<void> {
    const { endpoints, journal, log, now } = this.#needs;
    for (const id of this.#leftovers) await this.#discard(id);
    const open = new Set(endpoints.sandboxes().map(({ id }) => id));
    for (const { container, gone } of this.#held.values()) {
      const { id, state, sandbox } = container;
      if (state.status !== 'exited') continue;
      if (gone && Date.parse(state.finished) + linger.removed < now()) await this.#discard(id);
      else if (open.has(sandbox)) {
        try {
          await journal.commit([{ kind: 'container', id, put: container }]);
          await endpoints.closeSandbox(sandbox);
        } catch (error) {
          log.warn('ended container not taken back yet', { container: id, error: messageOf(error) });
        }
      }
    }
    await this.#executions.expire(now() - linger.execution);
  }

  async #awaitDeath({ container, finished }: Held): Promise<void> {
    const stop = new AbortController();
    const late = wait(killPatience, 'late', { signal: stop.signal }).catch(() => 'stopped');
    const first = await Promise.race([finished, late]);
    stop.abort();
    if (first === 'late') {
      throw new Refusal(
        'unavailable',
        `container ${container.name} was killed and has not died within ${killPatience} ms`,
      );
    }
  }

  /** Also one that has removed itself, by its full id. @throws Refusal 'not-found' | 'invalid' */
  #heldOf(nameOrId: string): Held {
    const held = this.#held.get(nameOrId) ?? this.#held.get(this.find(nameOrId).id);
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

function addressesOf({ endpoints, exit }: Sandbox): readonly string[] {
  const own = Array.from(endpoints.values(), ({ endpoint }) => endpoint.addresses).flat();
  return [...own, ...(exit?.addresses ?? [])].map((address) => address.replace(/\/\d+$/, ''));
}

function runningAs(container: Container, { pid, started }: Pick<Supervisor, 'pid' | 'started'>): Container {
  return { ...container, state: { status: 'running', pid, started: new Date(started).toISOString() } };
}

function exitedAs(container: Container, { exitCode, started, finished }: ExitRecord): Container {
  const [begin, end] = [new Date(started).toISOString(), new Date(finished).toISOString()];
  return { ...container, state: { status: 'exited', exitCode, started: begin, finished: end } };
}
