import { duplicate, openInetSocket } from '../kernel/inet-socket.ts';
import { inodeOf } from '../kernel/namespace.ts';
import type { Syscalls } from '../kernel/syscall.ts';
import { ParseError } from '../lib/errors.ts';
import type { NameSocketPlace, SocketChange } from './dataplane.ts';
import { Holding, type HoldingOptions } from './holding.ts';
import { HOST, idOf, isNetworkNamespace, type ObjectId, object, type SocketObject } from './objects.ts';
import type { HeldNamespace, Places } from './places.ts';
import type { Desired, Step } from './plan.ts';
import { formatSocketName, parseSocketName, type SocketName } from './socket-name.ts';

/**
 * Sockets at which questions come in. Each is open here, held by another process that outlives this one, and told of with
 * a descriptor of its own: whichever of the three dies, its successor has it from another.
 */
export class Sockets {
  readonly #sys: Syscalls;
  readonly #places: Places;
  readonly #holding: Holding;
  /** By the name that they are held under. */
  readonly #open = new Map<string, OpenSocket>();
  readonly #keys = new Map<ObjectId, string>();
  /** Not told of yet. */
  readonly #fresh = new Set<OpenSocket>();
  /** Ids under which they were told, and nobody answers. */
  readonly #unanswered = new Set<string>();
  readonly #gone: string[] = [];
  #count = 0;

  constructor(sys: Syscalls, places: Places, options: HoldingOptions) {
    this.#sys = sys;
    this.#places = places;
    this.#holding = new Holding(sys, options);
  }

  /** Sees to it that all are held, and takes over what an earlier life has left. What nobody answers is news again. */
  renew(): void {
    const again = [...this.#open.values()].filter(({ id }) => this.#unanswered.has(id));
    for (const { name, fd } of again) this.#take(name, fd);
    this.#unanswered.clear();
    const held = this.#holding.renew(this.#open.keys());
    if (held === undefined) return;
    for (const [key, fd] of held) {
      const isKnown = this.#open.has(key);
      const name = isKnown ? undefined : understood(key);
      if (name !== undefined) this.#take(name, fd);
      else this.#sys.close(fd);
      if (name === undefined && !isKnown) this.#holding.drop(key);
    }
    for (const [key, { fd }] of this.#open) if (!held.has(key)) this.#holding.keep(key, fd);
  }

  /** Namespaces of networks, each with a socket that keeps it in existence. */
  namespaces(): ReadonlyMap<string, HeldNamespace> {
    const own = [...this.#open.values()].filter(({ name }) => isNetworkNamespace(name.namespace));
    return new Map(own.map(({ name, fd }) => [name.namespace, { inode: name.inode, socket: fd }]));
  }

  /** All that there are, where namespaces have these numbers. */
  list(pinned: ReadonlyMap<string, string>): readonly SocketObject[] {
    const home = inodeOf(this.#places.fd(HOST));
    this.#keys.clear();
    return [...this.#open].map(([key, { name }]) => {
      const { namespace, inode, ...place } = name;
      const isThere = inode === (namespace === HOST ? home : pinned.get(namespace));
      const found = object.socket(namespace, isThere ? place : { ...place, inode });
      this.#keys.set(idOf(found), key);
      return found;
    });
  }

  /**
   * Works off steps of one kind in one namespace, and tells `done` those that were.
   * @throws KernelError of the first that failed
   */
  apply(steps: readonly SocketStep[], done: (step: Step) => void): void {
    const [first] = steps;
    if (first === undefined) return;
    if (first.do === 'remove') {
      for (const step of steps) {
        this.#remove(idOf(step.object));
        done(step);
      }
      return;
    }
    const { namespace } = first.object;
    const inode = inodeOf(this.#places.fd(namespace));
    const opened: (readonly [step: SocketStep, fd: number])[] = [];
    try {
      this.#places.inside(namespace, () => {
        for (const step of steps) opened.push([step, openInetSocket(this.#sys, step.object)]);
      });
    } finally {
      for (const [step, fd] of opened) {
        const { transport, address, port } = step.object;
        const { key } = this.#take({ namespace, inode, transport, address, port }, fd);
        this.#keys.set(idOf(step.object), key);
        this.#holding.keep(key, fd);
        done(step);
      }
    }
  }

  /** Why they will not outlive this process, if they should. */
  get unheld(): string | undefined {
    return this.#holding.failure;
  }

  unanswered(ids: readonly string[]): void {
    for (const id of ids) this.#unanswered.add(id);
  }

  /**
   * What became of them since it was told the last time, if anything did: all that can be told.
   * @throws KernelError when nothing can be
   */
  news(desired: Desired): SocketChange | undefined {
    const put: NameSocketPlace[] = [];
    for (const socket of this.#fresh) {
      const { namespace, transport, address, port } = socket.name;
      const wanted = desired.get(idOf(object.socket(namespace, { transport, address, port })));
      if (wanted?.kind !== 'socket') continue;
      const family = address.includes(':') ? 6 : 4;
      const { network } = wanted;
      let fd: number;
      try {
        fd = duplicate(this.#sys, socket.fd);
      } catch (error) {
        if (put.length + this.#gone.length === 0) throw error;
        break;
      }
      put.push({ id: socket.id, ...(network !== undefined && { network }), transport, family, address, port, fd });
      this.#fresh.delete(socket);
    }
    const gone = this.#gone.splice(0);
    return put.length + gone.length === 0 ? undefined : { put, gone };
  }

  /** What is held goes on being held. */
  close(): void {
    for (const { fd } of this.#open.values()) this.#sys.close(fd);
    this.#open.clear();
    this.#holding.close();
  }

  #take(name: SocketName, fd: number): OpenSocket {
    const key = formatSocketName(name);
    const socket = { name, key, fd, id: `${key} ${++this.#count}` };
    this.#open.set(key, socket);
    this.#fresh.add(socket);
    return socket;
  }

  #remove(id: ObjectId): void {
    const key = this.#keys.get(id);
    const socket = key === undefined ? undefined : this.#open.get(key);
    this.#keys.delete(id);
    if (socket === undefined) return;
    this.#open.delete(socket.key);
    this.#holding.drop(socket.key);
    this.#sys.close(socket.fd);
    if (!this.#fresh.delete(socket)) this.#gone.push(socket.id);
  }
}

export type SocketStep = Step & { readonly object: SocketObject };

interface OpenSocket {
  readonly name: SocketName;
  readonly key: string;
  readonly fd: number;
  /** No other ever has it. */
  readonly id: string;
}

/** What another release of ours may have left is let go. */
function understood(key: string): SocketName | undefined {
  try {
    return parseSocketName(key);
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}
