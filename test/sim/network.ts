import type { Link } from '../../src/state/mesh/environment.ts';
import type { Chance } from './chance.ts';
import type { Time } from './time.ts';

/** What the network does to who uses it. Shares are between 0 and 1. */
export interface Weather {
  /** Of one way, in milliseconds. */
  readonly delay: readonly [least: number, most: number];
  /** Of packets lost. Links send them again, which takes time. */
  readonly loss: number;
  /** Of datagrams that come twice. */
  readonly doubled: number;
  /** Of datagrams that others overtake. */
  readonly late: number;
  /** Whether datagrams come through at all. */
  readonly datagrams?: boolean;
}

export const fair: Weather = { delay: [0.2, 1], loss: 0, doubled: 0, late: 0 };

/** Milliseconds. */
const after = {
  /** Before lost packets of a link are sent again. */
  resend: 200,
  /** Before a link over which nothing comes is given up, and a dial that nobody answers. */
  silence: 5_000,
  dial: 3_000,
  handshake: 5,
} as const;

/** A link that takes no more until what waits is less. */
const mostWaiting = 4_000;

/** A host as the network sees it. */
export interface Station {
  readonly id: string;
  /** Runs when the host does; a paused one does it later. Not at all once this life of it has ended. */
  act(task: () => void): void;
  /** Whether its machine runs; and whether the daemon on it does. */
  readonly up: boolean;
  readonly running: boolean;
  /** Counts its lives. */
  readonly life: number;
  accepted(link: Link): void;
  received(link: Link, frame: unknown): void;
  drained(link: Link): void;
  closed(link: Link, why: string): void;
  datagram(from: string, message: unknown): void;
}

export interface NetworkNeeds {
  readonly time: Time;
  readonly chance: Chance;
  readonly station: (id: string) => Station | undefined;
  readonly admits: (station: Station, peer: string) => boolean;
  /** What becomes of a frame on its way: itself, its copy, or a forgery. */
  readonly carry: (from: string, to: string, frame: unknown, by: 'link' | 'datagram') => unknown;
}

export class Network {
  weather: Weather = fair;
  readonly #needs: NetworkNeeds;
  readonly #blocked = new Set<string>();
  readonly #wires = new Set<Wire>();

  constructor(needs: NetworkNeeds) {
    this.#needs = needs;
  }

