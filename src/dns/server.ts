import { closeSync, fstatSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { Log } from '../lib/log.ts';
import { Serial } from '../lib/serial.ts';
import { Answering } from './answering.ts';
import type { NameChange, NameItem, NameKey, NameServerStatus, NameSocket } from './dns.ts';
import { openHostResolvers } from './host-resolvers.ts';
import { openTcp } from './tcp.ts';
import { openUdp } from './udp.ts';
import type { WireName } from './wire-name.ts';

/** Endpoints that are entered without a look at the sockets: some hundred microseconds. */
const atOnce = 64;

export interface ServerOptions {
  readonly domains: readonly WireName[];
  /** Addresses at which it answers, never to be asked. */
  readonly own: readonly string[];
  readonly log: Log;
}

/** The server in the thread that it runs in. */
export class Server {
  readonly #answering: Answering;
  readonly #hostResolvers: ReturnType<typeof openHostResolvers>;
  readonly #log: Log;
  readonly #sockets = new Map<string, { readonly fd: number; readonly close: () => void }>();
  readonly #turns = new Serial();

  constructor({ domains, own, log }: ServerOptions) {
    const onChange = (resolvers: readonly { readonly address: string }[]) =>
      log.debug('resolvers of the host', { resolvers: resolvers.map(({ address }) => address) });
    this.#hostResolvers = openHostResolvers({ own, onChange });
    this.#answering = new Answering({ domains, own, hostResolvers: this.#hostResolvers, log });
    this.#log = log;
  }

  /** One after the other; done when questions are answered so. @throws ParseError, Error what is wrong with a socket */
  change({ put = [], remove = [] }: NameChange): Promise<void> {
    return this.#turns.run('', async () => {
      for (const key of remove) this.#remove(key);
      for (const item of put) await this.#put(item);
    });
  }

  async #put(item: NameItem): Promise<void> {
    const { names, askers } = this.#answering;
    switch (item.kind) {
      case 'network':
        names.putNetwork(item);
        break;
      case 'names':
        names.keep(item.id, new Set(item.endpoints.map(({ id }) => id)));
        for (const [n, endpoint] of item.endpoints.entries()) {
          names.put(endpoint);
          // Questions do not wait until all of a large network is read.
          if (n % atOnce === atOnce - 1) await setImmediate();
        }
        break;
      case 'endpoint':
        names.put(item);
        break;
      case 'asker':
        askers.put(item);
        break;
      case 'socket':
        await this.#open(item);
        break;
    }
  }

  #remove({ kind, id }: NameKey): void {
    const { names, askers } = this.#answering;
    switch (kind) {
      case 'network':
        names.removeNetwork(id);
        break;
      case 'names':
        names.keep(id, new Set());
        break;
      case 'endpoint':
        names.remove(id);
        break;
      case 'asker':
        askers.remove(id);
        break;
      case 'socket':
        this.#close(id);
        break;
    }
  }

  status(): NameServerStatus {
    const { names, counts, forwarder } = this.#answering;
    const resolvers = this.#hostResolvers.last.map((resolver) => ({
      address: resolver.address,
      silent: forwarder.isSilent(resolver),
    }));
    return { endpoints: names.size, stale: names.stale, ...counts, resolvers };
  }

  /** After the changes that were asked for before. */
  close(): Promise<void> {
    return this.#turns.run('', async () => {
      for (const id of [...this.#sockets.keys()]) this.#close(id);
      this.#answering.forwarder.close();
    });
  }

  async #open(socket: NameSocket): Promise<void> {
    const { id, fd } = socket;
    // It is told of again: to close the one would close the other.
    if (this.#sockets.get(id)?.fd === fd) return;
    this.#close(id);
    const inode = inodeOf(fd);
    try {
      const opened = await (socket.transport === 'udp'
        ? openUdp(socket, this.#answering, this.#log)
        : openTcp(socket, this.#answering, { log: this.#log }));
      this.#sockets.set(id, { fd, close: () => opened.close() });
    } catch (error) {
      // What was opened in part is closed already.
      if (inode !== undefined && inodeOf(fd) === inode) closeSync(fd);
      throw error;
    }
  }

  #close(id: string): void {
    this.#sockets.get(id)?.close();
    this.#sockets.delete(id);
  }
}

function inodeOf(fd: number): bigint | undefined {
  try {
    return fstatSync(fd, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}
