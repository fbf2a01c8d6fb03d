import { pause } from '../../lib/backoff.ts';
import type { Log } from '../../lib/log.ts';
import type { Network } from '../../model/network.ts';
import type { Claims } from '../../state/claims.ts';
import type { KnownNetworks } from './known.ts';

export interface NetworkNamesNeeds {
  readonly claims: Pick<Claims, 'watch' | 'holder'>;
  readonly known: Pick<KnownNetworks, 'list'>;
  /** Afterwards the network has its name, or whatever is left of one that is removed is given back. */
  readonly settle: (network: Network) => Promise<void>;
  readonly log: Log;
}

/** Who removes a network frees its name at last: time to hear of the first, in milliseconds. */
const patience = 500;
const names = { kind: 'networks' } as const;

/** Puts back names of networks that are not in the store any more, as long as `signal` lets it. Every host does, alike. */
export async function followNames(
  { claims, known, settle, log }: NetworkNamesNeeds,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of claims.watch(names, { signal })) {
    if (event.kind === 'put') continue;
    const isMissing = ({ name }: Network) => (event.kind === 'delete' ? event.name === name : !event.holders.has(name));
    if (!known.list().some(isMissing)) continue;
    await pause(patience, signal);
    for (const network of known.list().filter(isMissing)) {
      const { id, name } = network;
      try {
        if (signal.aborted || (await claims.holder(names, name)) !== undefined) continue;
        await settle(network);
        log.warn('the name of a network was not in the store', { network: id, name });
      } catch (error) {
        log.error('the name of a network could not be put back', { network: id, name, error });
      }
    }
  }
}
