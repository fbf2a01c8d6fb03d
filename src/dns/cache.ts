import type { Foreign } from './foreign.ts';

export interface Cached {
  readonly answer: Foreign;
  /** Seconds since it came. */
  readonly age: number;
}

interface Kept {
  readonly answer: Foreign;
  readonly since: number;
  readonly until: number;
  readonly size: number;
}

/** Longer than this nothing is believed unasked: what a zone's owner corrects is seen within the hour. */
const longest = 3600;
/** Besides the bytes: the objects of an entry, and of each of its records. */
const entryOverhead = 400;
const recordOverhead = 64;

/** Answers of others, for as long as they said (RFC 2308 for those that something is not there); the longest unused go first. */
export class AnswerCache {
  readonly #kept = new Map<string, Kept>();
  readonly #capacity: number;
  #size = 0;

  /** `capacity` in bytes. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** `now` in milliseconds that only grow. */
  get(key: string, now: number): Cached | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    this.#kept.delete(key);
    if (now >= kept.until) {
      this.#size -= kept.size;
      return undefined;
    }
    this.#kept.set(key, kept);
    return { answer: kept.answer, age: Math.floor((now - kept.since) / 1000) };
  }

  put(key: string, answer: Foreign, now: number): void {
    const seconds = Math.min(answer.ttl ?? 0, longest);
    const size = entryOverhead + 2 * key.length + answer.bytes.length + recordOverhead * answer.records.length;
    if (seconds <= 0 || size > this.#capacity / 8) return;
    this.#remove(key);
    this.#kept.set(key, { answer, since: now, until: now + seconds * 1000, size });
    this.#size += size;
    for (const oldest of this.#kept.keys()) {
      if (this.#size <= this.#capacity) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    this.#size -= kept.size;
  }
}
