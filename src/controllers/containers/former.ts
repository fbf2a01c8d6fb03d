import { withoutLength } from '../../lib/prefix.ts';
import { type Container, type FormerPlace, parseContainer } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { ConnectRequest, Sandbox } from '../endpoints/endpoints.ts';
import { macOf } from '../ipam/ipam.ts';
import { outlivesReboot } from './restart.ts';

/** Where a container is on networks, for when it comes back. What was asked for at some place stays asked for. */
export function placesIn({ endpoints }: Pick<Sandbox, 'endpoints'>, known: readonly FormerPlace[]): FormerPlace[] {
  return Array.from(endpoints.values(), ({ endpoint: { network, aliases, addresses, mac } }) => ({
    network,
    aliases: [...aliases],
    addresses: [...addresses],
    ...(mac === macOf(addresses) ? {} : { mac }),
    fixed: known.some((place) => place.fixed && place.network === network),
  }));
}

/** What is asked for to bring it back: its former addresses, or only those that it cannot be without. */
export function requestFor(
  { network, aliases, addresses, mac, fixed }: FormerPlace,
  { name, exactly, ports }: { name: string; exactly: boolean; ports: Container['ports'] },
): ConnectRequest {
  const bare = exactly || fixed ? addresses.map(withoutLength) : [];
  const ip = bare.find((text) => !text.includes(':'));
  const ip6 = bare.find((text) => text.includes(':'));
  const others = bare.filter((text) => text !== ip && text !== ip6);
  return {
    network,
    name,
    aliases,
    ...(ip && { ip }),
    ...(ip6 && { ip6 }),
    ...(others.length > 0 && { addresses: others }),
    ...(mac && { mac }),
    ...(ports && { ports }),
  };
}

/**
 * Ids of the containers that come back after a reboot of the host, as the journal has them: their sandboxes are kept
 * for them.
 */
export async function returningContainers(journal: Pick<Journal, 'load'>): Promise<ReadonlySet<string>> {
  const entries = await journal.load('container');
  return new Set(
    entries.flatMap(({ id, value }) => {
      try {
        return outlivesReboot(parseContainer(value, `container ${id} in the journal`)) ? [id] : [];
      } catch {
        // Said and passed over where the containers themselves are taken up.
        return [];
      }
    }),
  );
}
