import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { messageOf, ParseError } from '../lib/errors.ts';
import { relayed } from '../lib/log.ts';
import type { Request, WorkerMessage } from './protocol.ts';
import { Server } from './server.ts';

/** The thread that answers questions: nothing that the daemon does holds them up, and they hold up nothing. */
function serve(port: NonNullable<typeof parentPort>): void {
  const post = (message: WorkerMessage) => port.postMessage(message);
  const log = relayed((level, message, fields) => post({ kind: 'log', level, message, fields }));
  const onLost = (sockets: readonly string[]) => post({ kind: 'lost', sockets });
  let server: Server | undefined;

  const opened = () => {
    if (server === undefined) throw new Error('the name server is not open');
    return server;
  };
  const answer = async (request: Request): Promise<void> => {
    const { id } = request;
    switch (request.kind) {
      case 'open':
        server = new Server({ domains: request.domains, own: request.own, log, onLost });
        return post({ kind: 'done', id });
      case 'change':
        await opened().change(request.change);
        return post({ kind: 'done', id });
      case 'status':
        return post({ kind: 'done', id, status: opened().status() });
      case 'lookup':
        return post({ kind: 'done', id, found: await opened().lookup(request.lookup) });
      case 'close':
        await server?.close();
        post({ kind: 'done', id });
        return port.close();
    }
  };
  port.on('message', (request: Request) => {
    answer(request).catch((error: unknown) => {
      post({ kind: 'failed', id: request.id, message: messageOf(error), parse: error instanceof ParseError });
    });
  });
}

/**
 * This thread's alone (setpriority(2)): what it does is short, and somebody waits for it, while others attach containers for
 * as long as they like. Who may not is served without.
 */
function comeFirst(): void {
  try {
    setPriority(-10);
  } catch {
    return;
  }
}

if (parentPort) {
  comeFirst();
  serve(parentPort);
}
