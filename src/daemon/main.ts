import { startDataplaneThread } from '../dataplane/thread.ts';
import { startNameServerThread } from '../dns/thread.ts';
import { startDatabaseThread } from '../state/kv/local/thread.ts';

/**
 * `skein launch` executes this. The threads take as long to start as it takes to load the rest of the daemon, and need
 * nothing of it: they come first.
 */
const threads = { journal: startDatabaseThread(), dataplane: startDataplaneThread(), names: startNameServerThread() };
const { serve } = await import('./serve.ts');
await serve(process.argv.slice(2), threads);
