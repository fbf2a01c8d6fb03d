import { messageOf, ParseError, Refusal, type RefusalKind } from '../../lib/errors.ts';
import { canonical } from './canonical.ts';
import type { Clock, Seal, Trust } from './environment.ts';
import { ReplayWindow } from './link/replay-window.ts';
import type { Message, RoutedMessage } from './messages.ts';
import type { Questions } from './questions.ts';
import type { Json } from './sheets.ts';

/** Until an answer is expected no more, in milliseconds. */
const patience = 2_000;
/** Questions that this host asks, and answers of one other, at a time. */
const most = { asked: 4_096, answering: 256 } as const;
/** Numbers of questions that a life has before it meets those of the next, which begins some seconds later at the earliest. */
const perEpoch = 2 ** 20;

export interface AsksNeeds {
  readonly self: string;
  readonly clock: Clock;
  readonly seal: Seal;
  readonly trust: Trust;
  /** Over a link, or through others; false when there is no way. */
  readonly send: (to: string, message: RoutedMessage) => boolean;
  /** Whether there is a link with the host: then nobody passes it on. */
  readonly isLinked: (host: string) => boolean;
  /** @throws ParseError, Refusal */
  readonly answer: (from: string, question: Json) => Promise<Json>;
}

interface Asked {
  readonly host: string;
  settle(said: Message<'said'>): void;
}

/**
 * Questions and answers between hosts. What goes through others is signed by who says it, and taken once; nobody waits for
 * long, and who is not answered goes on without.
 */
export class Asks implements Questions {
  readonly #needs: AsksNeeds;
  readonly #asked = new Map<number, Asked>();
  readonly #answering = new Map<string, number>();
  readonly #windows = new Map<string, ReplayWindow>();
  #n: number;

  constructor(needs: AsksNeeds, epoch: number) {
    this.#needs = needs;
    this.#n = epoch * perEpoch;
  }

  ask(host: string, question: Json): Promise<Json> {
    const { clock, send } = this.#needs;
    const away = (why: string) => new Refusal('unavailable', `cannot ask host ${host.slice(0, 12)}: ${why}`);
    if (this.#asked.size >= most.asked) return Promise.reject(away('too many questions are open'));
    this.#n += 1;
    const n = this.#n;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(patience, () => {
        this.#asked.delete(n);
        reject(away(`it did not answer within ${patience / 1000} s`));
      });
      const settle = ({ answer, error }: Message<'said'>) => {
        this.#asked.delete(n);
        cancel();
        if (error !== undefined) reject(new Refusal(error.kind, error.message));
        else resolve(answer ?? null);
      };
      this.#asked.set(n, { host, settle });
      if (send(host, this.#signed(host, { t: 'ask', n, question }))) return;
      this.#asked.delete(n);
      cancel();
      reject(away('there is no way to it'));
    });
  }

  /** `through`: others passed it on, who can have made it up. */
  receive(from: string, message: Message<'ask' | 'said'>, through: boolean): void {
    if (through && !this.#isSigned(from, message)) return;
    if (message.t === 'ask') {
      this.#answer(from, message, through);
      return;
    }
    const asked = this.#asked.get(message.n);
    if (asked?.host === from) asked.settle(message);
  }

  #answer(from: string, { n, question }: Message<'ask'>, through: boolean): void {
    if (through && !this.#window(from).take(n)) return;
    const answering = this.#answering.get(from) ?? 0;
    const say = (said: Omit<Message<'said'>, 't' | 'n' | 'signature'>) =>
      this.#needs.send(from, this.#signed(from, { t: 'said', n, ...said }));
    if (answering >= most.answering) {
      say({ error: { kind: 'unavailable', message: 'too many questions at a time' } });
      return;
    }
    this.#answering.set(from, answering + 1);
    this.#needs
      .answer(from, question)
      .then(
        (answer) => say({ answer }),
        (error: unknown) => say({ error: { kind: kindOf(error), message: messageOf(error).slice(0, 1_000) } }),
      )
      .finally(() => {
        const left = (this.#answering.get(from) ?? 1) - 1;
        if (left > 0) this.#answering.set(from, left);
        else this.#answering.delete(from);
      });
  }

  #window(host: string): ReplayWindow {
    const window = this.#windows.get(host) ?? new ReplayWindow();
    this.#windows.set(host, window);
    return window;
  }

  #signed<M extends Message<'ask' | 'said'>>(to: string, message: M): M {
    const { self, seal, isLinked } = this.#needs;
    return isLinked(to) ? message : { ...message, signature: seal.sign(this.#statement(self, to, message)) };
  }

  #isSigned(from: string, message: Message<'ask' | 'said'>): boolean {
    const { self, seal, trust } = this.#needs;
    const key = trust.keyFor(from, 'host', [0, 0]);
    const { signature } = message;
    return (
      key !== undefined && signature !== undefined && seal.verify(key, this.#statement(from, self, message), signature)
    );
  }

  #statement(from: string, to: string, message: Message<'ask' | 'said'>): string {
    const { seal, trust } = this.#needs;
    const { signature: _, ...said } = message;
    return ['skein question', trust.cluster, from, to, seal.hash(canonical(said))].join('\n');
  }
}

function kindOf(error: unknown): RefusalKind {
  if (error instanceof Refusal) return error.kind;
  return error instanceof ParseError ? 'invalid' : 'unavailable';
}
