import { cp, mkdtemp, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LabHost } from '../src/lab/lab.ts';
import { run } from '../src/lab/run.ts';

const root = fileURLToPath(new URL('../', import.meta.url));

/** What people install, built from this clone: in a lab the clone's own sources run, which have to be translated first. */
export interface BuiltPackage {
  /** Starts the host's daemon. Resolves when it answers. */
  launch(host: LabHost): Promise<void>;
  /** What is executed with these arguments, for `LabHost.exec`. */
  command(...args: readonly string[]): string[];
}

export async function buildPackage(say: (line: string) => void): Promise<BuiltPackage> {
  say('building the package');
  await run(['npm', 'run', '-s', '--prefix', root, 'build:run']);
  const folder = await mkdtemp(join(tmpdir(), 'package-'));
  await cp(join(root, 'skein'), join(folder, 'skein'));
  for (const part of ['dist', 'build', 'node_modules', 'package.json'])
    await symlink(join(root, part), join(folder, part));
  const path = [dirname(process.execPath), process.env['PATH']].join(delimiter);
  const command = (...args: readonly string[]) => ['env', `PATH=${path}`, join(folder, 'skein'), ...args];
  return {
    launch: async (host) => {
      await host.exec(command('launch', '--detach'));
    },
    command,
  };
}
