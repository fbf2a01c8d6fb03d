import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Refusal } from '../../lib/errors.ts';
import { Scope } from '../../lib/scope.ts';
import { frame } from '../../model/frame.ts';
import type { Journal, JournalChange } from '../../state/journal.ts';
import type { LocalEndpoint, OpenSandbox, Sandbox } from '../endpoints/endpoints.ts';
import { readLog } from './output.ts';
import type { ShimPlace } from './shim.ts';
import type { ShimSpec } from './shim-spec.ts';
import { type Supervisor, startSupervisor } from './supervisor.ts';

/** What the tests of containers stand on: real namespaces, real supervisors, a directory that goes afterwards. */

const run = promisify(execFile);

/** Why the tests cannot run here, if they cannot. */
export const missing = process.getuid?.() === 0 ? undefined : 'needs root';

export interface Rig {
  readonly directory: string;
  readonly netns: string;
  place(name: string): ShimPlace;
  /** Starts a shell command as a container. */
  start(name: string, script: string, more?: Partial<ShimSpec & { mode: 'run' }>): Promise<Supervisor>;
  exec(
    name: string,
    container: string,
    script: string,
    more?: Partial<ShimSpec & { mode: 'exec' }>,
  ): Promise<Supervisor>;
  close(): Promise<void>;
}

const commandOf = (script: string) => ({
  command: ['sh', '-c', script],
  env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
  tty: false,
  input: false,
  logSize: 64 * 1024 * 1024,
});

export async function openRig(shimIn: (directory: string) => Promise<string>): Promise<Rig> {
  const scope = new Scope();
  const directory = await mkdtemp(join(tmpdir(), 'skein-c-'));
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  const shim = await shimIn(directory);
  const netns = await addNamespace();
  scope.defer(() => removeNamespace(netns));
  const place = (name: string): ShimPlace => ({
    directory: join(directory, name),
    control: join(directory, `${name}.sock`),
    shim,
  });
  const started: Supervisor[] = [];
  scope.defer(async () => {
    for (const supervisor of started) {
      await supervisor.ask({ kind: 'signal', signal: 9 });
      await supervisor.end;
    }
  });

  async function begin(name: string, spec: ShimSpec): Promise<Supervisor> {
    await mkdir(place(name).directory);
    await writeEtc(place(name).directory);
    const { supervisor } = await startSupervisor(place(name), spec);
    started.push(supervisor);
    return supervisor;
  }

  return {
    directory,
    netns,
    place,
    start: (name, script, more) =>
      begin(name, {
        ...commandOf(script),
        mode: 'run',
        control: place(name).control,
        netns,
        hostname: 'box',
        ...more,
      }),
    exec: (name, container, script, more) =>
      begin(name, {
        ...commandOf(script),
        mode: 'exec',
        control: place(name).control,
        join: place(container).directory,
        ...more,
      }),
    close: () => scope.close(),
  };
}

export async function writeEtc(directory: string): Promise<void> {
  await writeFile(join(directory, 'hosts'), '192.0.2.1 box\n');
  await writeFile(join(directory, 'hostname'), 'box\n');
  await writeFile(join(directory, 'resolv.conf'), 'nameserver 192.0.2.53\n');
}

async function addNamespace(): Promise<string> {
  const name = `skein-test-${randomBytes(4).toString('hex')}`;
  await run('ip', ['netns', 'add', name]);
  return join('/run/netns', name);
}

async function removeNamespace(path: string): Promise<void> {
  await run('ip', ['netns', 'del', path.slice('/run/netns/'.length)]);
}

/** What it wrote until it ended. */
export async function outputOf(supervisor: Supervisor): Promise<{ stdout: string; stderr: string; note: string }> {
  const { signal } = new AbortController();
  const chunks: Uint8Array[] = [];
  const { directory } = supervisor.place;
  for await (const chunk of readLog({ directory, follow: true, ended: supervisor.ended, signal })) chunks.push(chunk);
  return split(Buffer.concat(chunks));
}

export async function textsOf(readable: Readable): Promise<{ stdout: string; stderr: string; note: string }> {
  return split(await buffer(readable));
}

export function split(bytes: Uint8Array): { stdout: string; stderr: string; note: string } {
  const parts: Record<'stdout' | 'stderr' | 'note', Uint8Array[]> = { stdout: [], stderr: [], note: [] };
  for (let next = frame.decode(bytes); next !== undefined; next = frame.decode(next.rest)) {
    parts[next.frame.stream].push(next.frame.bytes);
  }
  const text = (pieces: readonly Uint8Array[]) => Buffer.concat(pieces).toString();
  return { stdout: text(parts.stdout), stderr: text(parts.stderr), note: text(parts.note) };
}

