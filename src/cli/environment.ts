import { readFileSync } from 'node:fs';
import { messageOf, Refusal } from '../lib/errors.ts';

/** `-e` and `--env-file` as Docker reads them: a name alone takes its value from here, or is left out. @throws Refusal */
export function readEnvironment(options: {
  readonly env: readonly string[];
  readonly envFile: readonly string[];
}): string[] {
  const files = options.envFile.flatMap((path) => parseEnvironmentFile(readFile(path)));
  return [...files, ...options.env].flatMap((entry) => {
    if (entry.startsWith('=') || entry === '')
      throw new Refusal('invalid', `${JSON.stringify(entry)} is not KEY=VALUE`);
    if (entry.includes('=')) return [entry];
    const value = process.env[entry];
    return value === undefined ? [] : [`${entry}=${value}`];
  });
}

export function parseEnvironmentFile(text: string): string[] {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, '').trimStart());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Refusal('invalid', `cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}
