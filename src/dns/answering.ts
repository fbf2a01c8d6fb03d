import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Askers, type View } from './askers.ts';
import { type Asked, Forwarder } from './forwarder.ts';
import type { HostResolvers } from './host-resolvers.ts';
import { decodeQuery, type Query, RCODE, u16, udpLimit } from './message.ts';
import { Names, type Zone } from './names.ts';
import type { Neighbours } from './neighbours.ts';
import { Reply } from './reply.ts';
import { answer, answerNothingOutside } from './resolve.ts';
import { firstLabel, suffixStart, type WireName } from './wire-name.ts';

/** Where an answer goes: the first `length` bytes of `bytes`, which are written over with the next answer. */
export type Send = (bytes: Buffer, length: number) => void;

export interface Origin {
  /** Of the socket. */
  readonly network: string;
  readonly address: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
}

interface Answer {
  readonly view: View;
  /** None for what came by no socket. */
  readonly origin?: Origin;
  readonly limit: number;
  readonly send: Send;
}

export interface AnsweringOptions {
  readonly domains: readonly WireName[];
  readonly hostResolvers: HostResolvers;
  readonly log: Log;
  readonly forwarder?: Forwarder;
  readonly neighbours?: Neighbours;
}

const longestOverTcp = 65535;
/** In seconds: so long at most others' answer that there is no such name outlives that there is one here. */
const longestDenial = 5;
const notAuthoritative = { authoritative: false } as const;

/** From a question's bytes to its answer's, whichever way they travel. */
export class Answering {
  readonly names = new Names();
  readonly forwarder: Forwarder;
  readonly counts = { questions: 0, forwarded: 0, failed: 0, refused: 0 };
  /** For what is answered at once; sockets renew it when the kernel kept its bytes. */
  readonly reply = new Reply();
  readonly askers: Askers;
  readonly #domains: readonly WireName[];
  readonly #hostResolvers: HostResolvers;
  readonly #log: Log;
  /** Datagrams whose answer others have to give, by what is the same when a client sends one again. */
  readonly #awaited = new Set<string>();

  constructor({ domains, hostResolvers, log, forwarder, neighbours }: AnsweringOptions) {
    // The longest first, should one be in another.
    this.#domains = domains.toSorted((a, b) => b.length - a.length);
    this.askers = new Askers(this.names, neighbours);
    this.#hostResolvers = hostResolvers;
    this.#log = log;
    this.forwarder = forwarder ?? new Forwarder({ log });
  }

  /**
   * Calls `send` once, now or later. `request` must not change until then.
   * @returns false for what is not answered at all, or by the answer to the same datagram that came before
   */
  take(request: Buffer, origin: Origin, send: Send): boolean {
    const { network, address, transport } = origin;
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
    return this.#answer(request, query, { view, origin, limit, send });
  }

  /** Answers a question that came by no socket, as it would one of this asker, over TCP. */
  ask(request: Buffer, view: View): Promise<Buffer> {
    const query = decodeQuery(request);
    if (query?.kind !== 'query') throw new Error('what is no question cannot be asked');
    this.counts.questions++;
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    const send: Send = (bytes, length) => resolve(Buffer.from(bytes.subarray(0, length)));
    this.#answer(request, query, { view, limit: longestOverTcp, send });
    return promise;
  }

  #answer(request: Buffer, query: Query, to: Answer): boolean {
    const { reply } = this;
    const { view, limit, send } = to;
    const { zones } = view;
    const seen = { zones, domains: this.#domains };
    const length = answer(reply, request, query, limit, seen);
    if (length !== undefined) send(reply.bytes, length);
    else if (view.resolvers === 'nobody') {
      send(reply.bytes, answerNothingOutside(reply, request, query, limit, seen));
    } else return this.#forward(request, query, to, view.resolvers);
    return true;
  }

  #forward(
    request: Buffer,
    query: Query,
    { view, origin, limit, send }: Answer,
    resolvers: Exclude<View['resolvers'], 'nobody'>,
  ): boolean {
    const { id, zones } = view;
    const again = origin?.transport === 'udp' ? sameAgain(origin, request, query) : undefined;
    if (again !== undefined) {
      // Who waits asks again: its first question is in line before.
      if (this.#awaited.has(again)) return false;
      this.#awaited.add(again);
    }
    this.counts.forwarded++;
    const asked: Asked = {
      ...{ request, query, asker: id, resolvers: resolvers === 'host' ? this.#hostResolvers.list() : resolvers },
      ...(view.isMany && origin !== undefined && { source: origin.address }),
    };
    this.#pass(asked, zones, limit, send)
      .catch((error: unknown) => {
        this.#log.error('a question could not be passed on', { asker: id, error: messageOf(error) });
      })
      .finally(() => again !== undefined && this.#awaited.delete(again));
    return true;
  }

  async #pass(asked: Asked, zones: readonly Zone[], limit: number, send: Send): Promise<void> {
    const { reply } = this;
    const { request, query } = asked;
    const forwarded = await this.forwarder.ask(asked);
    reply.begin(request, query, limit);
    if (forwarded.kind === 'answer') {
      const isSoonOver = forwarded.answer.negative && mayComeToBeOurs(query.name, zones);
      return send(reply.bytes, reply.foreign(forwarded.answer, forwarded.age, isSoonOver ? longestDenial : undefined));
    }
    this.counts.failed++;
    send(reply.bytes, reply.end(forwarded.rcode, notAuthoritative));
  }
}

function sameAgain({ network, address, port }: Origin, request: Buffer, { name, type }: Query): string {
  return `${network} ${address} ${port} ${u16(request, 0)} ${type} ${name}`;
}

/** Whether a container that is not there yet would be asked for by it. */
function mayComeToBeOurs(name: WireName, zones: readonly Zone[]): boolean {
  return (
    firstLabel(name) === name.length ||
    zones.some((zone) => zone.name !== undefined && suffixStart(name, zone.name) !== undefined)
  );
}
