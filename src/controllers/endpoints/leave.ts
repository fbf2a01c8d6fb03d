import { type Dataplane, keyOf } from '../../dataplane/dataplane.ts';
import { backoff, pause } from '../../lib/backoff.ts';
import type { Log } from '../../lib/log.ts';
import type { Serial } from '../../lib/serial.ts';
import { settle } from '../../lib/settle.ts';
import type { NameFeed } from '../names/names.ts';
import type { Networks } from '../networks/networks.ts';
import type { Exits } from './exits.ts';
import type { Holdings } from './holdings.ts';
import type { Overlays } from './overlays.ts';
import { isOpen, leaving, type Place, type SandboxRecord } from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface LeaveNeeds {
  readonly networks: Pick<Networks, 'list'>;
  readonly dataplane: Pick<Dataplane, 'change'>;
  readonly sandboxes: Sandboxes;
  readonly overlays: Overlays;
  readonly exits: Exits;
  readonly holdings: Holdings;
  readonly names: Pick<NameFeed, 'told'>;
  /** Whatever is done to one sandbox is done here under its id. */
  readonly serial: Serial;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface LeaveOptions {
  /** The sandbox goes too. */
  readonly whole: boolean;
  /** What is given back was never in use. */
  readonly unused?: boolean;
}

/**
 * Takes places back: out of the kernel first, then out of the cluster's state, so that an address is free only when
 * nobody here can use it.
 */
export class Leaving {
  readonly #needs: LeaveNeeds;
  readonly #retrying = new Set<Promise<void>>();

  constructor(needs: LeaveNeeds) {
    this.#needs = needs;
  }

  /**
   * To be called within the sandbox's serial. Afterwards it is journalled that the places are left; what the kernel or the
   * store refuses now is tried again in the background. @throws JournalError
   */
  async letGo(record: SandboxRecord, left: readonly Place[], options: LeaveOptions): Promise<void> {
    const { log, sandboxes } = this.#needs;
    const { exit: _, ...rest } = record;
    const going = new Map(left.map((place) => [place.id, leaving(place)]));
    const places = record.places.map((place) => going.get(place.id) ?? place);
    const stays = !options.whole && isOpen(record.way, places);
    await sandboxes.save({ ...(stays ? record : rest), places }, left);
    const ids = new Set(going.keys());
    try {
      await this.#finish(record.id, ids, options);
    } catch (error) {
      log.warn('what an endpoint held is given back later', { sandbox: record.id, error });
      const retrying = this.#retry(record.id, ids, options).finally(() => this.#retrying.delete(retrying));
      this.#retrying.add(retrying);
    }
  }

  /** Resolves when nothing is tried any more. */
  async close(): Promise<void> {
    await Promise.all(this.#retrying);
  }

  async #retry(sandbox: string, ids: ReadonlySet<string>, options: LeaveOptions): Promise<void> {
    const { log, serial, signal } = this.#needs;
    for await (const _ of backoff({ first: 500, most: 10_000, signal })) {
      try {
        await serial.run(sandbox, () => this.#finish(sandbox, ids, options));
        return;
      } catch (error) {
        log.debug('an endpoint could not be given back', { sandbox, error });
      }
    }
  }

  /** Right as often as it is done. */
  async #finish(sandbox: string, ids: ReadonlySet<string>, options: LeaveOptions): Promise<void> {
    const { unused = false } = options;
    const { dataplane, exits, holdings, names, networks, overlays, sandboxes } = this.#needs;
    const record = sandboxes.get(sandbox);
    if (record === undefined) return;
    const left = record.places.filter(({ id }) => ids.has(id));
    // What has joined since it was asked for keeps it.
    const whole = options.whole && left.length === record.places.length;
    const { keys, closing } = overlays.leave(left);
    const hasExit = record.exit !== undefined;
    const exit = hasExit ? [] : [keyOf({ kind: 'exit', sandbox })];
    const rest = whole ? [keyOf({ kind: 'sandbox', id: sandbox })] : [];
    try {
      await settle([dataplane.change({ remove: [...keys, ...exit, ...rest] }), names.told()]);
    } catch (error) {
      overlays.stay(closing);
      throw error;
    }
    // Nothing comes from there any more.
    sandboxes.tell(record);
    await Promise.all(closing.map((membership) => membership.close()));
    if (!hasExit) exits.give(sandbox);
    if (whole) sandboxes.letGo(sandbox);
    const known = new Map(networks.list().map((network) => [network.id, network]));
    const releasing = settle(left.map((place) => holdings.release(place, known.get(place.network), { unused })));
    await (unused ? briefly(releasing) : releasing);
    if (whole) await sandboxes.remove(record);
    else await sandboxes.save({ ...record, places: record.places.filter(({ id }) => !ids.has(id)) });
  }
}

/** Who was refused is told so: what his attempt has to give back to a store that is away is given back later. */
async function briefly(releasing: Promise<unknown>): Promise<void> {
  releasing.catch(() => undefined);
  const done = new AbortController();
  const late = pause(500, done.signal).then(() => {
    if (!done.signal.aborted) throw new Error('the store does not answer in time');
  });
  await Promise.race([releasing, late]).finally(() => done.abort());
}
