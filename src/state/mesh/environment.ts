import type { Log } from '../../lib/log.ts';
import type { Head } from './head.ts';
import type { Json, Scope, Version } from './sheets.ts';

/** All that the mesh needs of the world. It reads no clock, throws no dice and touches no file or socket by itself. */
export interface Environment {
  readonly clock: Clock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  readonly seal: Seal;
  readonly trust: Trust;
  readonly disk: Disk;
  readonly links: Links;
  readonly datagrams: Datagrams;
  readonly log: Log;
}

export interface Clock {
  /**
   * Milliseconds that only grow; what they count from says nothing. Must go on while the machine sleeps or the process
   * is stopped.
   */
  now(): number;
  /** Runs `task` once, `ms` from now at the earliest, unless the returned function is called before. */
  after(ms: number, task: () => void): () => void;
}

/** Hashes, and this host's own signature. */
export interface Seal {
  /** Of this host; what others check its signatures with. */
  readonly key: string;
  /** SHA-256 in hex. */
  hash(text: string): string;
  /** This host's signature, base64. */
  sign(text: string): string;
  /** Whether `signature` is what the holder of `key` made of `text`. */
  verify(key: string, text: string, signature: string): boolean;
}

/** Who may say what: made of what stands in the trust sheets. */
export interface Trust {
  /** What names the cluster in everything that is signed. */
  readonly cluster: string;
  /**
   * The key that must have signed what `owner` says in `scope` at `version`; undefined when that does not count: it was
   * never admitted, or it was removed. May answer otherwise after a change of a sheet of the scope `trust`.
   */
  keyFor(owner: string, scope: Scope, version: Version): string | undefined;
}

/** Where sheets survive the process. Writes are applied in the order of asking, each wholly or not at all. */
export interface Disk {
  /** Calls `done` when all of it would survive a power cut, with an error when it was not done. */
  write(changes: readonly DiskChange[], done: (error?: Error) => void): void;
}

export interface DiskChange {
  readonly owner: string;
  readonly scope: Scope;
  /** The sheet's new head; undefined when the sheet is forgotten with everything in it. */
  readonly head: Head | undefined;
  /** Whether `put` is the whole sheet: entries that are not in it go. */
  readonly whole: boolean;
  readonly put: readonly (readonly [key: string, value: Json])[];
  readonly remove: readonly string[];
}

/** What a disk held at the start. */
export interface StoredSheet {
  readonly head: Head;
  readonly entries: readonly (readonly [key: string, value: Json])[];
}

/** Opens authenticated, encrypted, ordered connections to other hosts. What comes of it is told to the mesh. */
export interface Links {
  /**
   * Tries to open a link to what answers at `address`, to nobody but `host` when that is said. The outcome is told by
   * `opened` or by `failed`, exactly one of them.
   */
  dial(
    address: string,
    host: string | undefined,
    outcome: { opened(link: Link): void; failed(why: string): void },
  ): void;
}

/** A link to a host that has proven who it is and that is admitted. Frames arrive whole and in order, or the link ends. */
export interface Link {
  readonly peer: string;
  /** Whether this host dialled. */
  readonly dialled: boolean;
  /** Takes one frame; false when too much waits to be sent already, and the frame was dropped: `drained` tells when to go on. */
  send(frame: Frame): boolean;
  /** The other side is told why. What was sent before may be lost. May be called twice. */
  close(why: string): void;
}

/** A JSON value. */
export type Frame = unknown;

/** Small authenticated, encrypted messages that may be lost, doubled or late. */
export interface Datagrams {
  /** Sends to the host at the address that it publishes, if it is known; nobody is told what came of it. */
  send(host: string, message: Frame): void;
}

/** What is told to the mesh. None of it may be called from within a call of the mesh. */
export interface MeshEvents {
  /** A link that another host dialled. */
  accepted(link: Link): void;
  received(link: Link, frame: Frame): void;
  drained(link: Link): void;
  /** It is told once for each link, also when this host closed it. */
  closed(link: Link, why: string): void;
  /** A datagram of a host that has proven that it is the sender. */
  datagram(from: string, message: Frame): void;
}
