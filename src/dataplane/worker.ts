import { readSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { routes } from '../kernel/route/routes.ts';
import { openSyscalls } from '../kernel/syscall.ts';
import { messageOf } from '../lib/errors.ts';
import { relayed } from '../lib/log.ts';
import { look } from './look.ts';
import { HOST } from './objects.ts';
import { ProbePlace } from './probe/place.ts';
import { strangers } from './probe/strangers.ts';
import { type Call, type CallMessage, toWire, type WorkerMessage, type WorkerPlaces } from './protocol.ts';
import { Reconciler } from './reconciler.ts';
import { Watcher } from './watcher.ts';

/**
 * The thread that works on the kernel: it sleeps in poll(2) until the main thread or the kernel has something to say, and
 * never returns to its event loop. So nothing here can wait in the wrong namespace, and it ends when it is told to, not
 * by `terminate`, which would wait for a system call.
 */

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
/** Cut links are deleted when nobody has asked for anything for so long; deleting makes the next one wait. */
const QUIET_MS = 50;

function main(port: NonNullable<typeof parentPort>, places: WorkerPlaces): void {
  const post = (message: WorkerMessage) => port.postMessage(message);
  const log = relayed((level, message, fields) => post({ kind: 'log', level, message, fields }));

  const sys = openSyscalls();
  const reconciler = new Reconciler(sys, { ...places, log });
  let carrier: ReturnType<Reconciler['carrier']>;
  const lookAtCarrier = () => {
    const now = reconciler.carrier();
    if (now === undefined || isDeepStrictEqual(now, carrier)) return;
    carrier = now;
    post({ kind: 'carrier', ...now });
  };
  const onForeign = () => post({ kind: 'foreign' });
  const watcher = new Watcher(sys, reconciler, { log, onForeign, onHost: lookAtCarrier });
  const wake = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  post({ kind: 'ready', wake });

  /** Calls that have come and wait for what is being done. */
  const waiting: CallMessage[] = [];
  const next = (): CallMessage | undefined => waiting.shift() ?? receiveMessageOnPort(port)?.message;

  /** In the pauses of a repair those calls are answered that hold nobody up, in the order in which they came. */
  const pause = () => {
    for (let message = next(); message; message = next()) {
      if (!isShort(message.call)) {
        waiting.unshift(message);
        return;
      }
      answer(message);
      watcher.forget();
    }
  };

  const answer = ({ id, call }: CallMessage): void => {
    const answered = resultOf(id, call);
    tellSockets();
    post(answered);
  };

  const resultOf = (id: number, call: Call): WorkerMessage => {
    try {
      return { kind: 'done', id, value: run(call) };
    } catch (error) {
      return { kind: 'failed', id, error: toWire(error) };
    }
  };

  let unheld: string | undefined;
  const tellSockets = () => {
    if (reconciler.unheld !== unheld) {
      unheld = reconciler.unheld;
      post({ kind: 'unheld', why: unheld });
    }
    try {
      const change = reconciler.socketNews();
      if (change) post({ kind: 'sockets', change });
    } catch (error) {
      log.error('sockets for names cannot be handed on', { error: messageOf(error) });
    }
  };

  /** Of which a notification may have been lost. */
  const withCarrier = <T>(value: T): T => {
    lookAtCarrier();
    return value;
  };

  let probes: ProbePlace | undefined;
  const run = (call: Call): unknown => {
    switch (call[0]) {
      case 'set':
        return withCarrier({ steps: reconciler.set(call[1]) });
      case 'change':
        return reconciler.change(call[1]);
      case 'repair':
        return withCarrier({ steps: reconciler.repair(pause) });
      case 'adopt':
        return reconciler.places.adopt(call[1]);
      case 'unanswered':
        return reconciler.unanswered(call[1]);
      case 'look':
        return look(reconciler.places);
      case 'probePlace':
        if (!reconciler.isGuarded) throw new Error('a tunnel of probes is opened behind the guard alone');
        probes?.close();
        probes = undefined;
        probes = new ProbePlace(sys, call[1]);
        return probes.sockets;
      case 'probeTargets':
        return probes?.set(call[1]);
      case 'probeStream':
        return probes?.stream(call[1]);
      case 'probeRoute':
        return probes && routes.find(reconciler.places.netlink(HOST), { dst: call[1], src: probes.data })?.mtu;
      case 'probeStrangers':
        return probes === undefined ? [] : strangers(reconciler.places, probes.data);
      case 'close':
        return undefined;
    }
  };

  const counter = new Uint8Array(8);
  let quiet = performance.now() + QUIET_MS;
  for (;;) {
    const untilQuiet = reconciler.hasDead ? Math.max(0, quiet - performance.now()) : Infinity;
    const patience = Math.min(untilQuiet, watcher.patience);
    const [woken, ...told] = sys.poll([wake, ...watcher.fds], Number.isFinite(patience) ? Math.ceil(patience) : -1);
    if (woken) readSync(wake, counter);
    let busy = false;
    for (let message = next(); message; message = next()) {
      busy = true;
      answer(message);
      if (message.call[0] === 'close') {
        watcher.close();
        probes?.close();
        reconciler.close();
        sys.close(wake);
        port.close();
        return;
      }
    }
    if (busy) {
      try {
        watcher.forget();
      } catch (error) {
        log.error('the kernel told what cannot be read', { error: messageOf(error) });
      }
      quiet = performance.now() + QUIET_MS;
      continue;
    }
    try {
      if (told.some((events) => events !== 0)) watcher.read();
      if (reconciler.hasDead && performance.now() >= quiet) reconciler.sweep();
      watcher.putRight(pause);
      tellSockets();
    } catch (error) {
      log.error('kernel state could not be put right', { error: messageOf(error) });
    }
  }
}

function isShort([name]: Call): boolean {
  return name !== 'set' && name !== 'repair' && name !== 'close';
}

const port = parentPort;
port?.once('message', (places: WorkerPlaces) => main(port, places));
