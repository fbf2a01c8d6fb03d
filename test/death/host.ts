import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, openClient } from '../../src/adapters/api/client.ts';
import type { LabHost } from '../../src/lab/lab.ts';
import { callsFile, type Kind, type Orders, ordersFile } from './doom.ts';

const preload = fileURLToPath(new URL('preload.ts', import.meta.url));
const main = fileURLToPath(new URL('../../src/daemon/main.ts', import.meta.url));

export interface Call {
  readonly kind: Kind;
  readonly what: string;
}

export interface End {
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
}

/** A host of a lab whose daemon can be told at which call it is to die. */
export class DoomedHost {
  readonly host: LabHost;
  readonly client: Client;
  readonly #cache: string;
  #daemon: ChildProcess | undefined;
  #ended: Promise<End> = Promise.resolve({ signal: null, code: 0 });
  #orders = 0;

  /** `cache`: a folder for compiled code, so that the many starts are quick. */
  constructor(host: LabHost, cache: string) {
    this.host = host;
    this.#cache = cache;
    this.client = openClient(host.socket);
  }

  /** Resolves when the daemon is ready, or with its end when that comes first. */
  async start(): Promise<End | 'ready'> {
    const log = openSync(join(this.host.folder, 'daemon.log'), 'a');
    const cached = ['env', `NODE_COMPILE_CACHE=${this.#cache}`];
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--import', preload];
    const command = [...cached, ...node, main, '--ready-fd=3'];
    const daemon = this.host.spawn(command, { stdio: ['ignore', log, log, 'pipe'] });
    closeSync(log);
    this.#daemon = daemon;
    this.#ended = once(daemon, 'exit').then(([code, signal]) => ({ code, signal }));
    const { promise: ready, resolve } = Promise.withResolvers<'ready'>();
    let said = '';
    daemon.stdio[3]?.on('data', (text: Buffer) => {
      said += text.toString();
      if (said.includes('\n')) resolve('ready');
    });
    const first = await Promise.race([ready, this.#ended]);
    if (first === 'ready' && said !== 'ready\n') throw new Error(`the daemon did not start: ${said}`);
    return first;
  }

  /** Resolves when the daemon has ended. */
  get ended(): Promise<End> {
    return this.#ended;
  }

  get runs(): boolean {
    return this.#daemon?.exitCode === null && this.#daemon.signalCode === null;
  }

  /** From now on calls are counted anew. */
  order(die?: Orders['die']): void {
    this.#orders += 1;
    const orders: Orders = { id: String(this.#orders), ...(die && { die }) };
    rmSync(this.#file(callsFile), { force: true });
    // In one step: threads read it at any time.
    writeFileSync(this.#file(`${ordersFile}.new`), JSON.stringify(orders));
    renameSync(this.#file(`${ordersFile}.new`), this.#file(ordersFile));
  }

  disarm(): void {
    rmSync(this.#file(ordersFile), { force: true });
  }

  /** What was counted since the last order. */
  calls(): readonly Call[] {
    let text: string;
    try {
      text = readFileSync(this.#file(callsFile), 'utf8');
    } catch {
      return [];
    }
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.map((line) => {
      const [, kind = '', what = ''] = /^(\w+) \d+ (.*)$/.exec(line) ?? [];
      return { kind: kindOf(kind), what };
    });
  }

  #file(name: string): string {
    return join(this.host.folder, 'run', name);
  }
}

function kindOf(text: string): Kind {
  for (const kind of ['kernel', 'journal', 'store', 'files'] as const) if (kind === text) return kind;
  throw new Error(`${text} is no kind of call`);
}
