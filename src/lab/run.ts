import { spawn } from 'node:child_process';

/** What became of a command. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
}

/** The command ended with another exit code than 0. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly output: Output;

  constructor(command: readonly string[], output: Output) {
    const said = (output.stderr.trim() || output.stdout.trim()).slice(0, 4000);
    super(`${command.join(' ')}: exit code ${output.code}${said === '' ? '' : `: ${said}`}`);
    this.output = output;
  }
}

/** Runs a command to its end; a signal counts as 128 and its number does in a shell: 137 for SIGKILL. */
export function attempt(command: readonly string[], { input = '', signal, env }: RunOptions = {}): Promise<Output> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(signal && { signal }),
      ...(env && { env }),
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 137, stdout, stderr }));
    // A command that does not read its input may be gone before it is written.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** @throws CommandError */
export async function run(command: readonly string[], options?: RunOptions): Promise<Output> {
  const output = await attempt(command, options);
  if (output.code !== 0) throw new CommandError(command, output);
  return output;
}