  /** Nothing comes from one host to another any more. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from} ${to}`);
    for (const wire of this.#between(from, to)) this.#giveUpLater(wire);
  }

  unblock(from: string, to: string): void {
    this.#blocked.delete(`${from} ${to}`);
    for (const wire of this.#between(from, to)) for (const end of wire.ends) this.#flow(end);
  }

  unblockAll(): void {
    this.#blocked.clear();
    for (const wire of this.#wires) for (const end of wire.ends) this.#flow(end);
  }

  blocked(from: string, to: string): boolean {
    return this.#blocked.has(`${from} ${to}`);
  }

  datagram(from: string, to: string, message: unknown): void {
    const { time, chance, station, carry } = this.#needs;
    const { delay, loss, doubled, late, datagrams } = this.weather;
    for (const _ of chance.happens(doubled) ? [1, 2] : [1]) {
      if (chance.happens(loss) || datagrams === false) continue;
      const wait = chance.between(...delay) * (chance.happens(late) ? 20 : 1);
      time.at(time.now + wait, () => {
        const receiver = station(to);
        if (receiver?.running !== true || this.blocked(from, to)) return;
        receiver.act(() => receiver.datagram(from, carry(from, to, message, 'datagram')));
      });
    }
  }

  dial(from: Station, to: string, outcome: { opened(link: Link): void; failed(why: string): void }): void {
    const { time, chance, station, admits } = this.#needs;
    const { life } = from;
    const [, most] = this.weather.delay;
    const other = station(to);
    const reachable = () => other?.up === true && !this.blocked(from.id, to) && !this.blocked(to, from.id);
    const fail = (wait: number, why: string) => {
      time.at(time.now + wait, () => from.life === life && from.act(() => outcome.failed(why)));
    };
    if (!reachable()) {
      fail(after.dial, 'no answer');
      return;
    }
    const wait =
      3 * chance.between(...this.weather.delay) +
      after.handshake +
      (chance.happens(this.weather.loss) ? after.resend : 0);
    time.at(time.now + wait, () => {
      if (from.life !== life || !from.running) return;
      if (!reachable()) fail(after.dial, 'no answer');
      else if (other?.running !== true) fail(most, 'refused');
      else if (!admits(other, from.id) || !admits(from, to)) fail(most, 'not admitted');
      else {
        const wire = new Wire(from, other);
        this.#wires.add(wire);
        const [here, there] = wire.ends.map((end) => this.#link(wire, end));
        if (here === undefined || there === undefined) return;
        wire.ends[0].link = here;
        wire.ends[1].link = there;
        other.act(() => other.accepted(there));
        from.act(() => outcome.opened(here));
      }
    });
  }

  /** Who has a link with this host. */
  linksOf(id: string): Set<string> {
    const peers = (wire: Wire) => wire.ends.filter(({ from }) => from.id !== id).map(({ from }) => from.id);
    return new Set([...this.#wires].filter((wire) => wire.has(id)).flatMap(peers));
  }

  /** The daemon on a host ended: its kernel tells the others. */
  ended(id: string): void {
    for (const wire of [...this.#wires].filter((one) => one.has(id))) this.#close(wire, 'ended by the peer', id);
  }

  /** The machine is gone: nobody tells the others. */
  vanished(id: string): void {
    for (const wire of [...this.#wires].filter((one) => one.has(id))) {
      const { time } = this.#needs;
      time.at(time.now + after.silence, () => this.#close(wire, 'no sign of life', id));
    }
  }

  #link(wire: Wire, end: End): Link {
    return {
      peer: end.to.id,
      dialled: end === wire.ends[0],
      send: (frame) => {
        if (!wire.open) return true;
        if (end.waiting.length >= mostWaiting) {
          end.full = true;
          return false;
        }
        end.waiting.push(frame);
        this.#flow(end);
        return true;
      },
      close: (why) => this.#close(wire, why, undefined, end),
    };
  }

  /** Brings the frames of one direction across, in order. */
  #flow(end: End): void {
    const { time, chance, carry } = this.#needs;
    const { from, to, wire } = end;
    while (end.waiting.length > 0 && wire.open && !this.blocked(from.id, to.id)) {
      const frame = end.waiting.shift();
      let wait = chance.between(...this.weather.delay);
      while (chance.happens(this.weather.loss)) wait += after.resend;
      end.last = Math.max(end.last, time.now + wait);
      time.at(end.last, () => {
        const link = wire.ends.find((one) => one !== end)?.link;
        if (!wire.open || link === undefined) return;
        to.act(() => wire.open && to.received(link, carry(from.id, to.id, frame, 'link')));
      });
    }
    if (!end.full || end.waiting.length > 0) return;
    end.full = false;
    from.act(() => end.link && from.drained(end.link));
  }

  #giveUpLater(wire: Wire): void {
    const { time } = this.#needs;
    time.at(time.now + after.silence, () => {
      const [one, other] = wire.ends;
      if (this.blocked(one.from.id, other.from.id) || this.blocked(other.from.id, one.from.id))
        this.#close(wire, 'no sign of life', undefined);
    });
  }

  #close(wire: Wire, why: string, gone: string | undefined, closer?: End): void {
    const { time, chance } = this.#needs;
    if (!wire.open) return;
    wire.open = false;
    this.#wires.delete(wire);
    for (const end of wire.ends) {
      const { link, from } = end;
      const { life } = from;
      if (link === undefined || from.id === gone) continue;
      const wait = end === closer ? 0 : chance.between(...this.weather.delay);
      time.at(time.now + wait, () => from.life === life && from.act(() => from.closed(link, why)));
    }
  }

  #between(one: string, other: string): Wire[] {
    return [...this.#wires].filter((wire) => wire.has(one) && wire.has(other));
  }
}

interface End {
  readonly wire: Wire;
  readonly from: Station;
  readonly to: Station;
  readonly waiting: unknown[];
  link: Link | undefined;
  full: boolean;
  /** When the last frame on its way arrives. */
  last: number;
}

class Wire {
  open = true;
  readonly ends: readonly [End, End];

  constructor(from: Station, to: Station) {
    const end = (one: Station, other: Station): End => ({
      ...{ wire: this, from: one, to: other, waiting: [], link: undefined, full: false, last: 0 },
    });
    this.ends = [end(from, to), end(to, from)];
  }

  has(id: string): boolean {
    return this.ends.some(({ from }) => from.id === id);
  }
}
