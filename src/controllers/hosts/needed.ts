import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { pause } from '../../lib/backoff.ts';
import { formatAddress, parseAddress } from '../../lib/prefix.ts';
import type { Host } from '../../model/host.ts';

/** An address that this host has to reach beside all networks. */
export interface Needed {
  readonly address: string;
  readonly of: 'store' | 'resolver' | 'host';
  /** `store at 192.0.2.1` */
  readonly sentence: string;
}

export interface NeededSources {
  readonly hosts: { list(): readonly { readonly host: Pick<Host, 'name' | 'data' | 'advertise'> }[] };
  /** `HOST:PORT`, as the store's URL has them. */
  readonly members: readonly string[];
  /** Addresses whom the host asks for names. */
  readonly resolvers: () => Promise<readonly string[]>;
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

/** For one name of a member, in milliseconds: its address is of use only while names are answered. */
const patience = 2_000;

/** Never fails: what has no address now is not in it. */
export async function findNeeded({
  hosts,
  members,
  resolvers,
  resolve = resolveName,
}: NeededSources): Promise<readonly Needed[]> {
  const [asked, stores] = await Promise.all([
    resolvers().catch(() => []),
    Promise.all(members.map((member) => addressesAt(hostOf(member), resolve))),
  ]);
  const needed = (of: Needed['of'], texts: readonly string[], who: string = of) =>
    [...new Set(texts.map((text) => formatAddress(parseAddress(text.replace(/%.*/, '')))))].map(
      (address): Needed => ({ address, of, sentence: `${who} at ${address}` }),
    );
  return [
    ...needed('store', stores.flat()),
    ...needed('resolver', asked),
    ...hosts.list().flatMap(({ host }) => needed('host', addressesOf(host), `host ${host.name}`)),
  ];
}

/** Where other hosts and their containers' packets find a host. */
export function addressesOf({ data, advertise }: Pick<Host, 'data' | 'advertise'>): readonly string[] {
  const host = hostOf(advertise);
  return isIP(host) === 0 ? [data] : [data, host];
}

/** Of `192.0.2.1:2376`, `[2001:db8::1]:2376`, `etcd1:2379`. */
function hostOf(place: string): string {
  return place.slice(0, place.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

async function resolveName(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

async function addressesAt(
  name: string,
  resolve: (name: string) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  if (isIP(name) !== 0) return [name];
  const waited = new AbortController();
  try {
    return await Promise.race([resolve(name), pause(patience, waited.signal).then(() => [])]);
  } catch {
    return [];
  } finally {
    waited.abort();
  }
}
