import { spawn } from 'node:child_process';

/** A command cannot be started, for a reason that is not the command's. */
export class ShimError extends Error {
  override readonly name = 'ShimError';
}

export interface ShimPlace {
  /** The supervisor's directory: log, pid, exit record. */
  readonly directory: string;
  /** Path of its control socket. */
  readonly control: string;
  /** The program `skein-shim`. */
  readonly shim: string;
}

/** @throws ShimError when the program cannot be executed */
export async function runShim(
  { shim, directory }: ShimPlace,
  mode: 'run' | 'exec' | 'end',
): Promise<{ code: number; output: string; errors: string }> {
  const child = spawn(shim, [mode, directory], { stdio: ['ignore', 'pipe', 'pipe'], env: {}, cwd: '/' });
  const texts = Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', (cause) => reject(new ShimError(`execute ${shim}: ${cause.message}`, { cause })));
  child.once('close', (code) => resolve(code ?? 125));
  const [code, [output, errors]] = await Promise.all([promise, texts]);
  return { code, output: Buffer.concat(output).toString().trim(), errors: Buffer.concat(errors).toString().trim() };
}
