import { registerHooks } from 'node:module';

/**
 * Loaded before the daemon's own main, in each of its threads (`node --import`): whoever asks for one of these modules gets
 * the one beside this file, which counts the calls that go through it and can die at each. The daemon knows nothing of it.
 */
const stands = (name: string) => new URL(name, import.meta.url).href;
const sources = new URL('../../src/', import.meta.url).href;

const instead: ReadonlyMap<string, string> = new Map([
  ['kernel/syscall.ts', stands('syscall.ts')],
  ['state/kv/etcd/gateway.ts', stands('gateway.ts')],
  ['state/kv/local/tables.ts', stands('tables.ts')],
]);
/** Files that are kernel or local state; who writes them there. */
const writers: readonly [module: string, folders: readonly string[], instead: string][] = [
  ['node:fs', ['kernel/', 'dataplane/', 'daemon/'], stands('files.ts')],
  ['node:fs/promises', ['controllers/', 'daemon/', 'adapters/'], stands('files-promises.ts')],
  ['node:child_process', ['controllers/'], stands('child-process.ts')],
  ['node:worker_threads', ['state/'], stands('worker-threads.ts')],
];

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    const from = context.parentURL?.startsWith(sources) ? context.parentURL.slice(sources.length) : undefined;
    if (from === undefined) return found;
    const to = found.url.startsWith(sources) ? found.url.slice(sources.length) : found.url;
    const writer = writers.find(
      ([module, folders]) => module === to && folders.some((folder) => from.startsWith(folder)),
    );
    const url = instead.get(to) ?? writer?.[2];
    return url === undefined ? found : { ...found, url, format: 'module-typescript' };
  },
});
