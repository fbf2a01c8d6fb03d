import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../src/lab/run.ts';

/** Where the compiled `native/NAME.c` is. */
export function programOf(name: string): string {
  return fileURLToPath(new URL(`../build/bench-${name}`, import.meta.url));
}

/** Compiles `native/NAME.c` when it, or what it includes, is newer than its program. @returns the program's path */
export async function compile(name: string): Promise<string> {
  const [source = '', header = ''] = [`${name}.c`, 'measure.h'].map((file) =>
    fileURLToPath(new URL(`native/${file}`, import.meta.url)),
  );
  const program = programOf(name);
  const written = await Promise.all([source, header].map(async (path) => (await stat(path)).mtimeMs));
  const built = await stat(program).catch(() => undefined);
  if (built !== undefined && built.mtimeMs >= Math.max(...written)) return program;
  await mkdir(dirname(program), { recursive: true });
  await run(['cc', '-O2', '-o', program, source, '-lpthread']);
  return program;
}
