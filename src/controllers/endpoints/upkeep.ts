import { backoff } from '../../lib/backoff.ts';
import type { Log } from '../../lib/log.ts';
import type { Serial } from '../../lib/serial.ts';
import { wishedSubnets } from '../../model/address-wish.ts';
import { most } from '../../model/text.ts';
import type { Networks } from '../networks/networks.ts';
import type { Holdings } from './holdings.ts';
import type { Leaving } from './leave.ts';
import { type Connected, connectedPlaces, type SandboxRecord } from './sandbox-record.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface UpkeepNeeds {
  readonly networks: Pick<Networks, 'list' | 'confirm' | 'use'>;
  readonly sandboxes: Sandboxes;
  readonly holdings: Pick<Holdings, 'keep' | 'publish' | 'claim' | 'hasName'>;
  readonly leave: Leaving;
  /** Whatever is done to one sandbox is done here under its id. */
  readonly serial: Serial;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Puts back what an endpoint of this host holds in the store, when it is found missing there. What others have got
 * meanwhile, because this host was lost, is theirs: a name is changed for another, visibly to all; an address cannot be, so
 * the endpoint goes.
 */
export class Upkeep {
  readonly #needs: UpkeepNeeds;
  readonly #running = new Set<Promise<void>>();

  constructor(needs: UpkeepNeeds) {
    this.#needs = needs;
  }

  /** Returns at once. May be called for what is not there. */
  look(endpoint: string, what: 'name' | 'record'): void {
    const running = this.#retry(endpoint, what).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when nothing is tried any more. */
  async close(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #retry(id: string, what: 'name' | 'record'): Promise<void> {
    const { holdings, log, sandboxes, serial, signal } = this.#needs;
    for await (const _ of backoff({ first: 500, most: 10_000, signal })) {
      const sandbox = sandboxes.endpoint(id)?.sandbox.id;
      if (sandbox === undefined) return;
      try {
        await serial.run(sandbox, async () => {
          const record = sandboxes.get(sandbox);
          const place = record && connectedPlaces(record).find((candidate) => candidate.id === id);
          if (record === undefined || place === undefined) return;
          // A name may have been claimed after the watch was asked.
          if (what === 'record' || !(await holdings.hasName(place))) await this.#keep(record, place);
        });
        return;
      } catch (error) {
        log.debug('what an endpoint holds could not be put back', { endpoint: id, error });
      }
    }
  }

  async #keep(record: SandboxRecord, place: Connected): Promise<void> {
    const { holdings, leave, log, networks } = this.#needs;
    const about = { network: place.network, endpoint: place.id, name: place.name };
    const network = networks.list().find(({ id }) => id === place.network);
    if (network === undefined) {
      if ((await networks.confirm(place.network)) !== undefined) throw new Error('the network is not known here yet');
      await leave.letGo(record, [place], { whole: false });
      log.error('an endpoint was disconnected: its network was removed while this host was lost', about);
      return;
    }
    // Two hosts that did not hear of each other may have added subnets to one record, of which one was lost.
    const kept = await holdings.keep(place, await networks.use(network.id, wishedSubnets(place.endpoint.addresses)));
    switch (kept.kind) {
      case 'all':
        await holdings.publish(place.endpoint);
        log.warn('what an endpoint holds in the store was gone and is put back', about);
        return;
      case 'no-address':
        await leave.letGo(record, [place], { whole: false });
        log.error('an endpoint was disconnected: its address was given to another meanwhile', {
          ...about,
          address: kept.address,
          holder: kept.holder,
        });
        return;
      case 'no-name':
        await this.#rename(record, place);
    }
  }

  /** In the journal first: whatever of the rest is missing after a death, the next start finds missing. */
  async #rename(record: SandboxRecord, place: Connected): Promise<void> {
    const { holdings, log, sandboxes } = this.#needs;
    const name = `${place.name.slice(0, most.name - 13)}-${place.id.slice(0, 12)}`;
    const renamed = { ...place, name, endpoint: { ...place.endpoint, name } };
    const places = record.places.map((other) => (other.id === place.id ? renamed : other));
    await sandboxes.save({ ...record, places });
    await holdings.publish(renamed.endpoint);
    await holdings.claim(renamed);
    log.error('an endpoint was renamed: another got its name while this host was lost', {
      ...{ network: place.network, endpoint: place.id, name: place.name, renamed: name },
    });
  }
}
