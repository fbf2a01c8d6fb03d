import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { delay, pause } from '../../lib/backoff.ts';
import { messageOf, Refusal } from '../../lib/errors.ts';
import { Feed } from '../../lib/feed.ts';
import type { Log } from '../../lib/log.ts';
import type { Keys } from '../../model/keys.ts';
import { parseRecord } from '../../model/record.ts';
import { Time } from '../../model/text.ts';
import { readItem } from './records.ts';
import type { Skipped } from './skipped.ts';
import type { Item, Session, Store } from './store.ts';

/**
 * This host's sign of life: the key `alive/<host>`, which vanishes with the host's session.
 *
 * One identity may be alive once. A process that finds the key held by another instance cannot know whether that one
 * lives or was killed a moment ago, so it asks: it writes its own mark beside the other's. A living holder watches its
 * key and wipes the mark off at once; then the newcomer is refused. When nothing happens for `patience` the holder is
 * dead and the newcomer takes the key. So a restart after a crash does not wait for the session's end, and the key is
 * there all the while: nobody sees the host lost. Where the former instance ran in the same `place`, of which there can be
 * only one at a time, it is known to be dead and nobody is asked.
 */
export interface Presence {
  /** True when own session has been fresh for one full TTL: only then is the absence of others a sign. */
  readonly judges: Feed<boolean>;
  /** Aborts, with a Refusal as its reason, when another instance of the same identity has taken the place. */
  readonly ousted: AbortSignal;
  /** For a host that goes for good: it counts as lost at once, not when its session ends. May be called twice. */
  leave(): Promise<void>;
  /**
   * Stops renewing: the host counts as lost when its session ends, so that a daemon that is started again before keeps
   * its containers' names. May be called twice.
   */
  close(): Promise<void>;
}

export interface OpenPresence {
  readonly store: Store;
  readonly keys: Keys;
  readonly skipped: Skipped;
  readonly log: Log;
  readonly host: string;
  readonly epoch: number;
  /** Of the session, in milliseconds: with what a store takes to notice its end, a host that died is lost within 15 s. */
  readonly ttl?: number;
  /**
   * Where this instance runs, if at most one can run there at a time: this boot of the machine and the state directory
   * that it has locked. A copy of the directory is another place.
   */
  readonly place?: string;
  /** How long a living instance is given to answer, in milliseconds. */
  readonly patience?: number;
  /** How long opening waits for a store that is away, in milliseconds. */
  readonly wait?: number;
}

const Instance = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/, 'is not an instance of 16 hexadecimal digits'));
const AliveRecord = v.looseObject({
  epoch: v.pipe(v.number(), v.integer(), v.minValue(1)),
  since: Time,
  /** Of the process: two copies of one state directory have the same epoch. */
  instance: Instance,
  place: v.optional(v.pipe(v.string(), v.maxLength(256))),
  asking: v.optional(Instance),
});
type AliveRecord = v.InferOutput<typeof AliveRecord>;

/** @throws ParseError */
export function parseAlive(json: unknown, place: string): AliveRecord {
  return parseRecord(AliveRecord, json, place);
}

/**
 * Resolves when the host is alive in the store, or when the store could not be reached for `wait`; then it goes on trying.
 * @throws Refusal 'conflict' when the same identity is alive elsewhere
 */
export async function openPresence(options: OpenPresence): Promise<Presence> {
  const { store, log, ttl = 12_000, wait = 5_000 } = options;
  const judges = new Feed(false);
  const ousted = new AbortController();
  const closed = new AbortController();
  const place = new Place(options);
  const first = Promise.withResolvers<void>();

  const live = async (session: Session) => {
    const signal = AbortSignal.any([closed.signal, session.lost]);
    await place.take(session, signal);
    if (signal.aborted) return;
    first.resolve();
    const judging = setTimeout(() => judges.set(true), ttl);
    try {
      await place.keep(session, signal);
    } finally {
      clearTimeout(judging);
      judges.set(false);
    }
  };
  const run = async () => {
    let former: Session | undefined;
    for (let failures = 0; !closed.signal.aborted; failures++) {
      let session: Session | undefined;
      try {
        session = await store.openSession(ttl);
        await live(session);
        failures = 0;
        if (session.lost.aborted) log.warn('session lost', { error: messageOf(session.lost.reason) });
      } catch (error) {
        if (error instanceof AliveElsewhere) {
          first.reject(error);
          ousted.abort(error);
          closed.abort();
        } else log.warn('presence failed', { error: messageOf(error) });
      }
      // A former session's end takes nothing away: the key belongs to the newer one.
      await former?.close().catch(() => undefined);
      former = session;
      if (!closed.signal.aborted) await pause(delay(failures, { first: 100, most: 3_000 }), closed.signal);
    }
    return former;
  };
  const running = run();
  const presence = {
    judges,
    ousted: ousted.signal,
    async leave() {
      closed.abort();
      await (await running)?.close().catch(() => undefined);
    },
    async close() {
      closed.abort();
      await running;
    },
  };
  const waited = new AbortController();
  try {
    await Promise.race([first.promise, pause(wait, waited.signal)]);
    return presence;
  } catch (error) {
    await running;
    throw error;
  } finally {
    waited.abort();
  }
}

