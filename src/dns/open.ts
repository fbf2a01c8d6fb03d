import type { Worker } from 'node:worker_threads';
import { messageOf, ParseError } from '../lib/errors.ts';
import { type Log, silent } from '../lib/log.ts';
import { nameServerAddresses } from '../model/name-server.ts';
import type { NameServer } from './dns.ts';
import type { Request, WorkerMessage } from './protocol.ts';
import { startNameServerThread } from './thread.ts';
import { toWireName } from './wire-name.ts';

export interface NameServerOptions {
  /** By default one is started. */
  readonly thread?: Worker;
  /** Names end in them, and what does and is not known is nowhere. The first is `skein.local` unless it is set. */
  readonly domains?: readonly string[];
  readonly log?: Log;
  /** Called with the ids of sockets that could not be opened or failed later: nobody answers them, and they are closed. */
  readonly onLost?: (sockets: readonly string[]) => void;
  /** Called when the thread ends by itself: nobody is answered any more. */
  readonly onEnd?: (reason: Error) => void;
}

/** Answers as long as it is open, in a thread of its own. @throws ParseError for a domain that is none */
export async function openNameServer(options: NameServerOptions = {}): Promise<NameServer> {
  const { domains = ['skein.local'], log = silent } = options;
  const names = domains.map(domain);
  const worker = options.thread ?? startNameServerThread();
  const pending = new Map<number, PromiseWithResolvers<Done>>();
  const ended = Promise.withResolvers<void>();
  let failure: Error | undefined;
  let closed: Promise<void> | undefined;
  let id = 0;

  worker.on('message', (message: WorkerMessage) => {
    switch (message.kind) {
      case 'log':
        return log[message.level](message.message, message.fields);
      case 'lost':
        return options.onLost?.(message.sockets);
      case 'done':
        pending.get(message.id)?.resolve(message);
        return void pending.delete(message.id);
      case 'failed':
        pending.get(message.id)?.reject(new (message.parse ? ParseError : Error)(message.message));
        return void pending.delete(message.id);
    }
  });
  const fail = (error: Error) => {
    failure ??= error;
    for (const waiting of pending.values()) waiting.reject(failure);
    pending.clear();
  };
  const end = (reason: Error) => {
    log.error('name server thread ended', { error: reason.message });
    fail(reason);
    options.onEnd?.(reason);
  };
  worker.on('error', (error) => {
    end(new Error(`the thread that answers for names ended: ${messageOf(error)}`, { cause: error }));
  });
  worker.on('exit', () => {
    if (closed === undefined && failure === undefined) end(new Error('the thread that answers for names ended'));
    fail(new Error('the name server is closed'));
    ended.resolve();
  });
  function call(request: DistributiveOmit<Request, 'id'>): Promise<Done> {
    if (failure) return Promise.reject(failure);
    if (closed && request.kind !== 'close') return Promise.reject(new Error('the name server is being closed'));
    const waiting = Promise.withResolvers<Done>();
    id++;
    pending.set(id, waiting);
    worker.postMessage({ id, ...request } satisfies Request);
    return waiting.promise;
  }

  await call({ kind: 'open', domains: names, own: Object.values(nameServerAddresses) });
  return {
    async change(change) {
      await call({ kind: 'change', change });
    },
    async lookup(lookup) {
      const { found } = await call({ kind: 'lookup', lookup });
      if (found === undefined) throw new Error('the name server found nothing to say');
      return found;
    },
    async status() {
      const { status } = await call({ kind: 'status' });
      if (status === undefined) throw new Error('the name server gave no status');
      return status;
    },
    close() {
      closed ??= call({ kind: 'close' }).then(
        () => ended.promise,
        () => ended.promise,
      );
      return closed;
    },
  };
}

type Done = Extract<WorkerMessage, { kind: 'done' }>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function domain(text: string): string {
  const name = toWireName(text);
  if (name === undefined) throw new ParseError(`${JSON.stringify(text)} is not a domain such as skein.local`);
  return name;
}
