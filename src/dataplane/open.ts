import { closeSync, writeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Worker } from 'node:worker_threads';
import { messageOf } from '../lib/errors.ts';
import { type Log, silent } from '../lib/log.ts';
import type { Carrier, Dataplane, SocketChange } from './dataplane.ts';
import { openProbes } from './probe/open.ts';
import type { ProbeInit } from './probe/place.ts';
import type { Probes } from './probe/probe.ts';
import { type Call, type CallMessage, fromWire, type WorkerMessage, type WorkerPlaces } from './protocol.ts';
import { startDataplaneThread } from './thread.ts';

export interface DataplaneOptions {
  /** By default one is started. */
  readonly thread?: Worker;
  /** Namespaces are pinned in `<run>/netns`. */
  readonly run?: string;
  /** Where `ip netns` looks for namespaces. */
  readonly ipNetns?: string;
  /** Outlives a restart: settings of the host that were changed, as they were. */
  readonly state?: string;
  /** The program that keeps sockets over a restart; without it none is started. It listens at `<run>/holder.sock`. */
  readonly holder?: string;
  readonly log?: Log;
  /** Called when packet rules of others on this host were changed, once or more for a change. */
  readonly onForeign?: () => void;
  /** Called with the interface that has the data address, once it is known and whenever it changes. */
  readonly onCarrier?: (carrier: Carrier | undefined) => void;
  /** Called after sockets have come or gone with a change of the kernel, before that change's promise resolves. */
  readonly onSockets?: (change: SocketChange) => void;
  /** Called with the reason why sockets will not outlive the daemon, and with none once they will. */
  readonly onUnheld?: (why: string | undefined) => void;
  /** Called when the thread ends by itself: nothing can be done to the kernel any more. */
  readonly onEnd?: (reason: Error) => void;
}

export interface WithProbes extends Dataplane {
  /**
   * One at a time, and none before there is an underlay: the guard comes with it.
   * @throws KernelError EADDRINUSE, EEXIST when another VXLAN device is in the way
   */
  openProbes(init: ProbeInit): Promise<Probes>;
}

/**
 * The data plane of the network namespace that the process is in, worked on by a thread of its own: its work is
 * synchronous, and the kernel makes it wait now and then.
 * @throws KernelError
 */
export async function openDataplane(options: DataplaneOptions = {}): Promise<WithProbes> {
  const { run = '/run/skein', ipNetns = '/run/netns', state = '/var/lib/skein', log = silent } = options;
  const { holder, onSockets = closeAll } = options;
  const worker = options.thread ?? startDataplaneThread();
  const pending = new Map<number, PromiseWithResolvers<unknown>>();
  const ready = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<void>();
  let failure: Error | undefined;
  let id = 0;

  worker.on('message', (message: WorkerMessage) => {
    switch (message.kind) {
      case 'ready':
        return ready.resolve(message.wake);
      case 'foreign':
        return options.onForeign?.();
      case 'carrier':
        return options.onCarrier?.(message.carrier);
      case 'sockets':
        return onSockets(message.change);
      case 'unheld':
        return options.onUnheld?.(message.why);
      case 'log':
        return log[message.level](message.message, message.fields);
      case 'done':
      case 'failed': {
        const waiting = pending.get(message.id);
        pending.delete(message.id);
        if (message.kind === 'done') waiting?.resolve(message.value);
        else waiting?.reject(fromWire(message.error));
      }
    }
  });
  const fail = (error: Error) => {
    failure ??= error;
    ready.reject(failure);
    for (const waiting of pending.values()) waiting.reject(failure);
    pending.clear();
  };
  worker.on('error', (error) => {
    const message = `the data plane's thread ended: ${messageOf(error)}`;
    log.error('data plane thread ended', { error: messageOf(error) });
    fail(new Error(message, { cause: error }));
    options.onEnd?.(new Error(message, { cause: error }));
  });
  worker.on('exit', () => {
    fail(new Error('the data plane is closed'));
    ended.resolve();
  });
  // A thread of the pool stays in the namespace of the thread that starts it: they are started now, at home.
  await stat('/');
  worker.postMessage({ run, ipNetns, state, ...(holder !== undefined && { holder }) } satisfies WorkerPlaces);
  const wake = await ready.promise;
  let closed: Promise<void> | undefined;

  /** The worker sleeps in poll(2): the message is put first, then it is woken. */
  function call<T>(...request: Call): Promise<T> {
    if (failure) return Promise.reject(failure);
    if (closed && request[0] !== 'close') return Promise.reject(new Error('the data plane is being closed'));
    const waiting = Promise.withResolvers<unknown>();
    id++;
    pending.set(id, waiting);
    worker.postMessage({ id, call: request } satisfies CallMessage);
    writeSync(wake, ONE);
    return waiting.promise as Promise<T>;
  }

  return {
    set: (pieces) => call('set', pieces),
    change: (change) => call('change', change),
    repair: () => call('repair'),
    adopt: (source) => call('adopt', source),
    async unanswered(sockets) {
      await call('unanswered', sockets);
    },
    look: () => call('look'),
    openProbes: (init) =>
      openProbes(init, {
        place: (at) => call('probePlace', at),
        targets: (targets) => call('probeTargets', targets),
        stream: (mtu) => call('probeStream', mtu),
        route: (data) => call('probeRoute', data),
        strangers: () => call('probeStrangers'),
      }),
    close() {
      closed ??= call('close').then(() => ended.promise);
      return closed;
    },
  };
}

function closeAll({ put }: SocketChange): void {
  for (const { fd } of put) closeSync(fd);
}

/** What an event counter takes: 64 bits, of this machine's order. */
const ONE = new Uint8Array(BigUint64Array.of(1n).buffer);
