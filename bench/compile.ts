import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../src/lab/run.ts';

/** Where the compiled `native/NAME.c` is. */
export function programOf(name: string): string {
  return fileURLToPath(new URL(`../build/bench-${name}`, import.meta.url));
}

/** Compiles `native/NAME.c` when it is newer than its program. @returns the program's path */
export async function compile(name: string): Promise<string> {
  const source = fileURLToPath(new URL(`native/${name}.c`, import.meta.url));
  const program = programOf(name);
  const [written, built] = await Promise.all([source, program].map((path) => stat(path).catch(() => undefined)));
  if (written !== undefined && built !== undefined && built.mtimeMs >= written.mtimeMs) return program;
  await mkdir(dirname(program), { recursive: true });
  await run(['cc', '-O2', '-o', program, source, '-lpthread']);
  return program;
}
