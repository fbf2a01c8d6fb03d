import { parentPort } from 'node:worker_threads';
import { messageOf } from '../lib/errors.ts';
import { relayed } from '../lib/log.ts';
import type { Request, WorkerMessage } from './protocol.ts';
import { Server } from './server.ts';

/** The thread that answers questions: nothing that the daemon does holds them up, and they hold up nothing. */
function serve(port: NonNullable<typeof parentPort>): void {
  const post = (message: WorkerMessage) => port.postMessage(message);
  const log = relayed((level, message, fields) => post({ kind: 'log', level, message, fields }));
  let server: Server | undefined;

  const answer = async (request: Request): Promise<void> => {
    const { id } = request;
    switch (request.kind) {
      case 'open':
        server = new Server({ domains: request.domains, own: request.own, log });
        return post({ kind: 'done', id });
      case 'change':
        await server?.change(request.change);
        return post({ kind: 'done', id });
      case 'status':
        return post(server === undefined ? { kind: 'done', id } : { kind: 'done', id, status: server.status() });
      case 'close':
        await server?.close();
        post({ kind: 'done', id });
        return port.close();
    }
  };
  port.on('message', (request: Request) => {
    answer(request).catch((error: unknown) => post({ kind: 'failed', id: request.id, message: messageOf(error) }));
  });
}

if (parentPort) serve(parentPort);
