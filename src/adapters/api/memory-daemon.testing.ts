/** `node memory-daemon.testing.ts SOCKET`: the API over the controllers in memory, for tests that need a daemon of their own. */
import { silent } from '../../lib/log.ts';
import { memoryControllers } from './memory.testing.ts';
import { openApi } from './server.ts';

const [, , socket = ''] = process.argv;
const stopped = Promise.withResolvers<void>();
process.once('SIGTERM', () => stopped.resolve());
const api = await openApi({ ...memoryControllers({ stop: stopped.resolve }), log: silent }, { sockets: [socket] });
process.stdout.write('ready\n');
await stopped.promise;
await api.close();
process.exit(0);
