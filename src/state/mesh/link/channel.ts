import type { Duplex } from 'node:stream';
import { DecodeError, messageOf } from '../../../lib/errors.ts';
import { Bucket, type Rate } from '../bucket.ts';
import { decodeFrame, encodeFrame, FrameReader, heartbeat } from './frame.ts';

/** What a peer may send: the longest frame in bytes, frames, and bytes. Beyond the rates it is read no faster. */
export interface Allowance {
  readonly frame: number;
  readonly frames: Rate;
  readonly bytes: Rate;
}

const kib = 1024;
const mib = 1024 * kib;

export const allowances = {
  /** One that has not shown that it belongs to the cluster. */
  stranger: {
    frame: 64 * kib,
    frames: { burst: 16, perSecond: 2 },
    bytes: { burst: 128 * kib, perSecond: 16 * kib },
  },
  /** One from which a proof is expected: trust sheets. */
  proving: { frame: 4 * mib, frames: { burst: 16, perSecond: 2 }, bytes: { burst: 8 * mib, perSecond: 64 * kib } },
  /** One that waits as this host does, and has the same token. */
  waiting: {
    frame: 512 * kib,
    frames: { burst: 2000, perSecond: 600 },
    bytes: { burst: 16 * mib, perSecond: mib },
  },
  member: {
    frame: 8 * mib,
    frames: { burst: 10_000, perSecond: 2000 },
    bytes: { burst: 32 * mib, perSecond: 8 * mib },
  },
} as const satisfies Record<string, Allowance>;

/** In milliseconds. */
export interface Pace {
  /** Until TLS must be done. */
  readonly handshake: number;
  /** Between signs of life. */
  readonly heartbeat: number;
  /** Without a frame until the other is taken for gone. */
  readonly silence: number;
  /** Without anything of what waits being taken. */
  readonly stall: number;
  /** Of sending at more than the rate without a pause. */
  readonly flood: number;
}

export const defaultPace: Pace = {
  ...{ handshake: 4000, heartbeat: 10_000 },
  ...{ silence: 30_000, stall: 30_000, flood: 30_000 },
};

/** Bytes that wait to be sent before no more are taken. */
const mostWaiting = 16 * mib;
/** What is written at a time: each that goes out shows that the peer still reads. */
const slice = 64 * kib;
/** Of the reason that a peer gives, in characters. */
const longestReason = 300;
/** Until a connection that was closed is cut off, in milliseconds. */
const lastWords = 1000;

/** What came of a channel; none of it is told from within a call. */
export interface ChannelEvents {
  received(frame: unknown): void;
  drained(): void;
  /** Told once, whoever closed it. */
  closed(why: string): void;
}

export interface ChannelFacts {
  /** The peer has proved to hold it. */
  readonly peerKey: string;
  /** Both ends know it, and no other channel has it. */
  readonly binding: string;
  readonly dialled: boolean;
  /** The other end, for people: an address and a port. */
  readonly address: string;
  /** Whom to count what comes from there to. */
  readonly source: string;
}

/** Frames to and from one peer, over a connection that TLS keeps. Nothing is read before `take`. */
export class Channel implements ChannelFacts {
  readonly peerKey: string;
  readonly binding: string;
  readonly dialled: boolean;
  readonly address: string;
  readonly source: string;
  readonly #socket: Duplex;
  readonly #pace: Pace;
  readonly #timer: NodeJS.Timeout;
  readonly #reader = new FrameReader(allowances.stranger.frame);
  #allowance: Allowance = allowances.stranger;
  #frames = new Bucket(allowances.stranger.frames);
  #bytes = new Bucket(allowances.stranger.bytes);
  #events: ChannelEvents | undefined;
  #closed: string | undefined;
  #told = false;
  #paused: NodeJS.Timeout | undefined;
  /** When it began to send more than it may; when a frame came, or something went out, for the last time. */
  #floods: number | undefined;
  #heard = performance.now();
  #moved = performance.now();
  #waiting = 0;
  #refused = false;

