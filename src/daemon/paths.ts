import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Settings } from '../model/settings.ts';

/** Where everything of a host is. */
export function pathsOf({ stateDir, runDir }: Pick<Settings, 'stateDir' | 'runDir'>) {
  return {
    journal: join(stateDir, 'journal.db'),
    /** Of a `local:` store without a path. */
    store: join(stateDir, 'store.db'),
    containers: join(stateDir, 'containers'),
    /** Of their supervisors' sockets. */
    controls: join(runDir, 'c'),
    namespaces: join(runDir, 'netns'),
    pid: join(runDir, 'skein.pid'),
    socket: join(runDir, 'skein.sock'),
    shim: fileURLToPath(new URL('../../build/skein-shim', import.meta.url)),
  } as const;
}