/** The key, and what this instance does with it. */
class Place {
  readonly #options: OpenPresence;
  readonly #key: string;
  readonly #mine: AliveRecord;
  readonly #patience: number;

  constructor(options: OpenPresence) {
    this.#options = options;
    this.#patience = options.patience ?? 2_000;
    this.#key = options.keys.aliveHost(options.host);
    this.#mine = {
      epoch: options.epoch,
      since: new Date().toISOString(),
      instance: randomBytes(8).toString('hex'),
      ...(options.place === undefined ? {} : { place: options.place }),
    };
  }

  /** Afterwards the key is this instance's, in this session. @throws Refusal 'conflict', StoreError */
  async take(session: Session, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const [item] = (await this.#options.store.list(this.#key, { signal })).items;
      const there = item && this.#read(item);
      if (!there || there.instance === this.#mine.instance || this.#isPlaceOf(there)) {
        if (await this.#write(item?.revision, this.#mine, session)) return;
      } else if (await this.#ask(item, there, session, signal)) return;
    }
  }

  /** Answers who asks, and puts the key back when it is removed by hand. Ends with `signal`. @throws Refusal 'conflict' */
  async keep(session: Session, signal: AbortSignal): Promise<void> {
    for await (const event of this.#options.store.watch(this.#key, { signal })) {
      const item = event.kind === 'put' ? event.item : event.kind === 'snapshot' ? event.items[0] : undefined;
      const there = item && this.#read(item);
      if (there && there.instance !== this.#mine.instance) throw this.#conflict(there);
      if (!there || there.asking !== undefined) await this.#write(item?.revision, this.#mine, session);
    }
  }

  /** @returns whether the key is ours now: the other did not answer. */
  async #ask(item: Item, there: AliveRecord, session: Session, signal: AbortSignal): Promise<boolean> {
    const { instance } = this.#mine;
    // Of several who ask at once the smallest is let through; the others wait and then ask it.
    const waits = there.asking !== undefined && there.asking < instance;
    if (!waits && !(await this.#write(item.revision, { ...there, asking: instance }, session))) return false;
    const late = AbortSignal.any([signal, AbortSignal.timeout(this.#patience)]);
    let asked: string | undefined;
    for await (const event of this.#options.store.watch(this.#key, { signal: late })) {
      const now = event.kind === 'put' ? event.item : event.kind === 'snapshot' ? event.items[0] : undefined;
      const record = now && this.#read(now);
      if (record?.instance !== there.instance) return false;
      if (record.asking === undefined) throw this.#conflict(record);
      asked = record.asking === instance ? now?.revision : undefined;
    }
    if (signal.aborted || asked === undefined) return false;
    return await this.#write(asked, this.#mine, session);
  }

  #isPlaceOf({ place }: AliveRecord): boolean {
    return place !== undefined && place === this.#mine.place;
  }

  #read(item: Item): AliveRecord | undefined {
    return readItem(item, parseAlive, this.#options.skipped);
  }

  async #write(revision: string | undefined, record: AliveRecord, session: Session): Promise<boolean> {
    const value = JSON.stringify(record);
    const put = { kind: 'put', key: this.#key, value, session } as const;
    return (await this.#options.store.commit([{ key: this.#key, revision }], [put])).done;
  }

  #conflict({ since, epoch }: AliveRecord): AliveElsewhere {
    return new AliveElsewhere(
      'conflict',
      `the host id ${this.#options.host} is alive elsewhere since ${since} (epoch ${epoch}): one identity cannot run twice; stop the other daemon, or, where this host is a copy of that one, remove the copied state directory: it gets an identity of its own then`,
    );
  }
}

class AliveElsewhere extends Refusal {}