  constructor(socket: Duplex, facts: ChannelFacts, pace = defaultPace) {
    this.peerKey = facts.peerKey;
    this.binding = facts.binding;
    this.dialled = facts.dialled;
    this.address = facts.address;
    this.source = facts.source;
    this.#socket = socket;
    this.#pace = pace;
    this.#timer = setInterval(() => this.#tick(), pace.heartbeat).unref();
    socket.on('data', (piece: Buffer) => {
      this.#reader.push(piece);
      this.#read();
    });
    socket.on('drain', () => this.#drained());
    socket.on('error', (error) => this.#end(`the connection failed: ${messageOf(error)}`));
    socket.on('end', () => this.#end('the other side ended the connection'));
    socket.on('close', () => this.#end('the connection ended'));
    socket.pause();
    if (socket.destroyed) this.#end('the connection ended');
  }

  /** From now on these are told what comes; with none, nothing is read. What closed it before is told as well. */
  take(events: ChannelEvents | undefined): void {
    this.#events = events;
    this.#heard = performance.now();
    if (this.#closed !== undefined) this.#tell();
    else if (events === undefined) this.#socket.pause();
    else queueMicrotask(() => this.#read());
  }

  allow(allowance: Allowance): void {
    if (allowance === this.#allowance) return;
    this.#allowance = allowance;
    this.#reader.most = allowance.frame;
    this.#frames = new Bucket(allowance.frames);
    this.#bytes = new Bucket(allowance.bytes);
  }

  /**
   * Takes a frame; false when it was dropped: the channel is closed, or too much waits already and `drained` tells when
   * to go on.
   */
  send(frame: unknown): boolean {
    if (this.#closed !== undefined) return false;
    if (this.#socket.writableLength > mostWaiting) {
      this.#refused = true;
      return false;
    }
    this.#write(encodeFrame(frame));
    return true;
  }

  /** The other side is told why; what was sent before may be lost. May be called twice. */
  close(why: string): void {
    if (this.#closed !== undefined) return;
    this.#write(encodeFrame({ t: 'bye', why: why.slice(0, longestReason) }));
    this.#end(why);
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += slice) {
      if (this.#waiting === 0) this.#moved = performance.now();
      this.#waiting += 1;
      this.#socket.write(bytes.subarray(at, at + slice), () => {
        this.#waiting -= 1;
        this.#moved = performance.now();
      });
    }
  }

  #drained(): void {
    if (!this.#refused || this.#closed !== undefined) return;
    this.#refused = false;
    this.#events?.drained();
  }

  #read(): void {
    try {
      while (this.#closed === undefined && this.#events !== undefined && this.#mayRead()) {
        const bytes = this.#reader.next();
        if (bytes === undefined) {
          this.#socket.resume();
          return;
        }
        this.#heard = performance.now();
        this.#frames.take(1, this.#heard);
        this.#bytes.take(bytes.length, this.#heard);
        if (bytes.length > 0) this.#receive(decodeFrame(bytes));
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.close(`it sent ${error.message}`);
    }
    if (this.#closed === undefined) this.#socket.pause();
  }

  #receive(frame: unknown): void {
    const why = reasonIn(frame);
    if (why === undefined) this.#events?.received(frame);
    else this.#end(`the other side says: ${why}`);
  }

  /** Whether the peer kept to its rates; if not, reading goes on when it has. */
  #mayRead(): boolean {
    const now = performance.now();
    const wait = Math.max(this.#frames.wait(0, now), this.#bytes.wait(0, now));
    if (wait === 0) {
      if (
        this.#frames.left(now) > this.#allowance.frames.burst / 2 &&
        this.#bytes.left(now) > this.#allowance.bytes.burst / 2
      ) {
        this.#floods = undefined;
      }
      return true;
    }
    this.#floods ??= now;
    if (now - this.#floods > this.#pace.flood) {
      this.close('it sends more than is read from anybody');
      return false;
    }
    this.#paused ??= setTimeout(() => {
      this.#paused = undefined;
      this.#read();
    }, wait).unref();
    return false;
  }

  #tick(): void {
    const now = performance.now();
    // What is left lying for its rate was heard.
    if (this.#paused === undefined && this.#events !== undefined && now - this.#heard > this.#pace.silence) {
      this.close(`it said nothing for ${Math.round(this.#pace.silence / 1000)} s`);
    } else if (this.#waiting > 0 && now - this.#moved > this.#pace.stall) {
      this.close('it does not read what it is sent');
    } else {
      this.#write(heartbeat);
    }
  }

  #end(why: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = why;
    clearInterval(this.#timer);
    clearTimeout(this.#paused);
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), lastWords).unref();
    // A peer that goes on sending is not read, and an end can only be seen by who reads.
    this.#socket.removeAllListeners('data');
    this.#socket.resume();
    this.#tell();
  }

  #tell(): void {
    const events = this.#events;
    const why = this.#closed;
    if (events === undefined || why === undefined || this.#told) return;
    this.#told = true;
    queueMicrotask(() => events.closed(why));
  }
}

/** Why the peer closes the channel; undefined for any other frame. Its words are shown to people. */
function reasonIn(frame: unknown): string | undefined {
  if (typeof frame !== 'object' || frame === null || !('t' in frame) || frame.t !== 'bye') return undefined;
  const why = 'why' in frame && typeof frame.why === 'string' ? frame.why : '';
  const words = why.slice(0, longestReason).replaceAll(/[^\P{C}]/gu, '');
  return words === '' ? 'no more' : words;
}
