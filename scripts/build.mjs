import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

/**
 * Bundles what the package runs into `dist/`: one file a program, and what several of them use, or only some commands, in
 * files of its own. Looking up and linking hundreds of modules cost a quarter of the daemon's start.
 */
const root = join(import.meta.dirname, '..');
await rm(join(root, 'dist'), { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: [
    'src/cli/main.ts',
    ...['main', 'doctor-main', 'reset-main'].map((name) => `src/daemon/${name}.ts`),
    ...['dns', 'dataplane', 'state/kv/local'].map((folder) => `src/${folder}/worker.ts`),
  ],
  outdir: 'dist',
  outbase: 'src',
  // As deep as what `src/lib/own-files.ts` is in.
  chunkNames: 'parts/[name]-[hash]',
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node24',
  legalComments: 'none',
  logLevel: 'warning',
});
