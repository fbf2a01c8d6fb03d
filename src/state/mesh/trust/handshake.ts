import { ParseError } from '../../../lib/errors.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import type { Verify } from '../signing.ts';
import { type Channel, type Claim, claimOf, isSaidBy, type Joiner, objection } from './claim.ts';
import { type Genesis, parseGenesis } from './genesis.ts';
import { type HandshakeMessage, parseHandshakeMessage, protocol } from './handshake-messages.ts';
import type { Reason } from './refused.ts';
import type { Trust } from './trust.ts';

/** What this host is when it meets another. */
export type Side = MemberSide | WaitingSide;

/** It belongs to a cluster. */
export interface MemberSide {
  readonly kind: 'member';
  readonly key: string;
  readonly genesis: Genesis;
  /** Whether the cluster holds and gave away nothing, so that it can give way to another. */
  readonly empty: boolean;
  trust(): Trust;
  /** What the trust would be with these sheets of another host's; those that are not signed by their owners say nothing. */
  trustWith(sheets: readonly unknown[]): Trust;
  /** The trust sheets, signed. */
  sheets(): readonly unknown[];
}

/** It has a token and no cluster yet. */
export interface WaitingSide extends Joiner {
  readonly kind: 'waiting';
  trustOf(genesis: Genesis, sheets: readonly unknown[]): Trust;
}

export interface HandshakeNeeds {
  readonly side: Side;
  readonly channel: Channel;
  readonly verify: Verify;
  /** Whether a proof is looked at now: not when too many were wrong. */
  readonly judges: () => boolean;
}

export type Step =
  | { readonly kind: 'send'; readonly message: HandshakeMessage }
  /** The claim is good: publish the admission, or pass the claim on to an admin; then call `admitted`, or `refuse`. */
  | { readonly kind: 'admit'; readonly claim: Claim }
  /** To be kept: the trust sheets of the other side, and for a host that joins the genesis of its cluster. */
  | { readonly kind: 'learn'; readonly genesis: Genesis; readonly sheets: readonly unknown[] }
  /** Ends of the handshake: they may have a link; both wait and know the same token; one refused the other. */
  | { readonly kind: 'open' }
  | { readonly kind: 'met' }
  | {
      readonly kind: 'refused';
      readonly by: 'us' | 'them';
      readonly reason: Reason;
      /** The cluster that the peer says it belongs to, if it said so. */
      readonly cluster: Pick<Hello, 'cluster' | 'empty'> | undefined;
    };

type Hello = Extract<HandshakeMessage, { t: 'hello' }>;
type Proof = Extract<HandshakeMessage, { t: 'proof' }>;

/**
 * What two hosts say to each other on a new channel, until each knows that the other may have a link, or why not. The one
 * that dialled begins. Who has not proved anything is told nothing: no state, no names, no keys but the channel's own.
 *
 *     member, member    hello > hello welcome > welcome        prove > proof comes before a welcome when one side has not
 *                                                              heard of the other's admission yet, or thinks it removed
 *     waiting, member   claim > proof welcome > welcome        an admin admits in between
 *     member, waiting   hello > claim > proof welcome > welcome
 *     waiting, waiting  claim > meet > met                     they know the same token and can found a cluster together
 */
export class Handshake {
  readonly #side: Side;
  readonly #channel: Channel;
  readonly #verify: Verify;
  readonly #judges: () => boolean;
  /** How each side began: every message has its time. */
  #said: 'nothing' | 'hello' | 'claim' | 'meet' = 'nothing';
  #heard: Hello | 'claim' | undefined;
  #judging = false;
  #proving = false;
  /** Whether this side welcomed the other, and the other this one. */
  #welcomed = false;
  #welcome = false;
  #done = false;

  constructor({ side, channel, verify, judges }: HandshakeNeeds) {
    this.#side = side;
    this.#channel = channel;
    this.#verify = verify;
    this.#judges = judges;
  }

