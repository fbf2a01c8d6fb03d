import type { Log } from '../../../lib/log.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import type { Verify } from '../signing.ts';
import type { Attempts } from '../trust/attempts.ts';
import type { Claim } from '../trust/claim.ts';
import type { Genesis } from '../trust/genesis.ts';
import { Handshake, type Side, type Step } from '../trust/handshake.ts';
import { type Reason, reasons } from '../trust/refused.ts';
import { allowances, type Channel } from './channel.ts';

/** How it went with a new channel; the channel of `refused` is closed. */
export type Greeting =
  | { readonly kind: 'open'; readonly channel: Channel }
  | { readonly kind: 'met'; readonly channel: Channel }
  | {
      readonly kind: 'refused';
      readonly by: 'us' | 'them';
      readonly reason: Reason;
      readonly cluster?: Cluster | undefined;
    }
  /** The connection failed or the peer said nothing in time. */
  | { readonly kind: 'ended'; readonly why: string };

type Cluster = NonNullable<Extract<Step, { kind: 'refused' }>['cluster']>;

export interface Greeter {
  readonly side: Side;
  readonly verify: Verify;
  /** Wrong proofs of the past, of all channels. */
  readonly attempts: Attempts;
  /** Lets the host in, or has an admin do it, and resolves when the admission stands in this host's sheets; or says why not. */
  admit(claim: Claim): Promise<Reason | undefined>;
  learn(genesis: Genesis, sheets: readonly unknown[]): void;
  readonly log: Log;
  /** Until the peer must have said the next thing, in milliseconds; an admin that is asked may take three times as long. */
  readonly patience?: number;
}

const wrongProofs: ReadonlySet<Reason> = new Set(['wrong-token', 'old-token', 'forged']);

/**
 * Holds the handshake over a channel. Never throws. The channel is left with nobody to take what comes: it waits there until
 * the caller takes it.
 */
export function greet(channel: Channel, greeter: Greeter): Promise<Greeting> {
  const { side, verify, attempts, log, patience = 10_000 } = greeter;
  const judges = () => attempts.allows(channel.source, performance.now());
  const handshake = new Handshake({ side, channel, verify, judges });
  // Who was dialled was chosen by this host, and answers with a proof.
  if (channel.dialled) channel.allow(allowances.proving);
  return new Promise((resolve) => {
    let late = setTimeout(expire, patience);
    let ended = false;

    function finish(greeting: Greeting): void {
      if (ended) return;
      ended = true;
      clearTimeout(late);
      channel.take(undefined);
      resolve(greeting);
    }

    function expire(): void {
      channel.close('it took too long to say who it is');
      finish({ kind: 'ended', why: 'the other side took too long to say who it is' });
    }

    function follow(steps: readonly Step[]): void {
      clearTimeout(late);
      late = setTimeout(expire, patience);
      for (const step of steps) if (!ended) take(step);
    }

    function take(step: Step): void {
      switch (step.kind) {
        case 'send':
          if (step.message.t === 'prove') channel.allow(allowances.proving);
          channel.send(step.message);
          break;
        case 'admit':
          clearTimeout(late);
          late = setTimeout(expire, 3 * patience);
          greeter.admit(step.claim).then(
            (reason) => follow(reason === undefined ? handshake.admitted() : handshake.refuse(reason)),
            (error: unknown) => {
              log.warn('admitting a host failed', { host: hostIdOf(step.claim.key), error });
              follow(handshake.refuse('no-admin'));
            },
          );
          break;
        case 'learn':
          greeter.learn(step.genesis, step.sheets);
          break;
        case 'open':
          channel.allow(allowances.member);
          finish({ kind: 'open', channel });
          break;
        case 'met':
          finish({ kind: 'met', channel });
          break;
        case 'refused':
          if (step.by === 'us' && wrongProofs.has(step.reason)) attempts.failed(channel.source, performance.now());
          channel.close(`this host was refused: it ${reasons[step.reason]}`);
          finish(step);
      }
    }

    channel.take({
      received: (frame) => follow(handshake.receive(frame)),
      drained: () => undefined,
      closed: (why) => finish({ kind: 'ended', why }),
    });
    if (channel.dialled) follow(handshake.begin());
  });
}
