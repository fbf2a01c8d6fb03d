import * as v from 'valibot';
import { linkLocalOf } from '../../lib/link-local.ts';
import { withoutLength } from '../../lib/prefix.ts';
import { Endpoint } from '../../model/endpoint.ts';
import { gatewayBridge } from '../../model/interfaces.ts';
import { vniRange } from '../../model/network.ts';
import { parseRecord } from '../../model/record.ts';
import {
  AddressText,
  HexId,
  InterfaceAddressText,
  Mac,
  Mtu,
  most,
  Name,
  PrefixText,
  SandboxId,
  Text,
} from '../../model/text.ts';
import type { NamedSandbox } from '../names/names.ts';

const Interface = v.pipe(v.string(), v.regex(/^([a-z]+[0-9a-f]{1,7}|skein-[0-9a-f]{9})$/));

/**
 * One place of a sandbox on a network. `connecting` and `leaving` say what was begun: at the next start the former is undone,
 * the latter finished. Its id is enough to find and give back all that it may hold.
 */
const Place = v.looseObject({
  id: HexId,
  network: HexId,
  name: Name,
  interface: Interface,
  port: Interface,
  state: v.picklist(['connecting', 'connected', 'leaving']),
  /** Of the host: whether what it forwards onto the network has its address there. */
  masquerade: v.optional(v.boolean()),
  endpoint: v.optional(Endpoint),
  /** What of the network's record the kernel is told: the next start needs no store for it. */
  overlay: v.optional(
    v.looseObject({
      namespace: v.pipe(v.string(), v.regex(/^\d{1,8}-[0-9a-f]{10}$/)),
      vni: v.pipe(v.number(), v.integer(), v.minValue(vniRange.first), v.maxValue(vniRange.last)),
      mtu: Mtu,
      gateways: v.array(InterfaceAddressText),
      /** The subnets, where they do not reach each other, see `Network.apart`. */
      apart: v.optional(v.array(PrefixText)),
      internal: v.boolean(),
      /** Whether its name is its host's alone, see `Network.names`. */
      sharedNames: v.optional(v.boolean()),
    }),
  ),
});

/** What this host has promised to one sandbox. */
const SandboxRecord = v.looseObject({
  id: SandboxId,
  /** The host itself, and the families of which it was to forward packets since its first place: others may live by that. */
  host: v.optional(v.looseObject({ forwards: v.array(v.picklist([4, 6])) })),
  adopted: v.optional(v.looseObject({ bootId: Text, inode: Text })),
  /** Boot in which it was made: a sandbox does not outlive it. */
  bootId: Text,
  container: v.optional(v.looseObject({ id: HexId, name: Name })),
  /** Who is asked for names outside, instead of the host's resolvers. */
  dns: v.optional(v.pipe(v.array(AddressText), v.maxLength(most.dnsServers))),
  places: v.array(Place),
  /** Whether it may leave the host: whatever it is on, or while it is on a network that is not internal. */
  way: v.optional(v.picklist(['always', 'by-network'])),
  exit: v.optional(
    v.looseObject({
      interface: Interface,
      port: Interface,
      mac: Mac,
      addresses: v.array(InterfaceAddressText),
    }),
  ),
});

export type Place = v.InferOutput<typeof Place>;
export type SandboxRecord = v.InferOutput<typeof SandboxRecord>;
export type Way = NonNullable<SandboxRecord['way']>;
export type Exit = NonNullable<SandboxRecord['exit']>;

/** @throws ParseError */
export function parseSandboxRecord(json: unknown, place: string): SandboxRecord {
  return parseRecord(SandboxRecord, json, place);
}

export type Connected = Place & { readonly endpoint: Endpoint };

export function connectedPlaces({ places }: Pick<SandboxRecord, 'places'>): readonly Connected[] {
  return places.flatMap((place) =>
    place.state === 'connected' && place.endpoint !== undefined ? [{ ...place, endpoint: place.endpoint }] : [],
  );
}

/** Whether a sandbox has a way out of the host with these places. */
export function isOpen(way: Way | undefined, places: readonly Place[]): boolean {
  if (way !== 'by-network') return way === 'always';
  return places.some(({ state, overlay }) => state !== 'leaving' && overlay?.internal !== true);
}

export function leaving(place: Place): Place {
  return { ...place, state: 'leaving' };
}

/** For what stands in the store alone. */
export const nowhere = { interface: 'eth0', port: 'veth0', state: 'leaving' } as const;

/** `ethN` with the lowest N that is free in a sandbox. */
export function freeInterface(taken: readonly { readonly interface: string }[]): string {
  let n = 0;
  while (taken.some((place) => place.interface === `eth${n}`)) n += 1;
  return `eth${n}`;
}

/** What people call it. */
export function nameOf({ id, host, container }: Pick<SandboxRecord, 'id' | 'host' | 'container'>): string {
  if (host) return 'this host';
  return container?.name ?? `sandbox ${id}`;
}

/**
 * What its containers are answered; `left`: places that they may still ask from. Whose networks are all internal, without a
 * way out, asks nobody outside.
 */
export function named(
  record: Pick<SandboxRecord, 'places' | 'exit' | 'dns'>,
  left: readonly Place[] = [],
): NamedSandbox {
  const { exit, dns = [] } = record;
  const places = connectedPlaces(record);
  const by = places.length === 0 ? left : places;
  const isInternal = exit === undefined && by.length > 0 && by.every(({ overlay }) => overlay?.internal === true);
  return {
    endpoints: places.map(({ endpoint }) => endpoint),
    left: left.flatMap(({ endpoint }) => endpoint ?? []),
    exits: exit === undefined ? [] : sourcesOf(exit),
    resolvers: isInternal ? [] : dns.length > 0 ? dns : 'host',
  };
}

/** What its questions come from, as sockets of the host give it. */
function sourcesOf({ addresses, mac }: Exit): readonly string[] {
  const given = addresses.map(withoutLength);
  return [...given, `${linkLocalOf(mac)}%${gatewayBridge}`];
}
