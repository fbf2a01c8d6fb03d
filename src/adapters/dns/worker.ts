import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Request, WorkerData, WorkerMessage } from './protocol.ts';
import { Server } from './server.ts';

/** The thread that answers questions: nothing that the daemon does holds them up, and they hold up nothing. */
function serve(port: NonNullable<typeof parentPort>, { domains, own }: WorkerData): void {
  const post = (message: WorkerMessage) => port.postMessage(message);
  const say =
    (level: keyof Log) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      post({ kind: 'log', level, message, fields });
  const log: Log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
  const server = new Server({ domains, own, log });

  port.on('message', (request: Request) => {
    const { id } = request;
    switch (request.kind) {
      case 'change':
        server.change(request.change).then(
          () => post({ kind: 'done', id }),
          (error: unknown) => post({ kind: 'failed', id, message: messageOf(error) }),
        );
        break;
      case 'status':
        post({ kind: 'done', id, status: server.status() });
        break;
      case 'close':
        server.close();
        post({ kind: 'done', id });
        port.close();
    }
  });
  post({ kind: 'ready' });
}

if (parentPort) serve(parentPort, workerData);