/** Until it is so. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within 15 s: ${what}`);
    await wait(10);
  }
}

/** Processes whose command line holds the words: of a container's command seen from outside. */
export async function processesWith(words: string): Promise<number> {
  let found = 0;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(words)) found += 1;
  }
  return found;
}

/** A small root file system: these programs and what they are linked with. */
export async function makeRootfs(directory: string, programs: readonly string[]): Promise<string> {
  for (const program of programs) {
    const { stdout } = await run('ldd', [program]).catch(() => ({ stdout: '' }));
    for (const file of [program, ...(stdout.match(/\/\S+/g) ?? [])]) {
      await mkdir(join(directory, dirname(file)), { recursive: true });
      await cp(file, join(directory, file), { dereference: true });
    }
  }
  return directory;
}

/** Sandboxes that are real namespaces and no more. Those of a file are found again by another process. */
export class MemoryEndpoints {
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #file: string | undefined;
  /** Thrown by the next call, once. */
  fault: Error | undefined;
  /** What the next closing waits for. */
  hindrance: Promise<void> | undefined;
  readonly asked: OpenSandbox[] = [];

  constructor(file?: string) {
    this.#file = file;
    const kept: Sandbox[] = file === undefined ? [] : readJson(file, []);
    for (const sandbox of kept) this.#sandboxes.set(sandbox.id, { ...sandbox, endpoints: new Map() });
  }

  async openSandbox(request: OpenSandbox): Promise<Sandbox> {
    this.#fail();
    this.asked.push(request);
    const { container, connect } = request;
    const [wish] = connect ?? [];
    if (wish?.network === 'taken') {
      throw new Refusal('forbidden', `service endpoint with name ${wish.name} already exists`);
    }
    const id = randomBytes(6).toString('hex');
    const sandbox: Sandbox = {
      id,
      key: await addNamespace(),
      ...(container && { container }),
      endpoints: new Map(),
      exit: { interface: 'eth0', mac: '02:42:ac:12:00:02', addresses: ['172.18.0.2/16'] },
    };
    this.#sandboxes.set(id, sandbox);
    this.#keep();
    return sandbox;
  }

  async closeSandbox(id: string): Promise<void> {
    this.#fail();
    await this.hindrance;
    const sandbox = this.#sandboxes.get(id);
    this.#sandboxes.delete(id);
    this.#keep();
    if (sandbox !== undefined) await removeNamespace(sandbox.key);
  }

  sandbox(id: string): Sandbox | undefined {
    return this.#sandboxes.get(id);
  }

  /** Its places on networks are these from now on; no kernel is told. */
  place(id: string, endpoints: Sandbox['endpoints']): void {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox !== undefined) this.#sandboxes.set(id, { ...sandbox, endpoints });
  }

  sandboxes(): readonly Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  #fail(): void {
    const { fault } = this;
    this.fault = undefined;
    if (fault !== undefined) throw fault;
  }

  #keep(): void {
    if (this.#file !== undefined) writeJson(this.#file, this.sandboxes());
  }
}

/** Keeps everything as the text that a disk would keep; that of a file is found again by another process. */
export function memoryJournal(file?: string): Pick<Journal, 'load' | 'commit'> {
  const kept = new Map<string, string>(file === undefined ? [] : readJson(file, []));
  const keyOf = ({ kind, id }: Pick<JournalChange, 'kind' | 'id'>) => `${kind}/${id}`;
  return {
    async load(kind) {
      return [...kept]
        .filter(([key]) => key.startsWith(`${kind}/`))
        .map(([key, text]) => ({ id: key.slice(kind.length + 1), value: JSON.parse(text) }));
    },
    async commit(changes) {
      for (const change of changes) {
        if ('put' in change) kept.set(keyOf(change), JSON.stringify(change.put));
        else kept.delete(keyOf(change));
      }
      if (file !== undefined) writeJson(file, [...kept]);
    },
  };
}

function readJson<T>(path: string, absent: T): T {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return absent;
  }
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, JSON.stringify(value));
  renameSync(`${path}.new`, path);
}

/** The supervisor of the command that runs as `pid`: its parent. */
export function supervisorOf(pid: number): number {
  return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** On a network that is called by its address. */
export function placeOf(address: string): LocalEndpoint {
  const endpoint = {
    ...{ id: 'e'.repeat(64), network: 'd'.repeat(64), name: 'web', aliases: [], mac: '02:42:0a:00:00:02' },
    ...{ addresses: [address], host: 'c'.repeat(32), epoch: 1, created: new Date(0).toISOString() },
    sandbox: { id: 'b'.repeat(12), key: '/nowhere' },
  };
  return { endpoint, interface: 'eth1', port: 'veth1' };
}
