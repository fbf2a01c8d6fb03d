import * as v from 'valibot';
import { backoff } from '../../lib/backoff.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { type Network, vniRange } from '../../model/network.ts';
import { parseRecord } from '../../model/record.ts';
import { Name } from '../../model/text.ts';
import type { Allocator, Pool } from '../../state/allocator.ts';
import type { Catalog } from '../../state/catalog.ts';
import { Claimed, type Claims } from '../../state/claims.ts';
import type { Journal } from '../../state/journal.ts';
import { withoutMark } from './mark.ts';

export const vnis: Pool = { kind: 'vnis', ...vniRange };
/** Every subnet that is held, whatever range it is from. */
export const subnets: Pool = { kind: 'subnets', ranges: [], avoid: [] };

export interface IntentsNeeds {
  readonly catalog: Pick<Catalog, 'get' | 'update'>;
  readonly allocator: Pick<Allocator, 'held' | 'give'>;
  readonly claims: Pick<Claims, 'claim' | 'release'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  /** This host's id. */
  readonly self: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const Intent = v.looseObject({ network: Name });

/** @throws ParseError */
export function parseIntent(json: unknown, place: string): v.InferOutput<typeof Intent> {
  return parseRecord(Intent, json, place);
}

/**
 * Networks that are being made or unmade by this host. The intent stands in the journal before the first step and until the
 * last: while it is there, `settle` brings what was begun to one of its two ends, as often as it takes. Either the network
 * is in the catalog, then its name is its own for good and a mark of this host is taken back; or it is not, then all that
 * it may hold is given back.
 */
export class Intents {
  readonly #needs: IntentsNeeds;
  readonly #retrying = new Set<Promise<void>>();

  constructor(needs: IntentsNeeds) {
    this.#needs = needs;
  }

  async begin(id: string, name: string): Promise<void> {
    await this.#needs.journal.commit([{ kind: 'intent', id, put: { network: name } }]);
  }

  async end(id: string): Promise<void> {
    await this.#needs.journal.commit([{ kind: 'intent', id, remove: true }]);
  }

  /** Now if the store answers, else later. `unused`: what is given back was never in use and need not rest. */
  async settle(id: string, name: string, options: { unused: boolean }): Promise<void> {
    try {
      await this.#settle(id, name, options);
    } catch (error) {
      this.#needs.log.warn('a network is settled when the store answers again', { network: id, name, error });
      this.#settleLater(id, name, options);
    }
  }

  /** What earlier lives left. */
  async resume(): Promise<void> {
    for (const { id, value } of await this.#needs.journal.load('intent')) {
      try {
        const { network } = parseIntent(value, `intent ${id} in the state directory`);
        this.#settleLater(id, network, { unused: false });
      } catch (error) {
        this.#needs.log.error('an intent of the state directory is passed over', { network: id, error });
      }
    }
  }

  /** Resolves when nothing is tried any more. */
  async close(): Promise<void> {
    await Promise.all(this.#retrying);
  }

  #settleLater(id: string, name: string, options: { unused: boolean }): void {
    const retrying = this.#retry(id, name, options).finally(() => this.#retrying.delete(retrying));
    this.#retrying.add(retrying);
  }

  async #retry(id: string, name: string, options: { unused: boolean }): Promise<void> {
    for await (const _ of backoff({ first: 500, most: 10_000, signal: this.#needs.signal })) {
      try {
        await this.#settle(id, name, options);
        this.#needs.log.info('what was half done is settled', { network: id, name });
        return;
      } catch (error) {
        this.#needs.log.debug('a network could not be settled', { network: id, name, error: messageOf(error) });
      }
    }
  }

  async #settle(id: string, name: string, options: { unused: boolean }): Promise<void> {
    const network = await this.#needs.catalog.get(id);
    if (network === undefined) await this.#giveBack(id, name, options);
    else {
      await this.#keep(network);
      // It may have been removed right before its name was claimed.
      if ((await this.#needs.catalog.get(id)) === undefined) await this.#giveBack(id, name, options);
    }
    await this.end(id);
  }

  async #keep({ id, name, removing }: Network): Promise<void> {
    const { catalog, claims, self } = this.#needs;
    if (removing?.host === self)
      await catalog.update(id, (now) => (now.removing?.host === self ? withoutMark(now) : now));
    try {
      await claims.claim({ kind: 'networks' }, name, { id });
    } catch (error) {
      if (!(error instanceof Claimed)) throw error;
      this.#needs.log.error('two networks have one name; remove one of them by its id', {
        network: id,
        name,
      });
    }
  }

  async #giveBack(id: string, name: string, options: { unused: boolean }): Promise<void> {
    const { allocator, claims } = this.#needs;
    for (const pool of [vnis, subnets]) {
      for (const { owner, item } of await allocator.held(pool)) {
        if (owner.id === id) await allocator.give(pool, owner, item, options);
      }
    }
    await claims.release({ kind: 'networks' }, name, { id });
  }
}
