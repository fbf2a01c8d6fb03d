import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openNamespaces } from './namespace.ts';
import { openSyscalls } from './syscall.ts';

/** A network namespace for the tests of what works in one. */
export interface TestNamespace {
  readonly inside: <T>(work: () => T) => T;
  /** Runs a program in it. */
  readonly run: (program: string, ...args: readonly string[]) => string;
  readonly sh: (script: string) => string;
  readonly close: () => void;
}

export const sys = openSyscalls();

export function openTestNamespace(): TestNamespace {
  const directory = mkdtempSync(join(tmpdir(), 'skein-'));
  const path = join(directory, 'namespace');
  const namespaces = openNamespaces(sys);
  const fd = namespaces.make(path);
  const run = (program: string, ...args: readonly string[]) =>
    execFileSync('nsenter', [`--net=${path}`, program, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  return {
    inside: (work) => namespaces.inside(fd, work),
    run,
    sh: (script) => run('sh', '-euc', script),
    close() {
      closeSync(fd);
      namespaces.unpin(path);
      namespaces.close();
      rmSync(directory, { recursive: true });
    },
  };
}
