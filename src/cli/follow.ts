import { spawnSync } from 'node:child_process';
import type { Writable } from 'node:stream';
import type { Client, Frame } from '../adapters/api/client.ts';
import { messageOf, Refusal } from '../lib/errors.ts';
import { complain } from './session.ts';

export interface FollowOptions {
  readonly interactive: boolean;
  readonly tty: boolean;
  /** Passes a signal on that this command line got. */
  readonly kill?: (signal: string) => Promise<unknown>;
}

/** @throws Refusal when a terminal is asked for and there is none, as Docker does */
export function requireTerminal({ interactive, tty }: Pick<FollowOptions, 'interactive' | 'tty'>): void {
  if (interactive && tty && !process.stdin.isTTY) throw new Refusal('invalid', 'the input device is not a TTY');
}

/** Joins this terminal to a container or an exec until it ends. @returns its exit code */
export async function follow(client: Client, id: string, { interactive, tty, kill }: FollowOptions): Promise<number> {
  const stop = new AbortController();
  const { signal } = stop;
  const waiting = { signal, onLost: complain };
  const raw = tty && interactive && process.stdin.isTTY;
  const letGo = [...(tty ? [watchSize(client, id)] : []), ...(kill !== undefined && !raw ? [passSignals(kill)] : [])];
  if (raw) beginRaw();
  try {
    if (interactive) void sendInput(client, id, signal);
    await writeFrames(client.output(id, { ...waiting, follow: true }));
    return await client.wait(id, { signal });
  } finally {
    if (raw) process.stdin.setRawMode(false);
    for (const end of letGo) end();
    stop.abort();
    process.stdin.destroy();
  }
}

/** What nobody reads any more, because the command has ended or is about to, is nothing to complain of. */
async function sendInput(client: Client, id: string, signal: AbortSignal): Promise<void> {
  try {
    await client.input(id, process.stdin, { signal });
  } catch (error) {
    if (!(await endsSoon(client, id, signal))) complain(`input: ${messageOf(error)}`);
  }
}

/** Also true when `signal` aborts, as nobody waits for its end any more then. */
async function endsSoon(client: Client, id: string, signal: AbortSignal): Promise<boolean> {
  try {
    await client.wait(id, { signal: AbortSignal.any([signal, AbortSignal.timeout(1000)]) });
    return true;
  } catch (error) {
    return signal.aborted || (error instanceof Refusal && error.kind === 'not-found');
  }
}

export async function writeFrames(frames: AsyncIterable<Frame>): Promise<void> {
  for await (const { stream, bytes } of frames) {
    if (stream === 'note') complain(Buffer.from(bytes).toString().trimEnd());
    else await write(stream === 'stdout' ? process.stdout : process.stderr, bytes);
  }
}

/** What cannot be written ends the command line: main.ts listens for that. */
async function write(stream: Writable, bytes: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.write(bytes, () => resolve());
  await promise;
}

/** Nothing is changed on its way, as the other terminal does that: Node's raw mode would still put a return before a newline. */
function beginRaw(): void {
  process.stdin.setRawMode(true);
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
}

/** The terminal's size goes to the container's, now and whenever it changes; one at a time, so that the last one stays. */
function watchSize(client: Client, id: string): () => void {
  let sending = Promise.resolve();
  const sendNow = async () => {
    const { rows, columns } = process.stdout;
    await client.call('resizeTerminal', { params: { id }, body: { rows, columns } }).catch(() => undefined);
  };
  const send = () => {
    if (process.stdout.isTTY) sending = sending.then(sendNow);
  };
  send();
  process.stdout.on('resize', send);
  return () => process.stdout.off('resize', send);
}

const passed = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

function passSignals(kill: (signal: string) => Promise<unknown>): () => void {
  const pass = (signal: string) => {
    kill(signal).catch((error: unknown) => complain(`${signal} was not passed on: ${messageOf(error)}`));
  };
  for (const signal of passed) process.on(signal, pass);
  return () => {
    for (const signal of passed) process.off(signal, pass);
  };
}
