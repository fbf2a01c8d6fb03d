import { ParseError } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import { mostWaiting } from '../beginning.ts';
import type { Clock, Seal } from '../environment.ts';
import { allowances, type Channel } from '../link/channel.ts';
import { Routes } from '../routes.ts';
import type { Signer } from '../signing.ts';
import { type Card, cardOf, isGenuine, mostChannels } from './card.ts';
import { type Body, mostHops, parseLetter, parseRoomMessage, type RoomMessage } from './messages.ts';

/** A channel whose peer has proved that it has the token. */
export type MetChannel = Pick<Channel, 'peerKey' | 'dialled' | 'address' | 'allow' | 'send' | 'close' | 'take'>;

type Letter = Extract<RoomMessage, { t: 'letter' }>;

export interface CompanyNeeds {
  readonly seal: Seal;
  /** Of the token. */
  readonly token: Signer;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** Hosts came or went, or can be reached now, or no longer. */
  readonly changed: () => void;
  readonly received: (from: string, body: Body) => void;
}

/** Milliseconds in which changes are gathered: of this host's channels for its next card, of the others for who hears of them. */
const gather = 50;

/**
 * The hosts that wait, as far as they are heard of, and the ways to them. Each host's card goes to all, over all channels
 * that there are; as a card says with whom its host has channels, each host knows the ways. A way counts when both its ends
 * say so. Letters go along it from host to host. They are not signed: who has the token of hosts that wait can found their
 * cluster, and has no need to put words into another's mouth; who they are is proved by their cards.
 */
export class Company {
  readonly self: string;
  readonly #needs: CompanyNeeds;
  readonly #cards = new Map<string, Card>();
  readonly #channels = new Map<string, MetChannel>();
  readonly #routes: Routes;
  #own: Card;
  #gathering = false;
  #hasLinked = false;
  #closed = false;

  constructor(needs: CompanyNeeds) {
    this.#needs = needs;
    this.self = hostIdOf(needs.seal.key);
    this.#own = this.#sign(1);
    this.#routes = new Routes(this.self, (host) => this.#linksOf(host));
  }

  /** All that are heard of, but for this host. */
  cards(): ReadonlyMap<string, Card> {
    return this.#cards;
  }

  has(peer: string): boolean {
    return this.#channels.has(peer);
  }

  reaches(host: string): boolean {
    return this.#cards.has(host) && this.#routes.next(host) !== undefined;
  }

