import type { Log } from '../lib/log.ts';
import { AnswerCache } from './cache.ts';
import { exchange, type Question } from './exchange.ts';
import type { Foreign } from './foreign.ts';
import type { Resolver } from './host-resolvers.ts';
import { endToEnd, FLAG, headerSize, type Query, RCODE, u16 } from './message.ts';
import { Turns } from './turns.ts';
import { Upstreams } from './upstreams.ts';

/**
 * Asks others for names that are not ours. A server that has not answered within a second is not waited for, but a late
 * answer still counts; equal questions share one; whoever asks much at once waits for its turn, and nobody else.
 */

export interface Asked {
  readonly request: Buffer;
  readonly query: Query;
  /** Whoever is meant by "too much". */
  readonly asker: string;
  /** Which of those that ask as this asker, where that are several. */
  readonly source?: string;
  /** In the order in which they are asked. */
  readonly resolvers: readonly Resolver[] | Promise<readonly Resolver[]>;
}

export type Forwarded =
  | { readonly kind: 'answer'; readonly answer: Foreign; readonly age: number }
  /** By all that were asked, or because nobody answered. */
  | { readonly kind: 'failed'; readonly rcode: number };

export interface ForwarderOptions {
  readonly log: Log;
  /** Addresses that are answered here: to ask them would go round in a circle. May change. */
  readonly own?: Pick<ReadonlySet<string>, 'has'>;
  /** Until the next server is asked too, in milliseconds. */
  readonly patience?: number;
  /** Until the asker is told that there is no answer: before it gives up itself (5 s in glibc and musl). */
  readonly deadline?: number;
  /** Until the part of an answer is told, all of which does not come over TCP. */
  readonly tcpPatience?: number;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

export const most = {
  /** Questions under way, each with a socket or a few. */
  underWay: 512,
  /** Of one source. */
  perSource: 64,
  /** Of all that wait, each with some hundred bytes: as long as an answer may take. */
  waiting: 4096,
  /** Of one asker: what its sockets hold while nobody reads them is not much more. */
  perAsker: 1024,
  /** Servers asked for one question, each twice. */
  servers: 3,
  cacheBytes: 4 * 1024 * 1024,
} as const;

/** A failure is not tried again for so long (RFC 9520 §3.2). */
const failureKept = 1000;
/** Each with its key, some hundred bytes and a kilobyte at most. */
const mostFailures = 1024;

/** A question under way. */
interface Flight {
  /** Who asked it first. */
  readonly asker: string;
  readonly done: Promise<Forwarded>;
  readonly end: (outcome: Forwarded) => void;
}

const noAnswer: Forwarded = { kind: 'failed', rcode: RCODE.SERVFAIL };

export class Forwarder {
  readonly #own: Pick<ReadonlySet<string>, 'has'>;
  readonly #patience: number;
  readonly #deadline: number;
  readonly #tcpPatience: number;
  readonly #now: () => number;
  readonly #cache = new AnswerCache(most.cacheBytes);
  readonly #failures = new Map<string, { readonly until: number; readonly outcome: Forwarded }>();
  /** The oldest first. */
  readonly #flights = new Map<string, Flight>();
  readonly #upstreams: Upstreams;
  readonly #closed = new AbortController();
  readonly #turns: Turns;

  constructor({ log, own, patience, deadline, tcpPatience, now }: ForwarderOptions) {
    this.#own = own ?? new Set();
    this.#patience = patience ?? 1000;
    this.#deadline = deadline ?? 4500;
    this.#tcpPatience = tcpPatience ?? 1500;
    this.#now = now ?? (() => performance.now());
    this.#upstreams = new Upstreams(log, this.#now);
    this.#turns = new Turns({
      ...{ limits: most, deadline: this.#deadline, patience: this.#patience },
      makeRoom: (asker) => this.#makeRoom(asker),
    });
  }

  /** Never fails. */
  async ask({ request, query, asker, source = '', resolvers }: Asked): Promise<Forwarded> {
    const whom = this.others(await resolvers);
    const question = questionOf(request, query);
    const key = keyOf(question, query, whom);
    const find = () => this.#known(key) ?? this.#flights.get(key)?.done ?? this.#begin(key, asker, question, whom);
    return this.#known(key) ?? (await this.#turns.run({ asker, source }, find)) ?? noAnswer;
  }

  /** Without those that are this server. */
  others(resolvers: readonly Resolver[]): readonly Resolver[] {
    return resolvers.filter(({ address }) => !this.#own.has(address.split('%', 1)[0] ?? ''));
  }

  #known(key: string): Forwarded | undefined {
    const cached = this.#cache.get(key, this.#now());
    if (cached !== undefined) return { kind: 'answer', ...cached };
    this.#forgetFailures();
    return this.#failures.get(key)?.outcome;
  }

  isSilent(resolver: Resolver): boolean {
    return this.#upstreams.isSilent(resolver);
  }

  /** What is under way is answered as failed. */
  close(): void {
    this.#closed.abort();
  }

