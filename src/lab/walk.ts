import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { home } from '../lib/own-files.ts';
import type { Lab } from './lab.ts';
import { disagreement, Ids, type Part, parseWalkthrough } from './walkthrough.ts';

/** The page that `npm run demo` walks, and the one of `--store etcd`. */
export const firstPage = join(home, 'docs/walkthroughs/first.md');
export const etcdPage = join(home, 'docs/walkthroughs/000.md');

/** A command answered what the page does not say. */
export class Astray extends Error {
  override readonly name = 'Astray';
}

export interface WalkOptions {
  readonly signal?: AbortSignal;
  /** Told of each part before it is done, commands with this run's ids in them. */
  readonly onPart: (part: Part) => void;
  /** What a command wrote. */
  readonly onOutput: (output: string) => void;
}

/** What one command may take. */
const patience = 60_000;

export function readPage(path: string): readonly Part[] {
  return parseWalkthrough(readFileSync(path, 'utf8'));
}

/** Runs the page's commands on the lab's hosts, in order. @throws Astray at the first that does not answer as the page says */
export async function walk(lab: Lab, parts: readonly Part[], { signal, onPart, onOutput }: WalkOptions): Promise<void> {
  const ids = new Ids();
  for (const part of parts) {
    signal?.throwIfAborted();
    if (part.kind !== 'command') {
      onPart(part);
      continue;
    }
    const command = ids.translate(part.command);
    onPart({ ...part, command });
    const at = `line ${part.line} of the page, on ${part.host}`;
    const limit = AbortSignal.timeout(patience);
    const running = lab.host(part.host).attempt(['sh', '-c', `exec 2>&1\n${command}`], {
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    const { code, stdout } = await running.catch((error: unknown) => {
      if (!limit.aborted) throw error;
      throw new Astray(`${at}: ${command}: it did not end within ${patience / 1000} s`);
    });
    onOutput(stdout);
    if (code !== 0) throw new Astray(`${at}: ${command}: exit code ${code}`);
    const difference = disagreement(part.output, stdout, ids);
    if (difference !== undefined) throw new Astray(`${at}: ${command}: ${difference}`);
  }
}