  reached(): ReadonlySet<string> {
    return new Set([...this.#cards.keys()].filter((host) => this.reaches(host)));
  }

  /** Takes on a channel. Of two with one peer the one that the lower id dialled stays, or the newer. */
  met(channel: MetChannel): void {
    const peer = hostIdOf(channel.peerKey);
    const other = this.#channels.get(peer);
    const preferred = (one: MetChannel) => one.dialled === this.self < peer;
    if (this.#closed || peer === this.self) {
      channel.close('this host waits no more');
      return;
    }
    if (other !== undefined && preferred(other) && !preferred(channel)) {
      channel.close('there is a channel already');
      return;
    }
    channel.allow(allowances.waiting);
    for (const card of [this.#own, ...this.#cards.values()]) this.#show(channel, card);
    if (other === undefined && this.#channels.size >= mostChannels) {
      channel.close('this host has as many channels as it takes: connect to another of those that wait');
      return;
    }
    this.#channels.set(peer, channel);
    other?.close('there is a newer channel');
    channel.take({
      received: (frame) => this.#received(peer, channel, frame),
      drained: () => undefined,
      closed: () => {
        if (this.#channels.get(peer) !== channel) return;
        this.#channels.delete(peer);
        this.#linked();
      },
    });
    this.#linked();
  }

  /** What cannot be sent, or is lost on the way, is gone. */
  send(to: readonly string[], body: Body): void {
    this.#forward({ t: 'letter', from: this.self, to: [...to], hops: mostHops, body }, undefined);
  }

  close(): void {
    this.#closed = true;
    for (const channel of this.#channels.values()) channel.close('this host waits no more');
    this.#channels.clear();
  }

  #received(peer: string, channel: MetChannel, frame: unknown): void {
    if (this.#channels.get(peer) !== channel) return;
    try {
      const message = parseRoomMessage(frame);
      if (message.t === 'card') this.#hear(message.card, peer);
      else this.#deliver(message, peer);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#needs.log.warn('a waiting host was dropped', { peer: channel.address, error });
      channel.close(`it said what is not understood here: ${error.message}`);
    }
  }

  #hear(card: Card, from: string): void {
    const id = hostIdOf(card.key);
    const before = id === this.self ? this.#own : this.#cards.get(id);
    const isKnown = before !== undefined && (before.n > card.n || before.signature === card.signature);
    if (isKnown || (before?.n === card.n && id !== this.self)) return;
    const { token, seal } = this.#needs;
    if (!isGenuine(card, token.key, seal)) throw new ParseError(`the card of ${id} is not signed by it`);
    if (id === this.self) {
      // Of an earlier life.
      this.#say(card.n + 1);
      return;
    }
    if (before === undefined && !this.#makeRoom()) return;
    this.#cards.set(id, card);
    this.#spread(card, from);
    this.#changed();
  }

  /** Whether one more can be known. */
  #makeRoom(): boolean {
    if (this.#cards.size < mostWaiting - 1) return true;
    const gone = [...this.#cards.keys()].find((host) => !this.reaches(host));
    return gone !== undefined && this.#cards.delete(gone);
  }

  #deliver(letter: Letter, peer: string): void {
    if (letter.from === this.self) return;
    const others = letter.to.filter((host) => host !== this.self);
    if (letter.hops > 0) this.#forward({ ...letter, to: others, hops: letter.hops - 1 }, peer);
    if (others.length === letter.to.length) return;
    try {
      this.#needs.received(letter.from, parseLetter(letter.body));
    } catch (error) {
      // Who passed it on is not to blame.
      if (letter.from === peer || !(error instanceof ParseError)) throw error;
      this.#needs.log.debug('the letter of a waiting host was dropped', { host: letter.from, error });
    }
  }

  #forward(letter: Letter, from: string | undefined): void {
    const ways = new Map<string, string[]>();
    for (const host of letter.to) {
      const next = this.#routes.next(host);
      if (next !== undefined && next !== from) ways.set(next, [...(ways.get(next) ?? []), host]);
    }
    for (const [next, to] of ways) this.#channels.get(next)?.send({ ...letter, to });
  }

  #linked(): void {
    this.#hasLinked = true;
    this.#changed();
  }

  #say(n: number): void {
    this.#own = this.#sign(n);
    this.#spread(this.#own, undefined);
  }

  #sign(n: number): Card {
    const { seal, token, name, addresses } = this.#needs;
    const links = [...this.#channels.keys()].toSorted();
    return cardOf({ key: seal.key, name, addresses: [...addresses], n, links }, { signer: seal, token });
  }

  #spread(card: Card, from: string | undefined): void {
    for (const [peer, channel] of this.#channels) if (peer !== from) this.#show(channel, card);
  }

  /** A host that misses a card knows wrong ways for ever: its channel ends. */
  #show(channel: MetChannel, card: Card): void {
    if (!channel.send({ t: 'card', card })) channel.close('it does not read what it is sent');
  }

  #changed(): void {
    this.#routes.changed();
    if (this.#gathering) return;
    this.#gathering = true;
    this.#needs.clock.after(gather, () => {
      this.#gathering = false;
      if (this.#closed) return;
      if (this.#hasLinked) this.#say(this.#own.n + 1);
      this.#hasLinked = false;
      this.#needs.changed();
    });
  }

  #linksOf(host: string): readonly string[] {
    if (host === this.self) return [...this.#channels.keys()].filter((peer) => this.#cards.has(peer));
    const links = this.#cards.get(host)?.links ?? [];
    return links.filter((other) =>
      other === this.self ? this.#channels.has(host) : this.#cards.get(other)?.links.includes(host) === true,
    );
  }
}
