import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { etcdCommand } from './etcd.ts';
import { lastWords, type Place } from './place.ts';

/** What runs in a lab beside the hosts' daemons. */

/** What answers for the Internet. */
const answerer = `require('node:net').createServer((socket) => socket.on('error', () => {})
  .end(socket.remoteAddress.replace(/^::ffff:/, '') + '\\n')).listen(80, '::')`;

export function startOutside(outside: Place): void {
  service(outside, [process.execPath, '-e', answerer]);
}

/** Resolves when it serves at the URL. @throws Error with the last lines that it wrote */
export async function startStore(underlay: Place, store: string): Promise<void> {
  const listen = store.slice('etcd://'.length);
  service(underlay, etcdCommand({ dataDir: '/var/lib/etcd-of-the-lab', listen }));
  const deadline = Date.now() + 20_000;
  const ask = ['etcdctl', '--endpoints', `http://${listen}`, '--dial-timeout=1s', 'endpoint', 'health'];
  for (;;) {
    const { code, stderr } = await underlay.attempt(ask);
    if (code === 0) return;
    if (Date.now() > deadline) {
      const log = lastWords(join(underlay.folder, 'service.log'));
      throw new Error(`start the lab's etcd on ${listen}: not healthy after 20 s: ${stderr.trim()} ${log}`);
    }
    await sleep(50);
  }
}

/** Runs on when this process ends, until its place does; writes to a file beside the place's own. */
function service(place: Place, command: readonly string[]): void {
  const log = openSync(join(place.folder, 'service.log'), 'a');
  place.spawn(command, { stdio: ['ignore', log, log], detached: true }).unref();
  closeSync(log);
}
