import { closeSync, fstatSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { pause } from '../lib/backoff.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Serial } from '../lib/serial.ts';
import { Answering } from './answering.ts';
import { Connections } from './connections.ts';
import type {
  LookedUp,
  Lookup,
  NameChange,
  NameItem,
  NameKey,
  NameServerStatus,
  NameSocket,
  OtherServer,
} from './dns.ts';
import { Forwarder } from './forwarder.ts';
import { canonical, openHostResolvers, type Resolver } from './host-resolvers.ts';
import { decodeLookup, encodeLookup } from './lookup.ts';
import { Neighbours } from './neighbours.ts';
import { type Adopted, openTcp } from './tcp.ts';
import { openUdp } from './udp.ts';
import type { WireName } from './wire-name.ts';

/** Items that are entered without a look at the sockets: some hundred microseconds. */
const atOnce = 64;
/** How long a server that is closed is given for what it has read, in milliseconds. */
const patience = 1000;
/** At which programs of the host ask whomever resolv.conf names. */
const usualPort = 53;
/** So many of what could not be entered are told one by one. */
const mostTold = 5;

export interface ServerOptions {
  readonly domains: readonly WireName[];
  /** Addresses at which it answers, besides those of its sockets: never to be asked. */
  readonly own: readonly string[];
  readonly log: Log;
  /** Called with the ids of sockets that nobody answers any more though they were not removed: they are closed. */
  readonly onLost?: (sockets: readonly string[]) => void;
}

type Opened = Adopted & { readonly fd: number; readonly asked: string | undefined };

/** The server in the thread that it runs in. */
export class Server {
  readonly #answering: Answering;
  readonly #hostResolvers: ReturnType<typeof openHostResolvers>;
  readonly #log: Log;
  readonly #onLost: (sockets: readonly string[]) => void;
  /** Where it is asked over UDP, at the port at which it would ask itself, by how many sockets. */
  readonly #own: Map<string, number>;
  readonly #connections = new Connections();
  readonly #sockets = new Map<string, Opened>();
  readonly #turns = new Serial();

  constructor({ domains, own, log, onLost = () => {} }: ServerOptions) {
    const onChange = (resolvers: readonly { readonly address: string }[]) =>
      log.debug('resolvers of the host', { resolvers: resolvers.map(({ address }) => address) });
    this.#own = new Map(own.map((address) => [address, 1]));
    this.#hostResolvers = openHostResolvers({ onChange });
    const forwarder = new Forwarder({ log, own: this.#own });
    const neighbours = new Neighbours({
      isOwn: (address) => this.#sockets.values().some((socket) => socket.address === address),
    });
    this.#answering = new Answering({ domains, hostResolvers: this.#hostResolvers, log, forwarder, neighbours });
    this.#log = log;
    this.#onLost = onLost;
  }

  /** One after the other; done when questions are answered so. @throws Error what of it could not be entered; the rest is */
  change({ put = [], remove = [] }: NameChange): Promise<void> {
    return this.#turns.run('', async () => {
      const failed: { readonly key: NameKey; readonly error: unknown }[] = [];
      let entered = 0;
      // Questions do not wait until all of a large network is read.
      const rest = async () => {
        entered++;
        if (entered % atOnce === 0) await setImmediate();
      };
      for (const key of remove) {
        this.#remove(key);
        await rest();
      }
      for (const item of put) {
        try {
          await this.#put(item);
        } catch (error) {
          failed.push({ key: item, error });
        }
        await rest();
      }
      if (failed.length === 0) return;
      const lost = failed.filter(({ key }) => key.kind === 'socket').map(({ key }) => key.id);
      if (lost.length > 0) this.#onLost(lost);
      const told = failed.slice(0, mostTold).map(({ key, error }) => `${key.kind} ${key.id}: ${messageOf(error)}`);
      const more = failed.length > mostTold ? '; and so on' : '';
      throw new Error(`${failed.length} of ${put.length} could not be entered: ${told.join('; ')}${more}`);
    });
  }

  /** @throws ParseError */
  async lookup({ asker, name, type }: Lookup): Promise<LookedUp> {
    const question = encodeLookup(name, type);
    const view = this.#answering.askers.get(asker);
    if (view === undefined) throw new Error(`nobody asks as ${asker}`);
    const found = decodeLookup(await this.#answering.ask(question, view));
    if (found.own || found.status !== 'SERVFAIL' || view.resolvers === 'nobody') return found;
    return { ...found, asked: this.#others(view.resolvers === 'host' ? this.#hostResolvers.last : view.resolvers) };
  }

  #others(resolvers: readonly Resolver[]): readonly OtherServer[] {
    const { forwarder } = this.#answering;
    return forwarder
      .others(resolvers)
      .map((resolver) => ({ address: resolver.address, silent: forwarder.isSilent(resolver) }));
  }

  async #put(item: NameItem): Promise<void> {
    const { names, askers } = this.#answering;
    switch (item.kind) {
      case 'network':
        names.putNetwork(item);
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
    const { names, counts } = this.#answering;
    return { endpoints: names.size, ...counts, resolvers: this.#others(this.#hostResolvers.last) };
  }

  /** After the changes that were asked for before. */
  close(): Promise<void> {
    return this.#turns.run('', async () => {
      const { forwarder } = this.#answering;
      const over = new AbortController();
      const finished = [...this.#sockets.values()].map((socket) => socket.finish());
      await Promise.race([Promise.all(finished), pause(patience, over.signal)]);
      over.abort();
      for (const id of [...this.#sockets.keys()]) this.#close(id);
      forwarder.close();
    });
  }

  async #open(socket: NameSocket): Promise<void> {
    const { id, fd } = socket;
    // It is told of again: to close the one would close the other.
    if (this.#sockets.get(id)?.fd === fd) return;
    this.#close(id);
    const inode = inodeOf(fd);
    const onFail = (error: Error) => {
      this.#log.warn('a socket for names failed', { network: socket.network, socket: id, error: messageOf(error) });
      if (this.#sockets.get(id)?.fd !== fd) return;
      this.#close(id);
      this.#onLost([id]);
    };
    try {
      const opened = await (socket.transport === 'udp'
        ? openUdp(socket, this.#answering, onFail)
        : openTcp(socket, this.#answering, { connections: this.#connections, onFail }));
      // TCP's may be another's over UDP, who is asked over that first.
      const asked = socket.transport === 'udp' && opened.port === usualPort ? canonical(opened.address) : undefined;
      if (asked !== undefined) this.#own.set(asked, (this.#own.get(asked) ?? 0) + 1);
      this.#sockets.set(id, { fd, ...opened, asked });
    } catch (error) {
      // What was opened in part is closed already.
      if (inode !== undefined && inodeOf(fd) === inode) closeSync(fd);
      throw error;
    }
  }

  #close(id: string): void {
    const socket = this.#sockets.get(id);
    if (socket === undefined) return;
    socket.close();
    this.#sockets.delete(id);
    if (socket.asked === undefined) return;
    const left = (this.#own.get(socket.asked) ?? 1) - 1;
    if (left === 0) this.#own.delete(socket.asked);
    else this.#own.set(socket.asked, left);
  }
}

function inodeOf(fd: number): bigint | undefined {
  try {
    return fstatSync(fd, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}
