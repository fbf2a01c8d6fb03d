import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Askers, type View } from './askers.ts';
import { Forwarder } from './forwarder.ts';
import type { HostResolvers, Resolver } from './host-resolvers.ts';
import { decodeQuery, type Query, RCODE, udpLimit } from './message.ts';
import { Names } from './names.ts';
import { Reply } from './reply.ts';
import { answer, answerNothingOutside } from './resolve.ts';
import type { WireName } from './wire-name.ts';

/** Where an answer goes: the first `length` bytes of `bytes`, which are written over with the next answer. */
export type Send = (bytes: Buffer, length: number) => void;

export interface Origin {
  /** Of the socket. */
  readonly network: string;
  readonly address: string;
  readonly transport: 'udp' | 'tcp';
}

export interface AnsweringOptions {
  readonly domains: readonly WireName[];
  readonly hostResolvers: HostResolvers;
  readonly log: Log;
  readonly forwarder?: Forwarder;
}

const longestOverTcp = 65535;
const notAuthoritative = { authoritative: false } as const;

/** From a question's bytes to its answer's, whichever way they travel. */
export class Answering {
  readonly names = new Names();
  readonly forwarder: Forwarder;
  readonly counts = { questions: 0, forwarded: 0, failed: 0, refused: 0 };
  /** For what is answered at once; sockets renew it when the kernel kept its bytes. */
  readonly reply = new Reply();
  readonly askers = new Askers(this.names);
  readonly #domains: readonly WireName[];
  readonly #hostResolvers: HostResolvers;
  readonly #log: Log;

  constructor({ domains, hostResolvers, log, forwarder }: AnsweringOptions) {
    // The longest first, should one be in another.
    this.#domains = domains.toSorted((a, b) => b.length - a.length);
    this.#hostResolvers = hostResolvers;
    this.#log = log;
    this.forwarder = forwarder ?? new Forwarder({ log });
  }

  /**
   * Calls `send` once, now or later. `request` must not change until then.
   * @returns false for what is not answered at all
   */
  take(request: Buffer, { network, address, transport }: Origin, send: Send): boolean {
    const query = decodeQuery(request);
    if (query === undefined) return false;
    this.counts.questions++;
    const { reply } = this;
    const limit = transport === 'udp' ? udpLimit(query.edns) : longestOverTcp;
    const finish = (rcode: number) => {
      reply.begin(request, query, limit);
      send(reply.bytes, reply.end(rcode, notAuthoritative));
      return true;
    };
    if (query.kind === 'fault') return finish(query.rcode);
    const view = this.askers.find(network, address);
    if (view === undefined) {
      this.counts.refused++;
      return finish(RCODE.REFUSED);
    }
    let length = answer(reply, request, query, limit, { zones: view.zones, domains: this.#domains });
    if (length === undefined && view.resolvers !== 'host' && view.resolvers.length === 0) {
      length = answerNothingOutside(reply, request, query, limit);
    }
    if (length !== undefined) send(reply.bytes, length);
    else {
      this.#forward(request, query, view, limit, send).catch((error: unknown) => {
        this.#log.error('a question could not be passed on', { network, error: messageOf(error) });
      });
    }
    return true;
  }

  async #forward(request: Buffer, query: Query, view: View, limit: number, send: Send): Promise<void> {
    this.counts.forwarded++;
    const { reply } = this;
    const resolvers = view.resolvers === 'host' ? await this.#hostResolvers.list() : view.resolvers.map(atPort53);
    const forwarded = await this.forwarder.ask({ request, query, asker: view.id, resolvers });
    reply.begin(request, query, limit);
    if (forwarded.kind === 'answer') return send(reply.bytes, reply.foreign(forwarded.answer, forwarded.age));
    this.counts.failed++;
    send(reply.bytes, reply.end(forwarded.rcode, notAuthoritative));
  }
}

function atPort53(address: string): Resolver {
  return { address, port: 53 };
}