  /** The first words of the one that dialled. */
  begin(): readonly Step[] {
    if (this.#isSelf()) return this.refuse('self');
    return this.#side.kind === 'member' ? this.#sayHello(this.#side) : this.#sayClaim(this.#side);
  }

  /** Takes what the peer said; nothing comes of it once the handshake has ended. */
  receive(json: unknown): readonly Step[] {
    if (this.#done) return [];
    if (this.#isSelf()) return this.refuse('self');
    try {
      const message = parseHandshakeMessage(json);
      if (message.t === 'refused') return this.#refused('them', message.reason);
      if (message.t === 'welcome') return this.#takeWelcome();
      return this.#side.kind === 'member' ? this.#asMember(this.#side, message) : this.#asWaiting(this.#side, message);
    } catch (error) {
      if (error instanceof ParseError) return this.refuse('protocol');
      throw error;
    }
  }

  /** Answers `admit`: the admission was published, and stands in the trust sheets of this host. */
  admitted(): readonly Step[] {
    if (this.#done || !this.#judging || this.#side.kind !== 'member') return [];
    this.#judging = false;
    return this.#letIn(this.#side);
  }

  /** Ends it from this side. */
  refuse(reason: Reason): readonly Step[] {
    if (this.#done) return [];
    return [send({ t: 'refused', reason }), ...this.#refused('us', reason)];
  }

  #asMember(side: MemberSide, message: HandshakeMessage): readonly Step[] {
    if (message.t === 'hello' && this.#heard === undefined) return this.#takeHello(side, message);
    if (message.t === 'claim' && this.#heard === undefined) return this.#takeClaim(side, message.claim);
    if (message.t === 'proof' && this.#proving) return this.#takeEvidence(side, message);
    // A stranger learns who belongs to the cluster only after it has shown that it does.
    if (message.t === 'prove' && this.#said === 'hello')
      return this.#welcomed ? [proofOf(side)] : this.refuse('unknown');
    return this.refuse('protocol');
  }

  #asWaiting(side: WaitingSide, message: HandshakeMessage): readonly Step[] {
    if (message.t === 'hello' && this.#said === 'nothing') return this.#sayClaim(side);
    if (message.t === 'claim' && this.#said === 'nothing') return this.#takeEqual(side, message.claim);
    if (message.t === 'meet' && this.#said === 'claim') return this.#takeMeet(side, message.claim);
    if (message.t === 'met' && this.#said === 'meet') return this.#end({ kind: 'met' });
    if (message.t === 'proof' && this.#said === 'claim' && !this.#welcomed) return this.#takeProof(side, message);
    return this.refuse('protocol');
  }

  #takeHello(side: MemberSide, heard: Hello): readonly Step[] {
    this.#heard = heard;
    const trust = side.trust();
    const hello = this.#said === 'nothing' ? this.#sayHello(side) : [];
    if (heard.cluster !== trust.cluster) return [...hello, ...this.refuse('other-cluster')];
    if (this.#isAdmitted(trust)) return [...hello, ...this.#sayWelcome()];
    this.#proving = true;
    return [...hello, send({ t: 'prove' })];
  }

  #takeEvidence(side: MemberSide, { sheets }: Proof): readonly Step[] {
    this.#proving = false;
    const trust = side.trustWith(sheets);
    if (!this.#isAdmitted(trust)) return this.refuse(trust.removed.has(this.#peer) ? 'removed' : 'unknown');
    return [{ kind: 'learn', genesis: side.genesis, sheets }, ...this.#sayWelcome()];
  }

  #takeClaim(side: MemberSide, claim: Claim): readonly Step[] {
    this.#heard = 'claim';
    if (!this.#judges()) return this.refuse('too-many');
    const trust = side.trust();
    const reason = isSaidBy(claim, this.#channel, this.#verify) ? objection(claim, trust, this.#verify) : 'forged';
    if (reason !== undefined) return this.refuse(reason);
    // Its first answer may have been lost.
    if (this.#isAdmitted(trust)) return this.#letIn(side);
    this.#judging = true;
    return [{ kind: 'admit', claim }];
  }

  #letIn(side: MemberSide): readonly Step[] {
    return this.#isAdmitted(side.trust()) ? [proofOf(side), ...this.#sayWelcome()] : this.refuse('unknown');
  }

  #takeEqual(side: WaitingSide, claim: Claim): readonly Step[] {
    if (!this.#judges()) return this.refuse('too-many');
    const reason = this.#objectionTo(side, claim);
    if (reason !== undefined) return this.refuse(reason);
    this.#said = 'meet';
    return [send({ t: 'meet', claim: claimOf(side, this.#channel) })];
  }

  #takeMeet(side: WaitingSide, claim: Claim): readonly Step[] {
    const reason = this.#objectionTo(side, claim);
    return reason === undefined ? [send({ t: 'met' }), ...this.#end({ kind: 'met' })] : this.refuse(reason);
  }

  #objectionTo({ token }: WaitingSide, claim: Claim): Reason | undefined {
    if (claim.token !== token.signer().key || claim.cluster !== (token.fingerprint ?? '')) return 'wrong-token';
    return isSaidBy(claim, this.#channel, this.#verify) ? undefined : 'forged';
  }

  /** The peer shows that it belongs to the cluster of the token, and that this host does now. */
  #takeProof(side: WaitingSide, { genesis: json, sheets }: Proof): readonly Step[] {
    const genesis = parseGenesis(json, 'the genesis', this.#verify);
    const trust = side.trustOf(genesis, sheets);
    const own = trust.hosts.get(hostIdOf(side.signer.key));
    if (!this.#isMeant(side, trust) || !this.#isAdmitted(trust) || own === undefined) return this.refuse('unproved');
    return [{ kind: 'learn', genesis, sheets }, ...this.#sayWelcome()];
  }

  /**
   * Whether this is the cluster of the token: its fingerprint says so, if it has one, and an admin that knew the secret. A
   * former admin, which could show how things were before it was removed, does not know the token of today.
   */
  #isMeant({ token }: WaitingSide, { cluster, token: current }: Trust): boolean {
    return cluster.startsWith(token.fingerprint ?? '') && current?.key === token.signer().key;
  }

  #sayHello(side: MemberSide): readonly Step[] {
    this.#said = 'hello';
    return [send({ t: 'hello', protocol, cluster: side.trust().cluster, empty: side.empty })];
  }

  #sayClaim(side: WaitingSide): readonly Step[] {
    this.#said = 'claim';
    return [send({ t: 'claim', protocol, claim: claimOf(side, this.#channel) })];
  }

  #sayWelcome(): readonly Step[] {
    this.#welcomed = true;
    return [send({ t: 'welcome' }), ...this.#open()];
  }

  #takeWelcome(): readonly Step[] {
    const expected = this.#welcomed || this.#said === 'hello' || this.#said === 'claim';
    if (!expected) return this.refuse('protocol');
    this.#welcome = true;
    return this.#open();
  }

  #open(): readonly Step[] {
    return this.#welcomed && this.#welcome ? this.#end({ kind: 'open' }) : [];
  }

  #refused(by: 'us' | 'them', reason: Reason): readonly Step[] {
    const heard = this.#heard;
    const cluster = typeof heard === 'object' ? { cluster: heard.cluster, empty: heard.empty } : undefined;
    return this.#end({ kind: 'refused', by, reason, cluster });
  }

  #end(step: Step): readonly Step[] {
    this.#done = true;
    return [step];
  }

  get #peer(): string {
    return hostIdOf(this.#channel.peerKey);
  }

  #isAdmitted({ hosts }: Trust): boolean {
    return hosts.get(this.#peer)?.key === this.#channel.peerKey;
  }

  #isSelf(): boolean {
    const side = this.#side;
    return this.#channel.peerKey === (side.kind === 'member' ? side.key : side.signer.key);
  }
}

function send(message: HandshakeMessage): Step {
  return { kind: 'send', message };
}

function proofOf(side: MemberSide): Step {
  return send({ t: 'proof', genesis: side.genesis, sheets: [...side.sheets()] });
}
