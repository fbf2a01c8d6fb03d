import { createCipheriv, createDecipheriv, hkdfSync, type KeyObject } from 'node:crypto';
import { DecodeError } from '../../../lib/errors.ts';
import { Bucket } from '../bucket.ts';
import { decodeFrame } from './frame.ts';
import { longestPayload, type Packet, type PacketHead, packet, sessionSize } from './packet.ts';
import { pairSecret } from './pair-secret.ts';
import { ReplayWindow } from './replay-window.ts';

/** What came of a packet: a message of this host; or bytes to send back where it came from. */
export type Opened =
  | { readonly kind: 'message'; readonly from: string; readonly message: unknown }
  | { readonly kind: 'answer'; readonly bytes: Uint8Array };

export interface CourierNeeds {
  readonly self: string;
  readonly privateKey: KeyObject;
  readonly cluster: string;
  /** The key of a host that belongs to the cluster now; the key is of the id, and never another. */
  keyOf(host: string): string | undefined;
  /** Bytes that nobody can guess. */
  readonly random: (size: number) => Uint8Array;
  /** Milliseconds that only grow. */
  now(): number;
}

/** Keys made for packets that then prove false: more a second are not looked at. */
const keyRate = { burst: 200, perSecond: 100 } as const;
const answerRate = { burst: 5, perSecond: 5 } as const;
/** A message that found a session that is over is sent again when it is not older, in milliseconds. */
const fresh = 1000;
/**
 * Lives of other hosts that this one saw in one of its own; then it begins a new session, and forgets what was said in
 * the old one.
 */
const mostLives = 4096;
const noSession = '0'.repeat(2 * sessionSize);

/**
 * Seals datagrams to hosts and opens theirs: encrypted, each taken once, and only when it was made for this life of this
 * host. Keys follow from both host keys and from both sessions, a random number of each one's life; so nothing that was
 * recorded before either of them started is worth anything. Who does not know the other's session yet is told it, and its
 * message comes again: one round trip, once.
 */
export class Courier {
  readonly #needs: CourierNeeds;
  readonly #peers = new Map<string, Peer>();
  #session: string;
  /** Of the last packet: never again with the same keys, so it counts for all hosts and goes on in a new session. */
  #number = 0;
  #lives = 0;

  constructor(needs: CourierNeeds) {
    this.#needs = needs;
    this.#session = this.#newSession();
  }

