import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import { Answering } from './answering.ts';
import type { NameChange, NameServerStatus, NameSocket } from './dns.ts';
import { openHostResolvers } from './host-resolvers.ts';
import { openTcp } from './tcp.ts';
import { openUdp } from './udp.ts';
import type { WireName } from './wire-name.ts';

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
  /** How to close them; each is opened and closed in turn. */
  readonly #sockets = new Map<string, () => void>();
  readonly #turns = new Serial();

  constructor({ domains, own, log }: ServerOptions) {
    const onChange = (resolvers: readonly { readonly address: string }[]) =>
      log.debug('resolvers of the host', { resolvers: resolvers.map(({ address }) => address) });
    this.#hostResolvers = openHostResolvers({ own, onChange });
    this.#answering = new Answering({ domains, hostResolvers: this.#hostResolvers, log });
    this.#log = log;
  }

  /** Names and askers at once, sockets when they answer. @throws ParseError, Error what is wrong with a socket */
  async change({ put = [], remove = [] }: NameChange): Promise<void> {
    const sockets: Promise<void>[] = [];
    for (const key of remove) {
      if (key.kind === 'socket') sockets.push(this.#turns.run(key.id, async () => this.#close(key.id)));
      else this.#answering.remove(key);
    }
    for (const item of put) {
      if (item.kind === 'socket') sockets.push(this.#turns.run(item.id, () => this.#open(item)));
      else this.#answering.put(item);
    }
    await Promise.all(sockets);
  }

  status(): NameServerStatus {
    const { names, counts, forwarder } = this.#answering;
    const resolvers = this.#hostResolvers.last.map((resolver) => ({
      address: resolver.address,
      silent: forwarder.isSilent(resolver),
    }));
    return { endpoints: names.size, ...counts, resolvers };
  }

  close(): void {
    for (const id of [...this.#sockets.keys()]) this.#close(id);
    this.#answering.forwarder.close();
  }

  async #open(socket: NameSocket): Promise<void> {
    this.#close(socket.id);
    if (socket.transport === 'udp') {
      const udp = await openUdp(socket, this.#answering, this.#log);
      this.#sockets.set(socket.id, () => udp.close());
    } else {
      const tcp = await openTcp(socket, this.#answering, { log: this.#log });
      this.#sockets.set(socket.id, () => tcp.close());
    }
  }

  #close(id: string): void {
    this.#sockets.get(id)?.();
    this.#sockets.delete(id);
  }
}
