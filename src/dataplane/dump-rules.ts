import { isIP } from 'node:net';
import { netdev } from '../kernel/nftables/netdev.ts';
import type { Ruleset } from '../kernel/nftables/ruleset.ts';
import { formatAddress, parseAddress } from '../lib/prefix.ts';
import { STRANGERS } from './guard/guard.ts';
import { nft, TABLE } from './nft.ts';
import { HOST, type KernelObject, linkId, type NftFamily, netnsId } from './objects.ts';
import type { Places } from './places.ts';

/**
 * Packet rules of a namespace: of the host's only our tables are of interest. Chains of ports, of which there are as many as
 * containers, are listed without libnftables. `links` are those that are there.
 */
export function readRules(places: Places, namespace: string, links: ReadonlySet<string>): KernelObject[] {
  const isHost = namespace === HOST;
  const ours = netdev.list(places.netfilter(namespace), TABLE, { tables: isHost ? 'netdev' : 'all' });
  const others = (isHost ? ['ip', 'ip6'] : []).map((family) => places.nft(namespace).list(`table ${family} ${TABLE}`));
  return [ours, ...others].flatMap((rules) => (rules ? objectsIn(namespace, rules, links) : []));
}

/** Our table's parts, and whatever else is in a namespace that is wholly ours. */
function objectsIn(namespace: string, { tables, sets, chains }: Ruleset, links: ReadonlySet<string>): KernelObject[] {
  const found: KernelObject[] = [];
  for (const { family, name } of tables) {
    if (isOurFamily(family) && name === TABLE) found.push(nft.table(namespace, family));
    else if (namespace !== HOST) {
      const key = `nft-table ${family} ${name}`;
      found.push({ kind: 'nft-table', namespace, key, family, table: name, parent: netnsId(namespace), spec: {} });
    }
  }
  for (const { family, table, name, elements } of sets) {
    if (!isOurFamily(family) || table !== TABLE) continue;
    found.push(nft.set(namespace, family, name, ''));
    // Its elements are packets' doing.
    if (namespace === HOST && name === STRANGERS) continue;
    for (const element of elements) found.push(nft.element(namespace, family, name, canonical(element)));
  }
  for (const { family, table, name, hook, comments } of chains) {
    if (!isOurFamily(family) || table !== TABLE) continue;
    if (hook?.device === undefined) {
      found.push(nft.readChain(namespace, family, name, { ...(hook && { hook }), rules: comments }));
      continue;
    }
    // One whose device is gone hangs on nothing; newer kernels know its name still.
    const device = links.has(hook.device) ? hook.device : '';
    const chain = nft.readChain(namespace, family, name, { hook: { ...hook, device }, rules: comments });
    // A port's rules go with the port.
    found.push(device ? { ...chain, parent: linkId(namespace, device) } : chain);
  }
  return found;
}

function isOurFamily(family: string): family is NftFamily {
  return family === 'ip' || family === 'ip6' || family === 'netdev';
}

function canonical(element: string): string {
  const parts = element.split(' . ');
  return parts.map((part) => (isIP(part) ? formatAddress(parseAddress(part)) : part)).join(' . ');
}
