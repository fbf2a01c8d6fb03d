import type { Readable, Writable } from 'node:stream';
import type { Container, ContainerDns, RestartPolicy } from '../../model/container.ts';
import type { NamedPort } from '../../model/named-port.ts';

/** Process containers of this host. */
export interface Containers {
  /** Makes and starts one; resolves when its command has been executed. @throws Refusal; CommandFailed with 126 or 127 */
  run(spec: RunSpec): Promise<Container>;
  /** Every container, newest first, the ended ones too. Never waits. */
  list(): readonly Container[];
  /** By name, id or unambiguous start of the id. @throws Refusal 'not-found' | 'invalid' */
  find(nameOrId: string): Container;
  /**
   * Sends a signal ('SIGKILL', 'TERM', '9'). After one that asks it to end it is not started again by itself.
   * @throws Refusal 'not-found' | 'conflict' (not running) | 'invalid'
   */
  kill(nameOrId: string, signal: string): Promise<void>;
  /**
   * Runs the command of one that has ended again, with its former addresses if they are free; nothing is done to one that
   * runs. @throws Refusal; CommandFailed
   */
  start(nameOrId: string): Promise<void>;
  /** Ends it for good: SIGTERM, and SIGKILL when that has not ended it within so many seconds. May repeat. @throws Refusal */
  stop(nameOrId: string, options: { seconds: number }): Promise<void>;
  /** Stops it, and starts it again, also one that removes itself when it ends. @throws Refusal; CommandFailed */
  restart(nameOrId: string, options: { seconds: number }): Promise<void>;
  /** @throws Refusal 'not-found' | 'conflict' (running and not `force`) */
  remove(nameOrId: string, options: { force: boolean }): Promise<Container>;
  /**
   * Its networks are other ones: afterwards its `resolv.conf` names who answers there. May be called for what is not
   * there. Never rejects.
   */
  refresh(id: string): Promise<void>;
  /**
   * What a container or an exec wrote, from its file; it and `input`, `exec`, `wait` outlive a restart of the daemon as
   * files do.
   */
  readonly streams: Streams;
}

export interface Streams {
  /** @returns id of the exec: the same calls below take it. @throws Refusal; CommandFailed */
  exec(nameOrId: string, spec: ExecSpec): Promise<string>;
  /** Frames (see `model/frame.ts`) from the start or the last `tail` lines; with `follow` until it ends or `signal` aborts. */
  output(id: string, options: OutputOptions): Readable;
  /** What is written goes to its standard input; ending it closes that. */
  input(id: string): Writable;
  resize(id: string, size: TerminalSize): Promise<void>;
  /** Resolves with the exit code when it has ended. */
  wait(id: string, options: { signal: AbortSignal }): Promise<number>;
}

export interface OutputOptions {
  readonly follow: boolean;
  readonly tail?: number;
  /** Leaves out the first so many bytes of the frames: where a reader goes on that was cut off. Not together with `tail`. */
  readonly offset?: number;
  readonly signal: AbortSignal;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface RunSpec {
  readonly command: readonly string[];
  readonly name?: string;
  readonly hostname?: string;
  readonly network?: string;
  readonly ip?: string;
  readonly ip6?: string;
  /** Others than these, as `model/address-wish.ts` reads them. */
  readonly addresses?: readonly string[];
  readonly mac?: string;
  readonly aliases: readonly string[];
  readonly env: readonly string[];
  readonly rootfs?: string;
  /** Keep standard input open. */
  readonly interactive: boolean;
  readonly tty: boolean;
  /** Of its terminal from the beginning. */
  readonly size?: TerminalSize;
  readonly remove: boolean;
  readonly restart?: RestartPolicy;
  readonly dns?: ContainerDns;
  /** What it listens at, to be found by name on its networks. */
  readonly ports?: readonly NamedPort[];
}

export interface ExecSpec {
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly interactive: boolean;
  readonly tty: boolean;
  /** Of its terminal from the beginning. */
  readonly size?: TerminalSize;
}

/** The command could not be executed: 127 not found, 126 found but not executable; nothing is left of the container. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly exitCode: 126 | 127;

  constructor(exitCode: 126 | 127, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
