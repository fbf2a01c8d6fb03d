import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { StoredSheet } from '../environment.ts';
import { parseLinkAddress } from '../link/address.ts';
import type { Channel } from '../link/channel.ts';
import { dial } from '../link/dial.ts';
import { type Greeting, greet } from '../link/greet.ts';
import { sealOf, verify } from '../signing.ts';
import { Attempts } from '../trust/attempts.ts';
import { parseEvidence } from '../trust/evidence.ts';
import type { Genesis } from '../trust/genesis.ts';
import type { Side } from '../trust/handshake.ts';
import { type Reason, sentence } from '../trust/refused.ts';
import type { Token } from '../trust/token.ts';
import { judgeOf } from '../trust/trust.ts';
import type { Self } from './self.ts';
import { formatTarget } from './targets.ts';

/** What a host that was let in has learnt of its cluster. */
export interface Admitted {
  readonly genesis: Genesis;
  readonly sheets: readonly StoredSheet[];
}

export type Attempt =
  | { readonly kind: 'admitted'; readonly peer: string; readonly admitted: Admitted }
  /** The other one waits for a cluster itself, with the same token. */
  | { readonly kind: 'waits'; readonly peer: string }
  | { readonly kind: 'refused'; readonly reason: Reason; readonly why: string }
  | { readonly kind: 'unreachable'; readonly why: string };

/** What a peer showed of the cluster that lets this host in. */
export interface Learnt {
  readonly genesis: Genesis;
  readonly sheets: readonly unknown[];
}

/** Greets as a host without a cluster. Never throws. */
export async function greetWaiting(
  channel: Channel,
  { self, token, attempts, log }: { self: Self; token: Token; attempts: Attempts; log: Log },
): Promise<{ readonly greeting: Greeting; readonly learnt: Learnt | undefined }> {
  const heard: { learnt?: Learnt } = {};
  const greeting = await greet(channel, {
    ...{ side: waitingSide(self, token), verify, attempts, log },
    admit: async () => 'protocol',
    learn: (genesis, sheets) => {
      heard.learnt = { genesis, sheets };
    },
  });
  return { greeting, learnt: heard.learnt };
}

/** What this host is to whom it meets as long as it belongs to no cluster, or asks for another one. */
function waitingSide(self: Self, token: Token): Side {
  const seal = sealOf(self.signer);
  return {
    ...{ kind: 'waiting', signer: self.signer, token, name: self.name },
    addresses: [formatTarget(self.address, self.port)],
    trustOf: (genesis, shown) =>
      judgeOf(
        genesis,
        verify,
      )(
        parseEvidence(shown, { genesis, seal }).map(({ head, entries }) => ({
          owner: head.owner,
          entries: new Map(entries),
        })),
      ),
  };
}

/** Asks the host at an address to be let in. Never throws. */
export async function join(
  address: string,
  { self, token, signal, log }: { self: Self; token: Token; signal: AbortSignal; log: Log },
): Promise<Attempt> {
  const { credentials } = self;
  const channel = await dial({ credentials, ...parseLinkAddress(address), peer: undefined, signal }).catch(messageOf);
  if (typeof channel === 'string') return { kind: 'unreachable', why: channel };
  const { greeting, learnt } = await greetWaiting(channel, { self, token, attempts: new Attempts(), log });
  channel.close('this host begins anew in its cluster');
  const peer = channel.peerKey;
  if (greeting.kind === 'refused')
    return { kind: 'refused', reason: greeting.reason, why: sentence(address, greeting) };
  if (greeting.kind === 'met') return { kind: 'waits', peer };
  if (greeting.kind === 'open' && learnt !== undefined) {
    const { genesis, sheets } = learnt;
    const seal = sealOf(self.signer);
    return { kind: 'admitted', peer, admitted: { genesis, sheets: parseEvidence(sheets, { genesis, seal }) } };
  }
  return {
    kind: 'unreachable',
    why: greeting.kind === 'ended' ? `${address}: ${greeting.why}` : `${address} showed nothing`,
  };
}
