import { fileURLToPath } from 'node:url';

/**
 * Where our own files are: the sources in a clone, in the package the few that they were bundled into. This one is a folder
 * below `src`, and those that the package's are bundled into are a folder below `dist`: the way up is the same.
 */
const code = new URL('../', import.meta.url);

export const isClone = import.meta.url.endsWith('.ts');

/** The folder of the clone, or of the package. */
export const home = fileURLToPath(new URL('../', code));

/** A program of ours, by its path in `src` without the extension. */
export function programAt(path: string): URL {
  return new URL(`${path}.${isClone ? 'ts' : 'js'}`, code);
}