  /** Undefined when the host does not belong to the cluster, or the message is too long for a packet. */
  seal(to: string, message: unknown): Uint8Array | undefined {
    const peer = this.#peer(to);
    const payload = Buffer.from(JSON.stringify(message));
    if (peer === undefined || payload.length > longestPayload) return undefined;
    peer.last = { payload, at: this.#needs.now() };
    return this.#sealTo(to, peer, { kind: 'message', payload });
  }

  /** Undefined for what is not for us, false, or seen before: nobody is told. */
  open(bytes: Uint8Array): Opened | undefined {
    try {
      return this.#take(packet.decode(bytes));
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
  }

  #take(came: Packet): Opened | undefined {
    const { from, session } = came;
    const peer = from === this.#needs.self ? undefined : this.#peer(from);
    if (peer === undefined) return undefined;
    const payload = this.#unseal(peer, came);
    if (payload === undefined) return undefined;
    if (came.toSession !== this.#session) return came.kind === 'message' ? this.#tellSession(peer, came) : undefined;
    if (!this.#window(peer, session).take(came.number)) return undefined;
    // It knows the session of this life, and this is no recording: so it speaks now.
    const isNew = session !== peer.session;
    peer.session = session;
    if (came.kind === 'message') return { kind: 'message', from, message: decodeFrame(payload) };
    return isNew ? this.#again(from, peer) : undefined;
  }

  #window({ windows }: Peer, session: string): ReplayWindow {
    const known = windows.get(session);
    if (known) return known;
    this.#lives += 1;
    if (this.#lives > mostLives) {
      this.#session = this.#newSession();
      this.#lives = 0;
      for (const peer of this.#peers.values()) peer.windows.clear();
    }
    const window = new ReplayWindow();
    windows.set(session, window);
    return window;
  }

  /** It may be a recording; who made it just now can do something with the answer. */
  #tellSession(peer: Peer, { from, session }: Packet): Opened | undefined {
    const now = this.#needs.now();
    if (peer.answers.left(now) < 1) return undefined;
    peer.answers.take(1, now);
    const bytes = this.#sealTo(from, peer, { kind: 'session', payload: Buffer.alloc(0), toSession: session });
    return { kind: 'answer', bytes };
  }

  #again(from: string, peer: Peer): Opened | undefined {
    const { last } = peer;
    if (last === undefined || this.#needs.now() - last.at > fresh) return undefined;
    return { kind: 'answer', bytes: this.#sealTo(from, peer, { kind: 'message', payload: last.payload }) };
  }

  #sealTo(
    to: string,
    peer: Peer,
    { kind, payload, toSession = peer.session }: { kind: PacketHead['kind']; payload: Buffer; toSession?: string },
  ): Uint8Array {
    const { self } = this.#needs;
    this.#number += 1;
    const number = this.#number;
    const head = packet.encodeHead({ kind, from: self, session: this.#session, toSession, number });
    const key = peer.key('to', { from: self, to, session: this.#session, toSession });
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number)).setAAD(head);
    return Buffer.concat([head, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
  }

  #unseal(peer: Peer, { from, session, toSession, number, head, sealed, tag }: Packet): Buffer | undefined {
    const facts = { from, to: this.#needs.self, session, toSession };
    const now = this.#needs.now();
    if (!peer.has('from', facts)) {
      if (peer.keys.left(now) < 1) return undefined;
      peer.keys.take(1, now);
    }
    const key = peer.key('from', facts);
    const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(number), { authTagLength: tag.length });
    decipher.setAAD(head).setAuthTag(tag);
    try {
      return Buffer.concat([decipher.update(sealed), decipher.final()]);
    } catch {
      return undefined;
    }
  }

  #peer(id: string): Peer | undefined {
    const publicKey = this.#needs.keyOf(id);
    if (publicKey === undefined) return undefined;
    const known = this.#peers.get(id) ?? new Peer(secretWith(this.#needs, publicKey));
    this.#peers.set(id, known);
    return known;
  }

  #newSession(): string {
    return Buffer.from(this.#needs.random(sessionSize)).toString('hex');
  }
}

interface KeyFacts {
  readonly from: string;
  readonly to: string;
  readonly session: string;
  readonly toSession: string;
}

class Peer {
  readonly #secret: Uint8Array;
  /** The last key of each direction: a peer rarely changes its session. */
  readonly #keys = new Map<'to' | 'from', { readonly name: string; readonly key: Uint8Array }>();
  readonly keys = new Bucket(keyRate);
  readonly answers = new Bucket(answerRate);
  /** What came in which session of its. */
  readonly windows = new Map<string, ReplayWindow>();
  /** The one that it had last. */
  session = noSession;
  last: { readonly payload: Buffer; readonly at: number } | undefined;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  has(direction: 'to' | 'from', facts: KeyFacts): boolean {
    return this.#keys.get(direction)?.name === nameOf(facts);
  }

  key(direction: 'to' | 'from', facts: KeyFacts): Uint8Array {
    const name = nameOf(facts);
    const known = this.#keys.get(direction);
    if (known?.name === name) return known.key;
    const key = new Uint8Array(hkdfSync('sha256', this.#secret, '', `skein datagram ${name}`, 32));
    this.#keys.set(direction, { name, key });
    return key;
  }
}

function nameOf({ from, to, session, toSession }: KeyFacts): string {
  return `${from} ${to} ${session} ${toSession}`;
}

/** Hosts whose key is none to agree on anything with share nothing with anybody. */
function secretWith({ privateKey, cluster, random }: CourierNeeds, publicKey: string): Uint8Array {
  try {
    return new Uint8Array(hkdfSync('sha256', pairSecret(privateKey, publicKey), cluster, 'skein pair', 32));
  } catch {
    return random(32);
  }
}

/** A number is used once with a key. */
function nonceOf(number: number): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 6, 6);
  return nonce;
}
