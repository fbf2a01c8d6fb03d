import { fileURLToPath } from 'node:url';
import { Refusal } from '../lib/errors.ts';
import { programAt } from '../lib/own-files.ts';

/** A program of the daemon: beside us as source in a clone, as JavaScript in the package. */
export function daemonProgram(name: 'main' | 'reset-main' | 'doctor-main'): string {
  return fileURLToPath(programAt(`daemon/${name}`));
}

/** What a program's Node is told. */
export interface NodeSettings {
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const plain: NodeSettings = { flags: [], env: {} };

/** This process becomes the program: one pid for whoever waits for it. */
export function execute(program: string, args: readonly string[], { flags, env }: NodeSettings = plain): void {
  process.removeAllListeners('warning');
  if (process.execve === undefined)
    throw new Refusal('unsupported', 'this Node cannot execute the daemon; 24 is needed');
  process.execve(process.execPath, [process.execPath, ...flags, program, ...args], { ...process.env, ...env });
}