  /** Whoever has most questions under way loses the oldest, unless that is who asks. */
  #makeRoom(asker: string): void {
    const oldest = new Map<string, { readonly key: string; readonly flight: Flight; count: number }>();
    for (const [key, flight] of this.#flights) {
      const found = oldest.get(flight.asker);
      if (found === undefined) oldest.set(flight.asker, { key, flight, count: 1 });
      else found.count++;
    }
    const own = oldest.get(asker)?.count ?? 0;
    const [first] = [...oldest.values()].sort((a, b) => b.count - a.count);
    if (first === undefined || first.count <= own + 1) return;
    this.#flights.delete(first.key);
    first.flight.end(noAnswer);
  }

  #begin(
    key: string,
    asker: string,
    question: Question,
    resolvers: readonly Resolver[],
  ): Forwarded | Promise<Forwarded> {
    if (this.#closed.signal.aborted) return noAnswer;
    const { done, end } = this.#fly(question, resolvers);
    const flight: Flight = {
      asker,
      end,
      done: done.then((outcome) => {
        // One that had to make room says nothing about the servers.
        if (this.#flights.get(key) !== flight) return outcome;
        this.#flights.delete(key);
        if (outcome.kind === 'answer') this.#cache.put(key, outcome.answer, this.#now());
        else this.#remember(key, outcome);
        return outcome;
      }),
    };
    this.#flights.set(key, flight);
    return flight.done;
  }

  #remember(key: string, outcome: Forwarded): void {
    this.#failures.delete(key);
    this.#failures.set(key, { until: this.#now() + failureKept, outcome });
    this.#forgetFailures();
  }

  #forgetFailures(): void {
    for (const [oldest, { until }] of this.#failures) {
      if (until > this.#now() && this.#failures.size <= mostFailures) break;
      this.#failures.delete(oldest);
    }
  }

  /** Asks one server after the other until one says something that can be told. */
  #fly(question: Question, resolvers: readonly Resolver[]): Pick<Flight, 'done' | 'end'> {
    const turns = this.#upstreams.ordered(resolvers).slice(0, most.servers);
    const tries = [...turns, ...turns];
    const { promise, resolve } = Promise.withResolvers<Forwarded>();
    const ending = new AbortController();
    const refused = new Set<Resolver>();
    /** Those that have said nothing yet, with when they were asked; and for longer than is waited. */
    const asked = new Map<Resolver, number>();
    const overdue = new Map<Resolver, number>();
    let fallback: Forwarded = noAnswer;
    let open = 0;
    let timer: NodeJS.Timeout | undefined;

    const end = (outcome: Forwarded) => {
      for (const [server, since] of overdue) this.#upstreams.silent(server, since);
      resolve(outcome);
      ending.abort();
    };
    const next = (): void => {
      clearTimeout(timer);
      if (ending.signal.aborted) return;
      let server = tries.shift();
      while (server !== undefined && refused.has(server)) server = tries.shift();
      if (server === undefined) {
        if (open === 0) end(fallback);
        return;
      }
      open++;
      const since = asked.get(server) ?? this.#now();
      asked.set(server, since);
      timer = setTimeout(() => {
        if (asked.has(server)) overdue.set(server, since);
        next();
      }, this.#patience);
      this.#exchange(server, question, ending.signal).then(
        (answer) => {
          open--;
          if (ending.signal.aborted) return;
          asked.delete(server);
          overdue.delete(server);
          if (isAnswer(answer)) return end({ kind: 'answer', answer, age: 0 });
          refused.add(server);
          fallback = { kind: 'failed', rcode: answer.rcode };
          next();
        },
        () => {
          open--;
          if (ending.signal.aborted) return;
          this.#upstreams.silent(server, since);
          next();
        },
      );
    };
    const deadline = setTimeout(() => end(fallback), this.#deadline);
    const stop = () => end(noAnswer);
    this.#closed.signal.addEventListener('abort', stop);
    next();
    const done = promise.finally(() => {
      clearTimeout(timer);
      clearTimeout(deadline);
      this.#closed.signal.removeEventListener('abort', stop);
    });
    return { done, end };
  }

  #exchange(resolver: Resolver, question: Question, signal: AbortSignal): Promise<Foreign> {
    return exchange(resolver, question, {
      edns: !this.#upstreams.isPlain(resolver),
      onPlain: () => this.#upstreams.plain(resolver),
      onHeard: () => this.#upstreams.heard(resolver),
      tcpPatience: this.#tcpPatience,
      signal,
    });
  }
}

/** What another server might not say too. */
function isAnswer({ rcode, questions }: Foreign): boolean {
  return questions === 1 && rcode !== RCODE.SERVFAIL && rcode !== RCODE.REFUSED;
}

function questionOf(request: Buffer, { questionEnd, edns }: Query): Question {
  return {
    flags: u16(request, 2),
    question: request.subarray(headerSize, questionEnd),
    dnssec: edns?.dnssec ?? false,
    options: edns === undefined ? Buffer.alloc(0) : endToEnd(edns.options),
  };
}

/** Equal for questions that have one answer. */
function keyOf({ flags, dnssec, options }: Question, query: Query, resolvers: readonly Resolver[]): string {
  const bits = (flags & (FLAG.RD | FLAG.AD | FLAG.CD)) | (dnssec ? 1 : 0);
  const whom = resolvers.map(({ address, port }) => `${address} ${port}`).join();
  return `${whom} ${bits} ${query.type} ${query.class} ${options.toString('latin1')} ${query.name}`;
}
