import { join } from 'node:path';
import { home } from '../lib/own-files.ts';
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
    shim: join(home, 'build/skein-shim'),
    holder: join(home, 'build/skein-holder'),
  } as const;
}
