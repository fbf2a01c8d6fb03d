import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Our small C programs, for tests. */
export type NativeProgram = 'shim' | 'holder';

const run = promisify(execFile);
const native = new URL('../../native/', import.meta.url).pathname;
const build = new URL('../../build/', import.meta.url).pathname;

/** The program as `npm test` has built it, or built now when its sources are newer. @returns its path */
export async function builtProgram(name: NativeProgram): Promise<string> {
  const output = join(build, `skein-${name}`);
  const folder = join(native, name);
  const sources = (await readdir(folder)).map((file) => join(folder, file));
  const changes = await Promise.all(
    [join(native, 'build.sh'), ...sources].map(async (path) => (await stat(path)).mtimeMs),
  );
  const age = await stat(output).catch(() => undefined);
  if (age === undefined || age.mtimeMs < Math.max(...changes)) await run(join(native, 'build.sh'), [name, output]);
  return output;
}

/** The same with the compiler's own checks: whatever they find kills it. */
export async function sanitizedProgram(name: NativeProgram, directory: string): Promise<string> {
  const output = join(directory, `skein-${name}`);
  const flags = ['-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  await run(join(native, 'build.sh'), [name, output, ...flags]);
  return output;
}
