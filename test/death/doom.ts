import { appendFileSync, readFileSync } from 'node:fs';

/**
 * Counts the calls of this thread of a daemon, and kills the process at one of them. What is to happen stands in a file,
 * which is read at every call: so a daemon that runs can be told, and one that is about to start.
 *
 * Only calls that change something are counted. A death before a reading is one after the change before it.
 */

/**
 * `kernel` is what the kernel's thread does, `journal` the journal's, `store` requests to it, `files` the main thread's
 * files.
 */
export type Kind = 'kernel' | 'journal' | 'store' | 'files';

export interface Orders {
  /** Counting begins anew with each. */
  readonly id: string;
  /** Without it calls are only counted. */
  readonly die?: {
    readonly kind: Kind;
    readonly call: number;
    readonly when: 'before' | 'after';
    /** Milliseconds that the other threads go on before it dies. */
    readonly late?: number;
  };
}

/** In the host's own /run. */
export const ordersFile = 'doom-orders';
/** A line a call: kind, number, what it is. */
export const callsFile = 'doom-calls';

let current = '';
const counts = new Map<Kind, number>();

/** @returns what is to be called when the call has been made */
function enter(kind: Kind, what: string): () => void {
  const orders = readOrders();
  if (orders === undefined) return () => undefined;
  if (orders.id !== current) {
    current = orders.id;
    counts.clear();
  }
  const count = (counts.get(kind) ?? 0) + 1;
  counts.set(kind, count);
  const { die } = orders;
  const mine = die?.kind === kind && die.call === count ? die : undefined;
  appendFileSync(`/run/${callsFile}`, `${kind} ${count} ${what}\n`);
  if (mine?.when === 'before') end(mine.late);
  return () => {
    if (mine !== undefined) end(mine.late);
  };
}

export function counted<T>(kind: Kind, what: string, call: () => T): T {
  const leave = enter(kind, what);
  try {
    return call();
  } finally {
    leave();
  }
}

export async function countedLater<T>(kind: Kind, what: string, call: () => Promise<T>): Promise<T> {
  const leave = enter(kind, what);
  try {
    return await call();
  } finally {
    leave();
  }
}

function readOrders(): Orders | undefined {
  try {
    return JSON.parse(readFileSync(`/run/${ordersFile}`, 'utf8'));
  } catch {
    return undefined;
  }
}

function end(late = 0): void {
  const still = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(still, 0, 0, late);
  process.kill(process.pid, 'SIGKILL');
  // The signal may find another thread first.
  Atomics.wait(still, 0, 0);
}
